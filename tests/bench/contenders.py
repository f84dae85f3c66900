"""Ours and its peers, each from files to three windowed volumes of 32 x 256 x 256 in model orientation.

The work is the same for all: read and sort a series, take its 1st to 99th percentile to 0..255 (of every fourth pixel
each way, which is our rule), halve the resolution, turn the axes to the model's. Where a library has a way of its own
for a step it is used; the rest is numpy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import highdicom
import imagecodecs
import numpy as np
import pydicom
import SimpleITK
from monai.transforms import Compose, EnsureChannelFirstd, Lambdad, LoadImaged, Spacingd
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

from services.common.dicom import read_instance
from services.common.tensors import GRID
from services.common.transforms import PIXEL_MM, WINDOW_PERCENTILES, model_grid
from services.common.volume import Plane, Volume
from services.preprocessing.judgement import decode, judge
from services.preprocessing.stacking import laid
from tests.bench.studies import Files

Volumes = Sequence[NDArray[np.uint8]]
_DECODERS = {JPEGLSLossless: imagecodecs.jpegls_decode, JPEG2000Lossless: imagecodecs.jpeg2k_decode}


@dataclass(frozen=True)
class Contender:
    """A name and what it does; the result is None where there is nothing to compare."""

    name: str
    run: Callable[[], Volumes | None]


def contenders(study: Files, *, compressed: bool) -> list[Contender]:
    """Ours first."""
    peers = [
        Contender("MONAI LoadImaged (pydicom) + Spacingd", lambda: _monai(study, "PydicomReader")),
        Contender("MONAI LoadImaged (ITK) + Spacingd", lambda: _monai(study, "ITKReader")),
        Contender("SimpleITK series reader + resample", lambda: _each(study, _simpleitk)),
        Contender("highdicom volume + numpy mean", lambda: _each(study, _highdicom)),
    ]
    bare = [Contender("bare codec", _bare_codec(study))] if compressed else []
    return [Contender("Articula", lambda: _ours(study)), *bare, *peers]


def _ours(study: Files) -> Volumes:
    instances = [read_instance(path) for path in study.paths]
    volumes = decode(judge(instances)[0]).volumes
    return [laid(volumes[plane], mirrored=False).volume for plane in Plane]


def _each(study: Files, read: Callable[[Path], tuple[NDArray[np.uint8], np.ndarray]]) -> Volumes:
    return [_in_model_orientation(*read(folder)) for folder in study.folders.values()]


def _monai(study: Files, reader: str) -> Volumes:
    spaced = Compose(
        [
            LoadImaged("image", reader=reader),
            EnsureChannelFirstd("image"),
            Lambdad("image", _window_monai),
            Spacingd("image", pixdim=(PIXEL_MM, PIXEL_MM, -1), mode="bilinear", scale_extent=True),
        ]
    )
    volumes = []
    for folder in study.folders.values():
        image = spaced({"image": str(folder)})["image"]
        to_lps = np.diag([-1.0, -1.0, 1.0, 1.0])  # MONAI speaks RAS and (column, row, slice)
        affine = to_lps @ np.asarray(image.affine)[:, [2, 1, 0, 3]]
        voxels = np.rint(np.asarray(image)[0].transpose(2, 1, 0)).astype(np.uint8)
        volumes.append(_in_model_orientation(voxels, affine))
    return volumes


def _window_monai(image):
    low, high = np.percentile(np.asarray(image)[0, ::4, ::4], WINDOW_PERCENTILES)
    return ((image - low) * (255.0 / (high - low))).round().clip(0, 255)


def _simpleitk(folder: Path) -> tuple[NDArray[np.uint8], np.ndarray]:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    low, high = np.percentile(SimpleITK.GetArrayViewFromImage(image)[:, ::4, ::4], WINDOW_PERCENTILES)
    image = SimpleITK.IntensityWindowing(SimpleITK.Cast(image, SimpleITK.sitkFloat32), low, high, 0.0, 255.0)
    image = SimpleITK.Cast(SimpleITK.Round(image), SimpleITK.sitkUInt8)
    columns, rows, slices = image.GetSize()
    spacing = image.GetSpacing()
    first = image.TransformContinuousIndexToPhysicalPoint((0.5, 0.5, 0.0))
    image = SimpleITK.Resample(
        image,
        (columns // 2, rows // 2, slices),
        SimpleITK.Transform(),
        SimpleITK.sitkLinear,
        first,
        (spacing[0] * 2, spacing[1] * 2, spacing[2]),
        image.GetDirection(),
    )
    direction = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = direction[:, ::-1], image.GetOrigin()
    return SimpleITK.GetArrayFromImage(image), affine


def _highdicom(folder: Path) -> tuple[NDArray[np.uint8], np.ndarray]:
    volume = highdicom.get_volume_from_series([pydicom.dcmread(path) for path in folder.iterdir()])
    voxels = volume.array.astype(np.float32)
    low, high = np.percentile(voxels[:, ::4, ::4], WINDOW_PERCENTILES)
    windowed = np.rint((voxels - low) * (255.0 / (high - low))).clip(0, 255)
    slices, rows, columns = windowed.shape
    halved = np.rint(windowed.reshape(slices, rows // 2, 2, columns // 2, 2).mean(axis=(2, 4))).astype(np.uint8)
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, 1:3].sum(axis=1) / 2
    affine[:3, 1:3] *= 2
    return halved, affine


def _in_model_orientation(voxels: NDArray[np.uint8], affine: np.ndarray) -> NDArray[np.uint8]:
    """Axes turned and padded to 32 slices; the resolution is the model's already, so nothing is interpolated."""
    grid = model_grid(Volume(voxels, affine), mirrored=False)
    turned = np.transpose(voxels, grid.source_axes)
    turned = turned[tuple(slice(None, None, -1 if grid.along(axis)[0] < 0 else 1) for axis in range(3))]
    model = np.zeros(GRID, dtype=np.uint8)
    model[np.flatnonzero(grid.slice_mask)] = turned
    return model


def _bare_codec(study: Files) -> Callable[[], None]:
    """Only the decoder, on codestreams that lie in memory."""
    streams = [
        next(generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1))
        for folder in study.folders.values()
        for path in folder.iterdir()
    ]

    def decode() -> None:
        for stream in streams:
            decoder = _DECODERS.get(study.syntax)
            decoder(stream) if decoder else imagecodecs.dicomrle_decode(stream, np.dtype("<u2"))

    return decode
