"""The study that is read: three orthogonal series of 30 slices of 512 x 512, as a scanner writes them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from services.common.transforms import FIELD_OF_VIEW_MM
from services.common.volume import Plane
from tests.studies import series
from tests.syntaxes import encoded, with_pixels

ENCODINGS = {
    "uncompressed": ExplicitVRLittleEndian,
    "RLE": RLELossless,
    "JPEG-LS": JPEGLSLossless,
    "JPEG 2000": JPEG2000Lossless,
}
SLICES, SIDE = 30, 512
_PRIVATE_BYTES = 72_000  # vendors write as much beside the pixels


@dataclass(frozen=True)
class Files:
    """Folder of each plane's series, and the transfer syntax."""

    folders: dict[Plane, Path]
    syntax: UID

    @property
    def paths(self) -> list[Path]:
        """All files in no useful order."""
        paths = [path for folder in self.folders.values() for path in sorted(folder.iterdir())]
        return [paths[index] for index in np.random.default_rng(0).permutation(len(paths))]


def write_study(folder: Path, syntax: UID) -> Files:
    """Write the files; their field of view is the models', so that two source pixels make one of a model."""
    folders = {}
    for number, plane in enumerate(Plane, start=1):
        spacing = [FIELD_OF_VIEW_MM / SIDE] * 2
        instances = series(plane, slices=SLICES, number=number, PixelSpacing=spacing)
        folders[plane] = folder / plane
        folders[plane].mkdir(parents=True)
        for index, instance in enumerate(instances):
            with_pixels(instance, _slice(index), 12)
            instance.add_new(0x00091001, "OB", bytes(_PRIVATE_BYTES))
            (folders[plane] / f"{index:03d}.dcm").write_bytes(encoded(instance, syntax))
    return Files(folders, syntax)


def _slice(index: int) -> NDArray[np.uint16]:
    """Smooth structure, edges and noise of 12 bits."""
    row, column = np.mgrid[0:SIDE, 0:SIDE]
    noise = np.random.default_rng(index).normal(0, 20, (SIDE, SIDE))
    bright = 900 * (np.hypot(row - 256, column - 256 + 3 * index) < 150)
    values = 600 + 400 * np.sin(row / 40 + index / 5) + 300 * np.cos(column / 50) + bright + noise
    return values.clip(0, 4095).astype(np.uint16)
