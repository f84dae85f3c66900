"""The studies of a seed: small, of several kinds, the same bytes every time."""

import hashlib
import random
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from io import BytesIO

import numpy as np
import pydicom

from services.common.volume import Plane
from tests.faults.launched import DEADLY_MARK
from tests.studies import COLUMNS, ROWS, part10, series

NAME_CANARY, ID_CANARY = "Canary^Fault", "CANARY-ID"
UID_CANARY = "1.2.826.0.1.3680043.8.498.7"
SLICES = 4
POISON_EVERY = 50  # of so many studies the first one kills whoever reads it: the head of every queue


class Delivery(StrEnum):
    """How a study arrives."""

    WHOLE = "whole"
    SHUFFLED = "shuffled"
    DOUBLED = "doubled"  # every instance again, while the study may be on its way
    LATE = "late"  # its last series comes after a pause
    RESENT = "resent"  # all of it again, when there may be results already
    DELETED = "deleted"  # somebody deletes it while it may be on its way
    BROKEN = "broken"  # no series can be read
    POISONED = "poisoned"  # one file is no image
    DEADLY = "deadly"  # one file kills whoever reads it


_WEIGHTS = {Delivery.WHOLE: 8, Delivery.SHUFFLED: 3, Delivery.DOUBLED: 2, Delivery.LATE: 2, Delivery.RESENT: 1}
_WEIGHTS |= {Delivery.DELETED: 1, Delivery.BROKEN: 1, Delivery.POISONED: 1}
# a poisoned file leaves a gap in its series; whether another series is left depends on the study
OUTCOMES = {Delivery.BROKEN: {"no_result"}, Delivery.POISONED: {"done", "no_result"}, Delivery.DEADLY: {"failed"}}


@dataclass(frozen=True)
class SentStudy:
    """One study as the sender knows it; ``files`` in the order sent."""

    number: int
    delivery: Delivery
    study_instance_uid: str
    patient_id: str
    files: tuple[bytes, ...]

    @property
    def outcomes(self) -> set[str]:
        """The final states it may end in."""
        return OUTCOMES.get(self.delivery, {"done"})

    @property
    def orthanc_id(self) -> str:
        """What Orthanc calls the study: a hash of whose it is."""
        found = hashlib.sha1(f"{self.patient_id}|{self.study_instance_uid}".encode()).hexdigest()  # noqa: S324
        return "-".join(found[start : start + 8] for start in range(0, 40, 8))

    @cached_property
    def instances(self) -> tuple[pydicom.Dataset, ...]:
        """What the files say, pixels apart."""
        return tuple(pydicom.dcmread(BytesIO(each), stop_before_pixels=True) for each in self.files)

    def content_digest(self, count: int) -> str:
        """sha256 over UID and MD5 of the first ``count`` files: what names the content of a study."""
        lines = (
            f"{each.SOPInstanceUID} {hashlib.md5(data).hexdigest()}"  # noqa: S324 - Orthanc's own checksum
            for each, data in zip(self.instances[:count], self.files[:count], strict=True)
        )
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()

    def input_digest(self, pipeline_digest: str, count: int | None = None) -> str:
        """What names the analysis of the first ``count`` files by a pipeline."""
        content = self.content_digest(len(self.files) if count is None else count)
        return hashlib.sha256(f"{content}\n{pipeline_digest}".encode()).hexdigest()


def make_study(seed: int, number: int, delivery: Delivery | None = None, *, series_count: int = 0) -> SentStudy:
    """A study of a seed: the same bytes every time. Delivery and number of series are drawn unless given."""
    rng = random.Random(f"{seed}/{number}")
    drawn = Delivery.DEADLY if number % POISON_EVERY == 0 else rng.choices(list(_WEIGHTS), _WEIGHTS.values())[0]
    delivery = delivery or drawn
    uid = f"{UID_CANARY}.{seed}.{number}"
    drawn_count = rng.choice((1, 1, 2, 3))
    planes = list(Plane)[: 2 if delivery is Delivery.LATE else series_count or drawn_count]
    instances = [each for index, plane in enumerate(planes) for each in _series(plane, index, uid, rng)]
    if delivery is Delivery.BROKEN:
        for each in instances:
            del each.ImagePositionPatient
    if delivery is Delivery.DEADLY:
        instances[0].ImageComments = DEADLY_MARK.decode()
    files = [part10(each) for each in instances]
    if delivery is Delivery.POISONED:
        files[rng.randrange(len(files))] = part10(_poison(instances[0], uid))
    if delivery is Delivery.SHUFFLED:
        rng.shuffle(files)
    return SentStudy(number, delivery, uid, f"{ID_CANARY}-{seed}-{number}", tuple(files))


def _series(plane: Plane, index: int, uid: str, rng: random.Random) -> list[pydicom.Dataset]:
    patient = "-".join((ID_CANARY, *uid.split(".")[-2:]))
    instances = series(plane, slices=SLICES, number=index + 1, PatientName=NAME_CANARY, PatientID=patient)
    noise = np.random.default_rng(rng.randrange(2**31))
    for slice_index, each in enumerate(instances):
        each.StudyInstanceUID, each.SeriesInstanceUID = uid, f"{uid}.{index + 1}"
        each.SOPInstanceUID = f"{uid}.{index + 1}.{slice_index + 1}"
        pixels = noise.integers(0, 200, (ROWS, COLUMNS))
        pixels[20:44, 24:48] += 700
        each.PixelData = pixels.astype(np.uint16).tobytes()
    return instances


def _poison(instance: pydicom.Dataset, uid: str) -> pydicom.Dataset:
    """A file that says it is compressed and is not."""
    instance.SOPInstanceUID = f"{uid}.9.9"
    instance.PixelData = b"\xff\xd8" + b"\0" * 200
    return instance
