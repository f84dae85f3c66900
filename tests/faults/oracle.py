"""What happened, from two sources only: Orthanc, and what the senders were told.

It shares no code with the forwarder. An answer it has no right to expect is asked of the analysis service directly,
after all faults are healed: the same files must give the same bytes.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import grpc
import httpx
import pydicom

from services.common.pb import analysis_pb2 as pb
from services.common.pb.analysis_pb2_grpc import AnalysisStub
from tests.faults.sender import CANARY, Delivery, SentStudy
from tests.faults.site import Site

KEY_OBJECT = "1.2.840.10008.5.1.4.1.1.88.59"
FINAL = {"done", "no_result", "failed"}
# a poisoned file leaves a gap in its series; whether another series is left depends on the study
_OUTCOMES = {Delivery.BROKEN: {"no_result"}, Delivery.POISONED: {"done", "no_result"}, Delivery.DEADLY: {"failed"}}
_CHUNK = 1024 * 1024


@dataclass
class Verdict:
    """What is wrong; a list of study numbers for each invariant that does not hold."""

    lost: list[int] = field(default_factory=list)
    doubled: list[int] = field(default_factory=list)
    partial: list[int] = field(default_factory=list)
    wrong_patient: list[int] = field(default_factory=list)
    different_bytes: list[int] = field(default_factory=list)
    wrong_outcome: list[int] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    compared: int = 0

    @property
    def clean(self) -> bool:
        """Whether every invariant holds."""
        lists = (self.lost, self.doubled, self.partial, self.wrong_patient, self.different_bytes, self.wrong_outcome)
        return not any(lists) and not self.leaks


class Oracle:
    """A session with Orthanc as its human user."""

    def __init__(self, site: Site) -> None:
        auth = (site.state.user, site.state.password)
        self._site = site
        self._http = httpx.Client(base_url=site.state.orthanc_url, auth=auth, timeout=30, trust_env=False)

    def unfinished(self, studies: Sequence[SentStudy]) -> list[SentStudy]:
        """Studies without a final state for what they hold now."""
        return [each for each in studies if not self._finished(each)]

    def judge(self, studies: Sequence[SentStudy], *, compare: int) -> Verdict:
        """Check all invariants; the bytes of the first ``compare`` studies against a run without faults."""
        verdict = Verdict()
        for index, study in enumerate(studies):
            self._judge(study, verdict, compare=index < compare)
        verdict.leaks = self._leaks()
        return verdict

    def _judge(self, study: SentStudy, verdict: Verdict, *, compare: bool) -> None:
        if not self._finished(study):
            verdict.lost.append(study.number)
            return
        if self._status(study)["state"] not in _OUTCOMES.get(study.delivery, {"done"}):
            verdict.wrong_outcome.append(study.number)
        results = self._results(study)
        if not results and study.delivery is Delivery.DEADLY:
            return
        manifests = [each for each in results.values() if each.SOPClassUID == KEY_OBJECT]
        current = [each for each in manifests if self._is_current(each, study)]
        expected = 2 if study.delivery is Delivery.LATE else 1  # what came late superseded what was there
        if len(current) > 1 or len(manifests) > expected:
            verdict.doubled.append(study.number)
        listed = {uid for each in manifests for uid in _listed(each)} | {each.SOPInstanceUID for each in manifests}
        if set(results) != listed or not current:
            verdict.partial.append(study.number)
        if any((each.StudyInstanceUID, each.PatientID) != _identity(study) for each in results.values()):
            verdict.wrong_patient.append(study.number)
        if compare and current:
            verdict.compared += 1
            fresh = self._analyze(study, str(self._status(study)["input_digest"]))
            stored = {uid: self._file_digest(study, uid) for uid in fresh}
            if stored != fresh:
                verdict.different_bytes.append(study.number)

    def _finished(self, study: SentStudy) -> bool:
        status = self._status(study)
        if status.get("state") not in FINAL:
            return False
        holding = {str(each["MainDicomTags"]["SOPInstanceUID"]) for each in self._instances(study)}
        return status["state"] == "failed" or any(
            self._is_current(each, study) for uid, each in self._results(study).items() if uid in holding
        )

    def _is_current(self, manifest: pydicom.Dataset, study: SentStudy) -> bool:
        """Whether a manifest is about the digest that the study shows."""
        if manifest.SOPClassUID != KEY_OBJECT:
            return False
        text = " ".join(str(each.get("TextValue", "")) for each in manifest.ContentSequence)
        return bool(self._status(study).get("input_digest")) and str(self._status(study)["input_digest"]) in text

    def _status(self, study: SentStudy) -> dict[str, object]:
        found = self._find(study)
        answer = self._http.get(f"/studies/{found}/metadata/ArticulaStatus") if found else None
        return json.loads(answer.text) if answer is not None and answer.is_success else {}

    def _find(self, study: SentStudy) -> str | None:
        found = self._http.post("/tools/lookup", content=study.study_instance_uid).json()
        return next((str(each["ID"]) for each in found if each["Type"] == "Study"), None)

    def _instances(self, study: SentStudy) -> list[dict]:
        return self._http.get(f"/studies/{self._find(study)}/instances").json()

    def _results(self, study: SentStudy) -> dict[str, pydicom.Dataset]:
        """Everything in the study that the senders did not send."""
        found = {}
        for each in self._instances(study):
            uid = str(each["MainDicomTags"]["SOPInstanceUID"])
            if not uid.startswith(f"{study.study_instance_uid}."):
                data = self._http.get(f"/instances/{each['ID']}/file").content
                found[uid] = pydicom.dcmread(BytesIO(data))
        return found

    def _file_digest(self, study: SentStudy, uid: str) -> str:
        for each in self._instances(study):
            if each["MainDicomTags"]["SOPInstanceUID"] == uid:
                return hashlib.sha256(self._http.get(f"/instances/{each['ID']}/file").content).hexdigest()
        return "missing"

    def _analyze(self, study: SentStudy, digest: str) -> dict[str, str]:
        """sha256 of each result object of a run without faults, by UID."""
        files = [self._http.get(f"/instances/{each['ID']}/file").content for each in self._sources(study)]
        with grpc.insecure_channel(self._site.state.analysis) as channel:
            stub = AnalysisStub(channel)
            data: dict[str, bytes] = {}
            for response in stub.Analyze(_requests(study, digest, files), timeout=60):
                if response.HasField("result"):
                    uid = response.result.sop_instance_uid
                    data[uid] = data.get(uid, b"") + response.result.data
        return {uid: hashlib.sha256(each).hexdigest() for uid, each in data.items()}

    def _sources(self, study: SentStudy) -> list[dict]:
        """In the forwarder's order, because a result may name its first source."""
        sources = [
            each
            for each in self._instances(study)
            if str(each["MainDicomTags"]["SOPInstanceUID"]).startswith(f"{study.study_instance_uid}.")
        ]
        return sorted(sources, key=lambda each: str(each["MainDicomTags"]["SOPInstanceUID"]))

    def _leaks(self) -> list[str]:
        """Files outside the archive that hold a patient's name, and what is left in the spool."""
        places = [*(self._site.folder / "logs").rglob("*"), *self._site.ledger.parent.glob("ledger*")]
        named = [str(path.name) for path in places if path.is_file() and _holds(path, CANARY.encode())]
        time.sleep(1)
        left = [f"spool/{path.name}" for path in (self._site.folder / "spool").iterdir()]
        return named + left + self._orphans()

    def _orphans(self) -> list[str]:
        """Forwarders of this site beyond the one that its Orthanc started."""
        ledger, found = str(self._site.ledger).encode(), 0
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                belongs = ledger in (place / "environ").read_bytes()
                found += belongs and b"services.forwarder" in (place / "cmdline").read_bytes()
        return [f"{found} forwarders"] if found != 1 else []


def _identity(study: SentStudy) -> tuple[str, str]:
    return study.study_instance_uid, study.patient_id


def _listed(manifest: pydicom.Dataset) -> set[str]:
    """UIDs of the objects a manifest commits."""
    return {
        str(each.ReferencedSOPInstanceUID)
        for study in manifest.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for each in series.ReferencedSOPSequence
    }


def _holds(path: Path, word: bytes) -> bool:
    return word in path.read_bytes()


def _requests(study: SentStudy, digest: str, files: Sequence[bytes]):
    header = pb.StudyHeader(
        study_instance_uid=study.study_instance_uid,
        input_digest=digest,
        instance_count=len(files),
        total_bytes=sum(map(len, files)),
    )
    yield pb.AnalyzeRequest(header=header)
    for index, data in enumerate(files):
        for start in range(0, len(data), _CHUNK):
            last = start + _CHUNK >= len(data)
            chunk = pb.InstanceChunk(instance_index=index, data=data[start : start + _CHUNK], last=last)
            yield pb.AnalyzeRequest(chunk=chunk)
    yield pb.AnalyzeRequest(end=pb.EndOfStudy(instance_count=len(files)))
