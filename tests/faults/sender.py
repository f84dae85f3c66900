"""The scanners: small studies of several kinds, sent until the archive has acknowledged every instance."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

import httpx
import numpy as np
import pydicom

from services.common.volume import Plane
from tests.faults.sabotaged import DEADLY_MARK
from tests.faults.site import Site
from tests.studies import COLUMNS, ROWS, part10, series

CANARY = "Canary^Fault"
SLICES = 4


class Delivery(StrEnum):
    """How a study arrives."""

    WHOLE = "whole"
    SHUFFLED = "shuffled"
    DOUBLED = "doubled"
    LATE = "late"  # its last series comes after a pause
    BROKEN = "broken"  # no series can be read
    POISONED = "poisoned"  # one file is no image
    DEADLY = "deadly"  # one file kills whoever reads it


_WEIGHTS = {Delivery.WHOLE: 8, Delivery.SHUFFLED: 3, Delivery.DOUBLED: 3, Delivery.LATE: 2}
_WEIGHTS |= {Delivery.BROKEN: 1, Delivery.POISONED: 1, Delivery.DEADLY: 1}


@dataclass(frozen=True)
class SentStudy:
    """One study as the sender knows it."""

    number: int
    delivery: Delivery
    study_instance_uid: str
    patient_id: str
    files: tuple[bytes, ...]


@dataclass
class SenderLog:
    """Studies of which every instance was acknowledged, and when."""

    acknowledged: dict[str, SentStudy] = field(default_factory=dict)
    at: dict[str, float] = field(default_factory=dict)


def make_study(seed: int, number: int) -> SentStudy:
    """A study of a seed: the same bytes every time."""
    rng = random.Random(f"{seed}/{number}")
    delivery = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    uid = f"1.2.826.0.1.3680043.8.498.{seed}.{number}"
    planes = list(Plane)[: rng.choice((1, 2, 3, 3))]
    if delivery is Delivery.LATE:
        planes = list(Plane)[:2]
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
    return SentStudy(number, delivery, uid, f"FAULT-{number}", tuple(files))


def _series(plane: Plane, index: int, uid: str, rng: random.Random) -> list[pydicom.Dataset]:
    instances = series(plane, slices=SLICES, number=index + 1, PatientName=CANARY, PatientID=f"FAULT-{uid[-9:]}")
    noise = np.random.default_rng(rng.randrange(2**31))
    for slice_index, each in enumerate(instances):
        each.StudyInstanceUID, each.SeriesInstanceUID = uid, f"{uid}.{index + 1}"
        each.SOPInstanceUID = f"{uid}.{index + 1}.{slice_index + 1}"
        each.PatientID = f"FAULT-{uid.rpartition('.')[2]}"
        pixels = noise.integers(0, 200, (ROWS, COLUMNS))
        pixels[20:44, 24:48] += 700
        each.PixelData = pixels.astype(np.uint16).tobytes()
    return instances


def _poison(instance: pydicom.Dataset, uid: str) -> pydicom.Dataset:
    """A file that says it is compressed and is not."""
    instance.SOPInstanceUID = f"{uid}.9.9"
    instance.PixelData = b"\xff\xd8" + b"\0" * 200
    return instance


def send(site: Site, log: SenderLog, seed: int, numbers: Iterator[int], deadline: float) -> None:
    """Send studies one after the other, each until all of it is acknowledged; ends with the numbers."""
    auth = (site.state.user, site.state.password)
    with httpx.Client(base_url=site.state.orthanc_url, auth=auth, timeout=10, trust_env=False) as http:
        for number in numbers:
            study = make_study(seed, number)
            last = len(study.files) - SLICES if study.delivery is Delivery.LATE else len(study.files)
            for data in study.files[:last]:
                _deliver(http, data, deadline)
            if study.delivery is Delivery.LATE:
                time.sleep(random.Random(number).uniform(0.5, 6.0))
                for data in study.files[last:]:
                    _deliver(http, data, deadline)
            if study.delivery is Delivery.DOUBLED:
                for data in study.files:
                    _deliver(http, data, deadline)
            log.acknowledged[study.study_instance_uid] = study
            log.at[study.study_instance_uid] = time.monotonic()


def _deliver(http: httpx.Client, data: bytes, deadline: float) -> None:
    """One instance, again and again until it is acknowledged."""
    while time.monotonic() < deadline:
        try:
            if http.post("/instances", content=data).json().get("Status") in {"Success", "AlreadyStored"}:
                return
        except (httpx.HTTPError, ValueError, AttributeError):
            pass
        time.sleep(0.1)
    message = "the archive took no instance until the deadline"
    raise TimeoutError(message)
