"""Studies to damage: every transfer syntax, classic and enhanced, and real files where they are at hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pydicom

from services.common.volume import Plane
from tests.studies import enhanced, part10, series
from tests.syntaxes import LOSSLESS, LOSSY, NATIVE, encoded, with_pixels

REAL = Path(__file__).parents[3] / "shared/data"
_SLICES = 4
_MAX_REAL_BYTES = 1 << 20


@dataclass(frozen=True)
class Seed:
    """A sound study of a few files; one of them gets damaged."""

    name: str
    files: tuple[bytes, ...]


def seeds() -> list[Seed]:
    """The whole corpus; the same on every machine but for the real files."""
    return [*_generated(), *_real()]


def _generated() -> Iterator[Seed]:
    instances = series(Plane.SAGITTAL, slices=_SLICES)
    for each in instances:
        each.SharedFunctionalGroupsSequence = []
        each.PixelPaddingValue, each.RescaleSlope, each.RescaleIntercept = 0, "1", "0"
        each.add_new(0x20050010, "LO", "Philips MR Imaging DD 001")
        each.add_new(0x2005100E, "FL", 1.0)
    many = enhanced(series(Plane.CORONAL, slices=_SLICES))
    for syntax in (*NATIVE, *LOSSLESS, *LOSSY):
        yield Seed(f"classic {syntax.keyword}", tuple(encoded(each, syntax) for each in instances))
        yield Seed(f"enhanced {syntax.keyword}", (encoded(many, syntax),))
    small = series(Plane.AXIAL, slices=_SLICES)
    for each in small:
        with_pixels(each, (each.pixel_array // 8).astype("u1"))
        each.PhotometricInterpretation = "MONOCHROME1"
    yield Seed("8 bit inverted", tuple(map(part10, small)))


def _real() -> Iterator[Seed]:
    for folder in sorted(each for each in REAL.glob("vendors/*") if each.is_dir()):
        files = [path for path in sorted(folder.iterdir()) if _is_small_dicom(path)]
        if len(files) >= _SLICES:
            yield Seed(f"real {folder.name}", tuple(path.read_bytes() for path in islice(files, _SLICES)))


def _is_small_dicom(path: Path) -> bool:
    return path.stat().st_size <= _MAX_REAL_BYTES and pydicom.misc.is_dicom(path)
