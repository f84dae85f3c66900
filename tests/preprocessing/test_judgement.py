"""Files of a study to the volumes that are read: what a header promises, the pixels have to keep."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG4HP41, UID, JPEGExtended12Bit, JPEGLSLossless

from services.common.errors import RefusalCode
from services.common.volume import Plane
from services.preprocessing.judgement import Judgement, decode, judge
from services.preprocessing.reading import read_study
from services.preprocessing.stacking import laid
from tests.studies import enhanced, part10, series, study
from tests.syntaxes import LOSSLESS, LOSSY, NATIVE, encoded

T1 = {"RepetitionTime": 600, "EchoTime": 12, "ScanOptions": None}
Damage = Callable[[bytes], bytes]


def judged(folder: Path, files: Sequence[pydicom.Dataset | bytes]) -> Judgement:
    paths = [folder / f"{index:04d}" for index in range(len(files))]
    for path, file in zip(paths, files, strict=True):
        path.write_bytes(file if isinstance(file, bytes) else part10(file))
    return decode(judge(read_study(paths).instances)[0])


def fates(judgement: Judgement) -> dict[int, RefusalCode | None]:
    """The code of each series by its number; None where nothing speaks against it."""
    return {int(each.frames[0].number("SeriesNumber")): each.rejected for each in judgement.selection.candidates}


def damaged(instances: Sequence[pydicom.Dataset], damage: Damage, syntax: UID | None = None) -> list[bytes]:
    """Files of a series with damage in the fourth."""
    files = [encoded(each, syntax) if syntax else part10(each) for each in instances]
    return [*files[:3], damage(files[3]), *files[4:]]


def in_unread_syntax(instances: Sequence[pydicom.Dataset], syntax: UID) -> list[pydicom.Dataset]:
    for each in instances:
        each.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
        each["PixelData"].VR = "OB"
        each.file_meta.TransferSyntaxUID = syntax
    return list(instances)


def without_signal(instances: Sequence[pydicom.Dataset]) -> list[pydicom.Dataset]:
    for each in instances:
        each.PixelData = bytes(len(each.PixelData))
    return list(instances)


@pytest.mark.parametrize(
    ("best", "code"),
    [
        (damaged(series(Plane.SAGITTAL), lambda file: file[:-500]), RefusalCode.TRUNCATED_PIXEL_DATA),
        (damaged(series(Plane.SAGITTAL), lambda file: file[:-300], JPEGLSLossless), RefusalCode.TRUNCATED_PIXEL_DATA),
        (
            damaged(series(Plane.SAGITTAL), lambda file: file.replace(b"\xff\xda", b"\xff\x01"), JPEGLSLossless),
            RefusalCode.CORRUPT_PIXEL_DATA,
        ),
        (without_signal(series(Plane.SAGITTAL)), RefusalCode.NO_SIGNAL),
        (in_unread_syntax(series(Plane.SAGITTAL), JPEGExtended12Bit), RefusalCode.UNSUPPORTED_JPEG_EXTENDED),
    ],
)
def test_a_series_whose_pixels_break_its_promise_gives_way_to_the_next(tmp_path, best, code):
    """Alone it refuses the study by the same code."""
    second = judged(tmp_path, [*best, *series(Plane.SAGITTAL, number=2, **T1)])
    assert fates(second) == {1: code, 2: None}
    assert second.volumes.keys() == second.selection.chosen.keys() == {Plane.SAGITTAL}
    (tmp_path / "alone").mkdir()
    alone = judged(tmp_path / "alone", best)
    assert (alone.selection.refusal, alone.volumes) == (code, {})


@pytest.mark.parametrize("syntax", [JPEGExtended12Bit, MPEG4HP41], ids=lambda uid: uid.keyword)
def test_half_a_series_is_not_read_as_a_whole_one(tmp_path, syntax):
    """Where some slices came in a syntax that is not read, the others lie evenly all the same."""
    slices = series(Plane.SAGITTAL, slices=16)
    judgement = judged(tmp_path, [*slices[:8], *in_unread_syntax(slices[8:], syntax)])
    assert judgement.selection.refusal in {
        RefusalCode.UNSUPPORTED_JPEG_EXTENDED,
        RefusalCode.UNSUPPORTED_TRANSFER_SYNTAX,
    }


@pytest.mark.parametrize("syntax", [*NATIVE, *LOSSLESS, *LOSSY], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("multi_frame", [False, True])
def test_every_syntax_gives_the_same_volume(tmp_path, syntax, multi_frame):
    """Classic or enhanced; lossy ones within six grey levels of 255."""
    instances = [enhanced(series(Plane.CORONAL))] if multi_frame else series(Plane.CORONAL)
    volumes = []
    for name, files in (
        ("plain", [part10(each) for each in instances]),
        ("other", [encoded(e, syntax) for e in instances]),
    ):
        (tmp_path / name).mkdir()
        volumes.append(laid(judged(tmp_path / name, files).volumes[Plane.CORONAL], mirrored=False).volume)
    assert np.abs(volumes[0].astype(int) - volumes[1]).max() <= (6 if syntax in LOSSY else 0)


def test_the_side_is_that_of_the_stacks_that_are_read(tmp_path):
    """A damaged series in the other half of the scanner has no say."""
    far = damaged(series(Plane.SAGITTAL), lambda file: file[:-500])
    near = series(Plane.SAGITTAL, number=2, **T1)
    for index, each in enumerate(near):
        each.ImagePositionPatient = [100.0 - 4 * index, -60, 60]
    judgement = judged(tmp_path, [*far, *near])
    assert (judgement.side.laterality, judgement.side.source) == ("L", "geometry")


def test_three_sound_series_are_read_as_the_headers_say(tmp_path):
    """Nothing changes where nothing is wrong."""
    judgement = judged(tmp_path, study())
    assert set(judgement.volumes) == set(Plane)
    assert judgement.volumes[Plane.AXIAL].voxels.dtype == np.uint8
