"""Which result sets an archive holds, asked of Orthanc alone."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from services.common.status import StudyState
from services.common.uids import is_result_uid
from tools.demo.orthanc import Orthanc

_FINAL = {StudyState.DONE, StudyState.NO_RESULT, StudyState.FAILED}
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class ResultSet:
    """The SOP Instance UIDs of a study's results, and those of its manifests among them."""

    objects: frozenset[str]
    manifests: frozenset[str]


def result_sets(orthanc: Orthanc) -> dict[str, ResultSet]:
    """By StudyInstanceUID, for every study of the archive."""
    return {
        study["MainDicomTags"]["StudyInstanceUID"]: _results_of(orthanc, study["ID"])
        for study in orthanc.json("/studies?expand")
    }


def _results_of(orthanc: Orthanc, study_id: str) -> ResultSet:
    objects: set[str] = set()
    manifests: set[str] = set()
    for series in orthanc.json(f"/studies/{study_id}/series?expand"):
        for instance in orthanc.json(f"/series/{series['ID']}/instances?expand"):
            uid = instance["MainDicomTags"]["SOPInstanceUID"]
            if is_result_uid(uid):
                objects.add(uid)
                if series["MainDicomTags"]["Modality"] == "KO":
                    manifests.add(uid)
    return ResultSet(frozenset(objects), frozenset(manifests))


def wait_final(orthanc: Orthanc, study_uids: Collection[str], *, seconds: float) -> dict[str, StudyState | None]:
    """The state of each study once all are final, or after ``seconds`` as it is then; None for one without a state."""
    deadline = time.monotonic() + seconds
    while True:
        states = {uid: _state(orthanc, uid) for uid in study_uids}
        if _FINAL.issuperset(states.values()) or time.monotonic() > deadline:
            return states
        time.sleep(_POLL_SECONDS)


def _state(orthanc: Orthanc, study_uid: str) -> StudyState | None:
    study_id = orthanc.find_study(study_uid)
    status = orthanc.status(study_id) if study_id else None
    return status.state if status else None


def differences(before: Mapping[str, ResultSet], after: Mapping[str, ResultSet]) -> list[str]:
    """What is wrong after a restore, in sentences: studies gone, without exactly one result, or with another one."""
    found = []
    for uid, expected in before.items():
        actual = after.get(uid)
        if actual is None:
            found.append(f"study {uid} is gone")
        elif len(actual.manifests) != 1:
            found.append(f"study {uid} has {len(actual.manifests)} manifests")
        elif actual != expected:
            found.append(f"study {uid} has other results than before")
    return found
