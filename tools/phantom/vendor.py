"""How scanners of four makers write the same slice: the tags differ, the image and its place do not.

A maker decides which attributes say that fat is suppressed, whether a side is named at all, how the values are stored
and scaled, and what it adds in private. The names are marked as synthetic, so that no archive takes a phantom for a
patient's study.
"""

from collections.abc import Callable

import pydicom

_PHILIPS_SLOPE, _PHILIPS_SCALE_SLOPE = 1.7323, 0.004731


def siemens(instance: pydicom.Dataset) -> None:
    """Names the side; processing steps in the image type; a sequence name."""
    instance.Manufacturer = "SIEMENS (synthetic)"
    instance.ImageType = ["ORIGINAL", "PRIMARY", "M", "NORM", "DIS2D"]
    gradient = instance.ScanningSequence == "GR"
    instance.SequenceName = "*de3d1" if gradient else "*tse2d1_8"
    instance.SequenceVariant = ["SS", "OSP"] if gradient else ["SK", "SP", "OSP"]
    instance.ScanOptions = ["PFP", "FS"] if _fat_suppressed(instance) else "PFP"
    instance.PercentPhaseFieldOfView, instance.InPlanePhaseEncodingDirection = "100", "ROW"


def ge(instance: pydicom.Dataset) -> None:
    """Signed values of 16 bits, options of its own beside the standard one, a private block, no side."""
    instance.Manufacturer = "GE MEDICAL SYSTEMS (synthetic)"
    instance.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    options = ["FAST_GEMS", "NPW", "TRF_GEMS", "FILTERED_GEMS", "ACC_GEMS"]
    instance.ScanOptions = [*options, "FS"] if _fat_suppressed(instance) else options
    instance.BitsStored, instance.HighBit, instance.PixelRepresentation = 16, 15, 1
    instance.private_block(0x0009, "GEMS_IDEN_01", create=True).add_new(0x01, "LO", "GE_GENESIS_FF")
    del instance.Laterality


def philips(instance: pydicom.Dataset) -> None:
    """A rescaling for display, a scale of its own in a private block, windows, no side."""
    instance.Manufacturer = "Philips Medical Systems (synthetic)"
    kind = "FFE" if instance.ScanningSequence == "GR" else "SE"
    instance.ImageType = ["ORIGINAL", "PRIMARY", f"M_{kind}", "M", kind]
    instance.ScanOptions = "FS" if _fat_suppressed(instance) else "OTHER"
    instance.RescaleIntercept, instance.RescaleSlope, instance.RescaleType = "0", str(_PHILIPS_SLOPE), "normalized"
    instance.WindowCenter, instance.WindowWidth = "700", "1200"
    block = instance.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    block.add_new(0x0E, "FL", _PHILIPS_SCALE_SLOPE)
    del instance.Laterality


def canon(instance: pydicom.Dataset) -> None:
    """The shortest image type, windows, no side."""
    instance.Manufacturer = "CANON_MEC (synthetic)"
    instance.ImageType = ["ORIGINAL", "PRIMARY"]
    instance.ScanOptions = "FS" if _fat_suppressed(instance) else ""
    instance.WindowCenter, instance.WindowWidth = "650", "1300"
    del instance.Laterality


VENDORS: dict[str, Callable[[pydicom.Dataset], None]] = {
    "siemens": siemens,
    "ge": ge,
    "philips": philips,
    "canon": canon,
}


def dress(instance: pydicom.Dataset, vendor: str | None) -> pydicom.Dataset:
    """The instance with the tags of a maker out of ``VENDORS``; as it is without one."""
    if vendor is not None:
        VENDORS[vendor](instance)
    return instance


def _fat_suppressed(instance: pydicom.Dataset) -> bool:
    return "FS" in instance.ScanOptions
