"""Every error Articula raises on purpose, named by its verdict.

    ArticulaError
    ├── StudyRefused        the study can't be analysed; the same bytes get the same answer, so nobody retries
    ├── StreamInvalid       the caller broke the wire protocol; a defect of the caller
    ├── ServiceBusy         no room now; the caller comes back after ``retry_after_seconds``
    └── ServiceUnavailable  something this step needs is down or too slow; the caller tries again later

A refusal carries a ``RefusalCode``. Its advice is the sentence a radiographer or PACS administrator can act on; it
never holds a value read from the study, because those may identify the patient.
"""

from enum import StrEnum


class RefusalCode(StrEnum):
    """Why a study has no findings, or a series was not read.

    The value is stable: it goes into DICOM objects, logs and metrics.
    """

    NOT_MR = "NOT_MR"
    NO_USABLE_SERIES = "NO_USABLE_SERIES"
    LOCALIZER = "LOCALIZER"
    DERIVED_IMAGE = "DERIVED_IMAGE"
    MOSAIC = "MOSAIC"
    UNSUITABLE_SEQUENCE = "UNSUITABLE_SEQUENCE"
    OTHER_ANATOMY = "OTHER_ANATOMY"
    OUTRANKED = "OUTRANKED"
    OWN_RESULT = "OWN_RESULT"
    NO_GEOMETRY = "NO_GEOMETRY"
    NO_PIXEL_DATA = "NO_PIXEL_DATA"
    TRUNCATED_PIXEL_DATA = "TRUNCATED_PIXEL_DATA"
    CORRUPT_PIXEL_DATA = "CORRUPT_PIXEL_DATA"
    UNSUPPORTED_PIXELS = "UNSUPPORTED_PIXELS"
    UNREADABLE_DICOM = "UNREADABLE_DICOM"
    UNSUPPORTED_TRANSFER_SYNTAX = "UNSUPPORTED_TRANSFER_SYNTAX"
    UNSUPPORTED_JPEG_EXTENDED = "UNSUPPORTED_JPEG_EXTENDED"
    UNEVEN_SLICES = "UNEVEN_SLICES"
    OVERLAPPING_SLICES = "OVERLAPPING_SLICES"
    SHEARED_SLICES = "SHEARED_SLICES"
    MIXED_FRAME_OF_REFERENCE = "MIXED_FRAME_OF_REFERENCE"
    TOO_FEW_SLICES = "TOO_FEW_SLICES"
    NO_SIGNAL = "NO_SIGNAL"
    NO_KNEE_SEEN = "NO_KNEE_SEEN"
    TOO_LARGE = "TOO_LARGE"
    INVALID_IDENTITY = "INVALID_IDENTITY"
    IDENTITY_CONFLICT = "IDENTITY_CONFLICT"
    CONFLICTING_DUPLICATE = "CONFLICTING_DUPLICATE"
    PROCESSING_ERROR = "PROCESSING_ERROR"
    PROCESSING_CRASHED = "PROCESSING_CRASHED"
    PROCESSING_TIMEOUT = "PROCESSING_TIMEOUT"
    MODEL_OUTPUT_INVALID = "MODEL_OUTPUT_INVALID"


