"""Why data can't be used, with what to do about it; no message holds a value from the data."""

from enum import StrEnum

from services.common.errors import ArticulaError


class DataCode(StrEnum):
    """Stable names of everything that keeps a folder, a file or a study out."""

    FOLDER_UNKNOWN = "FOLDER_UNKNOWN"
    LABELS_UNREADABLE = "LABELS_UNREADABLE"
    FILE_UNREADABLE = "FILE_UNREADABLE"
    PICKLE_UNSAFE = "PICKLE_UNSAFE"
    READER_MISSING = "READER_MISSING"
    GEOMETRY_MISMATCH = "GEOMETRY_MISMATCH"
    NOTHING_LABELLED = "NOTHING_LABELLED"
    NOTHING_USABLE = "NOTHING_USABLE"


ADVICE: dict[DataCode, str] = {
    DataCode.FOLDER_UNKNOWN: "The folder is not laid out as the data set is published.",
    DataCode.LABELS_UNREADABLE: "The labels can't be read.",
    DataCode.FILE_UNREADABLE: "The file is damaged or of another format. Download or export it again.",
    DataCode.PICKLE_UNSAFE: "The pickle holds something other than one array of numbers and was not executed. "
    "Do not open it with anything else; get the file from its publisher.",
    DataCode.READER_MISSING: "A reader is missing. Install it: .venv/bin/pip install h5py SimpleITK",
    DataCode.GEOMETRY_MISMATCH: "The labels do not lie on the images. Check that both belong to the same scan.",
    DataCode.NOTHING_LABELLED: "Nothing is known about the study: neither a finding nor a structure.",
    DataCode.NOTHING_USABLE: "No study could be used. The table says why.",
}


class DataRefused(ArticulaError):
    """A folder, file or study that can't be used; ``detail`` says what was expected, in the project's own words."""

    def __init__(self, code: DataCode, detail: str = "") -> None:
        super().__init__(f"{code}: {ADVICE[code]}{f' {detail}' if detail else ''}")
        self.code = code
