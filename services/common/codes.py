"""Coded concepts for structures, findings and reports, and the colours structures are drawn in.

SNOMED CT (SCT) and DICOM (DCM) codes are those of the dictionaries that DICOM itself publishes (PS3.16 Annex D and its
context groups); a test looks each of them up. Where no such code exists, the private scheme 99ARTICULA names the
concept rather than borrow a code that means something else: both cruciate ligaments and all twelve findings have none
there (SNOMED CT itself has them, but a code that no test can look up is a code nobody checked).
"""

from dataclasses import dataclass

from services.common.finding import LABELS, Structure

PRIVATE_SCHEME = "99ARTICULA"


@dataclass(frozen=True)
class Code:
    """A coded concept as DICOM writes it."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class StructureCode:
    """How a segment is coded and coloured; ``modifier`` tells medial from lateral, ``region`` what it belongs to."""

    label: str
    category: Code
    type: Code
    colour: tuple[int, int, int]
    modifier: Code | None = None
    region: Code | None = None


ANATOMICAL_STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")
BODY_SUBSTANCE = Code("91720002", "SCT", "Body Substance")
KNEE_JOINT = Code("49076000", "SCT", "Knee joint structure")
MEDIAL = Code("255561001", "SCT", "Medial")
LATERAL = Code("49370004", "SCT", "Lateral")
FEMUR = Code("71341001", "SCT", "Femur")
TIBIA = Code("12611008", "SCT", "Tibia")
PATELLA = Code("64234005", "SCT", "Patella")
FIBULA = Code("87342007", "SCT", "Fibula")
CARTILAGE = Code("309312004", "SCT", "Cartilage tissue")
MENISCUS = Code("74135004", "SCT", "Meniscus structure of joint")
EFFUSION = Code("41699000", "SCT", "Effusion")
RIGHT = Code("24028007", "SCT", "Right")
LEFT = Code("7771000", "SCT", "Left")

# the words of structured reports (TID 310, 1001 to 1003, 1500, 1501, 1600, 2010, 4019), of maps and of derivation
ABNORMAL = Code("263654008", "SCT", "Abnormal")
ABSENT = Code("272519000", "SCT", "Absent")
ALGORITHM_NAME = Code("111001", "DCM", "Algorithm Name")
ALGORITHM_VERSION = Code("111003", "DCM", "Algorithm Version")
ALGORITHM_PARAMETERS = Code("111002", "DCM", "Algorithm Parameters")
ALGORITHM_MANUFACTURER = Code("122405", "DCM", "Algorithm Manufacturer")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
CLASS_ACTIVATION = Code("130402", "DCM", "Class activation")
COMMENT = Code("121106", "DCM", "Comment")
CONCLUSION = Code("121077", "DCM", "Conclusion")
CUBIC_CENTIMETER = Code("cm3", "UCUM", "cubic centimeter")
DERIVATION = Code("121401", "DCM", "Derivation")
DEVICE = Code("121007", "DCM", "Device")
DEVICE_OBSERVER_MANUFACTURER = Code("121014", "DCM", "Device Observer Manufacturer")
DEVICE_OBSERVER_MODEL_NAME = Code("121015", "DCM", "Device Observer Model Name")
DEVICE_OBSERVER_NAME = Code("121013", "DCM", "Device Observer Name")
DEVICE_OBSERVER_SERIAL_NUMBER = Code("121016", "DCM", "Device Observer Serial Number")
DEVICE_OBSERVER_UID = Code("121012", "DCM", "Device Observer UID")
ENGLISH = Code("en-US", "RFC5646", "English (United States)")
FINDING = Code("121071", "DCM", "Finding")
FINDING_SITE = Code("363698007", "SCT", "Finding Site")
EQUIVOCAL = Code("42425007", "SCT", "Equivocal")
FRAME_OF_REFERENCE_UID = Code("112227", "DCM", "Frame of Reference UID")
ILLUSTRATION_OF_FINDING = Code("125201", "DCM", "Illustration of Finding")
IMAGE_LIBRARY = Code("111028", "DCM", "Image Library")
IMAGE_LIBRARY_GROUP = Code("126200", "DCM", "Image Library Group")
IMAGING_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
IMAGING_MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
KEY_OBJECT_DESCRIPTION = Code("113012", "DCM", "Key Object Description")
LANGUAGE = Code("121049", "DCM", "Language of Content Item and Descendants")
LATERALITY = Code("272741003", "SCT", "Laterality")
MANIFEST = Code("113030", "DCM", "Manifest")
LOWER_UNCERTAINTY = Code("371885007", "SCT", "-, range of lower measurement uncertainty")
MAGNETIC_RESONANCE = Code("MR", "DCM", "Magnetic Resonance")
MEAN = Code("373098007", "SCT", "Mean")
MEASUREMENT_GROUP = Code("125007", "DCM", "Measurement Group")
MEASUREMENT_METHOD = Code("370129005", "SCT", "Measurement Method")
MILLIMETER = Code("mm", "UCUM", "mm")
MODALITY = Code("121139", "DCM", "Modality")
NORMAL = Code("17621005", "SCT", "Normal")
NORMALITY = Code("121402", "DCM", "Normality")
NORMALITY_UNDETERMINED = Code("371934000", "SCT", "Normality Undetermined")
NORMAL_RANGE_AUTHORITY = Code("121408", "DCM", "Normal Range Authority")
NORMAL_RANGE_DESCRIPTION = Code("121407", "DCM", "Normal Range description")
NORMAL_RANGE_LOWER_LIMIT = Code("385524004", "SCT", "Normal Range Lower Limit")
NORMAL_RANGE_UPPER_LIMIT = Code("371933006", "SCT", "Normal Range Upper Limit")
NO_UNITS = Code("1", "UCUM", "no units")
OBSERVER_TYPE = Code("121005", "DCM", "Observer Type")
PERSON = Code("121006", "DCM", "Person")
PERSON_OBSERVER_NAME = Code("121008", "DCM", "Person Observer Name")
PRESENT = Code("52101004", "SCT", "Present")
PROBABILITY = Code("122157", "DCM", "Probability")
PROCEDURE_REPORTED = Code("121058", "DCM", "Procedure reported")
QUANTITY = Code("246205007", "SCT", "Quantity")
REFERENCED_SEGMENT = Code("121191", "DCM", "Referenced Segment")
SEGMENTATION = Code("113076", "DCM", "Segmentation")
SOURCE = Code("260753009", "SCT", "Source")
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
SOURCE_OF_MEASUREMENT = Code("121112", "DCM", "Source of Measurement")
SOURCE_SERIES_FOR_SEGMENTATION = Code("121232", "DCM", "Source series for segmentation")
SUM_OF_VOXELS = Code("126030", "DCM", "Sum of segmented voxel method for volume")
TARGET_REGION = Code("123014", "DCM", "Target Region")
TOPOGRAPHICAL_MODIFIER = Code("106233006", "SCT", "Topographical modifier")
TRACKING_IDENTIFIER = Code("112039", "DCM", "Tracking Identifier")
TRACKING_UNIQUE_IDENTIFIER = Code("112040", "DCM", "Tracking Unique Identifier")

UPPER_UNCERTAINTY = Code("371886008", "SCT", "+, range of upper measurement uncertainty")
VOLUME = Code("118565006", "SCT", "Volume")


def private(value: str, meaning: str) -> Code:
    """A concept for which no published code exists."""
    return Code(value, PRIVATE_SCHEME, meaning)


def _part(label: str, kind: Code, colour: tuple[int, int, int], **where: Code) -> StructureCode:
    return StructureCode(label, ANATOMICAL_STRUCTURE, kind, colour, **where)


# bones in warm greys, cartilage in blues, menisci in reds, ligaments in greens and yellow: told apart with any vision
STRUCTURE_CODES: dict[Structure, StructureCode] = {
    Structure.FEMUR: _part("Femur", FEMUR, (222, 203, 164)),
    Structure.TIBIA: _part("Tibia", TIBIA, (196, 170, 125)),
    Structure.PATELLA: _part("Patella", PATELLA, (238, 226, 200)),
    Structure.FIBULA: _part("Fibula", FIBULA, (158, 133, 96)),
    Structure.FEMORAL_CARTILAGE: _part("Femoral cartilage", CARTILAGE, (86, 180, 233), region=FEMUR),
    Structure.MEDIAL_TIBIAL_CARTILAGE: _part(
        "Medial tibial cartilage", CARTILAGE, (0, 114, 178), region=TIBIA, modifier=MEDIAL
    ),
    Structure.LATERAL_TIBIAL_CARTILAGE: _part(
        "Lateral tibial cartilage", CARTILAGE, (60, 60, 200), region=TIBIA, modifier=LATERAL
    ),
    Structure.PATELLAR_CARTILAGE: _part("Patellar cartilage", CARTILAGE, (160, 220, 250), region=PATELLA),
    Structure.MEDIAL_MENISCUS: _part("Medial meniscus", MENISCUS, (213, 94, 0), modifier=MEDIAL),
    Structure.LATERAL_MENISCUS: _part("Lateral meniscus", MENISCUS, (204, 121, 167), modifier=LATERAL),
    Structure.ACL: _part("Anterior cruciate ligament", private("ACL", "Anterior cruciate ligament"), (0, 158, 115)),
    Structure.PCL: _part("Posterior cruciate ligament", private("PCL", "Posterior cruciate ligament"), (240, 228, 66)),
    Structure.EFFUSION: StructureCode("Effusion", BODY_SUBSTANCE, EFFUSION, (140, 86, 255)),
}

_FINDING_MEANINGS = (
    "Anterior cruciate ligament injury",
    "Medial collateral ligament injury",
    "Medial meniscus tear",
    "Lateral meniscus tear",
    "Medial compartment osteoarthritis",
    "Lateral compartment osteoarthritis",
    "Patellofemoral osteoarthritis",
    "Joint effusion",
    "Synovitis",
    "Baker's cyst",
    "Bone contusion",
    "Fracture",
)
FINDING_CODES: dict[str, Code] = {
    label: private(f"F{number:02d}", meaning)
    for number, (label, meaning) in enumerate(zip(LABELS, _FINDING_MEANINGS, strict=True), start=1)
}