ADVICE: dict[RefusalCode, str] = {
    RefusalCode.NOT_MR: "The study holds no MR images. Send the knee MR series.",
    RefusalCode.NO_USABLE_SERIES: "No series is a diagnostic sagittal, coronal or axial knee series. "
    "Send at least one complete series, not only localizers or derived images.",
    RefusalCode.LOCALIZER: "Only localizers were sent. Send the diagnostic series.",
    RefusalCode.DERIVED_IMAGE: "Only reformatted, projected, subtracted, computed or captured images were sent. "
    "Send the series as they were acquired.",
    RefusalCode.MOSAIC: "The slices are tiled into mosaics. Export the series as single slices or enhanced MR.",
    RefusalCode.UNSUITABLE_SEQUENCE: "Only diffusion, phase, fat-only or flow images were sent. "
    "Send proton density, T2 or T1 weighted series.",
    RefusalCode.OTHER_ANATOMY: "The study's own words name another part of the body. "
    "If it shows a knee, correct the description and send it again.",
    RefusalCode.OUTRANKED: "Another series of the same plane suits the models better. Nothing needs to be done.",
    RefusalCode.OWN_RESULT: "A result of this software, not a source. Nothing needs to be done.",
    RefusalCode.NO_GEOMETRY: "Image position, orientation or pixel spacing is missing. "
    "Export the series again from the scanner with its geometry attributes.",
    RefusalCode.NO_PIXEL_DATA: "The instances carry no pixel data. Send the images again from the scanner or the PACS.",
    RefusalCode.TRUNCATED_PIXEL_DATA: "An image is shorter than its header says. Send the study again.",
    RefusalCode.CORRUPT_PIXEL_DATA: "Compressed pixels can't be decoded or contradict their header. "
    "Send the study again; if that does not help, let the PACS send it uncompressed.",
    RefusalCode.UNSUPPORTED_PIXELS: "The images are in colour, in packed bits or in floating point. "
    "Send the grey-scale images of the scanner, 8 to 32 bits a pixel.",
    RefusalCode.UNREADABLE_DICOM: "A file can't be parsed as DICOM. Send the study again from its source.",
    RefusalCode.UNSUPPORTED_TRANSFER_SYNTAX: "The images are compressed in a way this service does not decode. "
    "Send them uncompressed, or as JPEG 2000, HTJ2K, JPEG-LS, JPEG Lossless or RLE.",
    RefusalCode.UNSUPPORTED_JPEG_EXTENDED: "The images are in lossy JPEG of 12 bits (JPEG Extended), which is not "
    "decoded. Let the PACS send them uncompressed, or set Orthanc's IngestTranscoding to 1.2.840.10008.1.2.1.",
    RefusalCode.UNEVEN_SLICES: "Slices are missing or unevenly spaced. Send the complete series.",
    RefusalCode.OVERLAPPING_SLICES: "Several slices lie at one place and nothing tells them apart. "
    "Export the series again with its echo, time or acquisition numbers.",
    RefusalCode.SHEARED_SLICES: "The slices are shifted against each other. Send the series as it was acquired.",
    RefusalCode.MIXED_FRAME_OF_REFERENCE: "Slices of one series belong to different coordinate systems. "
    "Send the series again from the scanner.",
    RefusalCode.TOO_FEW_SLICES: "The series has too few slices to be a volume. Send the complete series.",
    RefusalCode.NO_SIGNAL: "The images are constant or empty. Check the acquisition and send the study again.",
    RefusalCode.NO_KNEE_SEEN: "The segmentation sees no knee in the images. "
    "If they show one, it has to be read without this software.",
    RefusalCode.TOO_LARGE: "The study is larger than this service accepts. Send only the knee MR series.",
    RefusalCode.INVALID_IDENTITY: "The UID of a study, series or instance is missing or malformed. "
    "Correct the study in the PACS and send it again.",
    RefusalCode.IDENTITY_CONFLICT: "Instances of the study disagree about the patient or study they belong to. "
    "Correct the study in the PACS and send it again.",
    RefusalCode.CONFLICTING_DUPLICATE: "Two different images carry one SOP Instance UID. "
    "Find out which is right and send the study again.",
    RefusalCode.PROCESSING_ERROR: "This study met a defect of the software. An engineer should look at the logs; "
    "it is tried again after an update, or on request.",
    RefusalCode.PROCESSING_CRASHED: "Processing this study ended abnormally. An engineer should replay it.",
    RefusalCode.PROCESSING_TIMEOUT: "Processing this study took longer than allowed. An engineer should replay it.",
    RefusalCode.MODEL_OUTPUT_INVALID: "A model answered with values outside its contract. "
    "An engineer should check the model server.",
}


# these say something about this software, not about the study
DEFECTS = frozenset(
    {
        RefusalCode.PROCESSING_ERROR,
        RefusalCode.PROCESSING_CRASHED,
        RefusalCode.PROCESSING_TIMEOUT,
        RefusalCode.MODEL_OUTPUT_INVALID,
    }
)
# and these about one run of it: a worker may have died of its machine, so trying again may help
TRANSIENT = DEFECTS - {RefusalCode.PROCESSING_ERROR}


class ArticulaError(Exception):
    """Base of all errors raised on purpose. ``code`` is safe to log and to show."""

    code: str = "ERROR"


class StudyRefused(ArticulaError):
    """The study can't be analysed, and trying again with the same bytes would not help."""

    def __init__(self, code: RefusalCode) -> None:
        super().__init__(f"{code}: {ADVICE[code]}")
        self.code: RefusalCode = code

    @property
    def advice(self) -> str:
        """What the person who sent the study can do about it."""
        return ADVICE[self.code]

    def __reduce__(self) -> tuple[type["StudyRefused"], tuple[RefusalCode]]:
        return StudyRefused, (self.code,)


class StreamInvalid(ArticulaError):
    """The messages of an ``Analyze`` stream are out of order, incomplete or contradict each other."""

    code = "STREAM_INVALID"


class ServiceBusy(ArticulaError):
    """Admission control refused the study for now."""

    code = "BUSY"

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ServiceUnavailable(ArticulaError):
    """A service this step depends on did not answer in time; ``retry_after_seconds`` is 0 where nobody knows."""

    code = "UNAVAILABLE"

    def __init__(self, message: str, *, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
