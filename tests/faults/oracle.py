"""What happened, from two sources only: Orthanc, and what the senders were told.

It shares no code with the forwarder. Whether the bytes are right is asked of the analysis service directly, after all
faults are undone: the files that were sent must give the objects that are stored.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import grpc
import httpx
import pydicom

from services.common.pb import analysis_pb2 as pb
from tests.faults.deliveries import ID_CANARY, NAME_CANARY, UID_CANARY, Delivery, SentStudy
from tests.faults.invariants import FINAL, Found, outdated, violations
from tests.faults.site import Site

_CHUNK = 1024 * 1024
_ANALYSIS_SECONDS = 45.0
_TIDYING_SECONDS = 15.0  # what a result replaces goes with the next look at the study
_ENDING_SECONDS = 10.0
_ANSWERED = b'"event": "study answered"'
_CANARIES = tuple(each.encode() for each in (NAME_CANARY, ID_CANARY, UID_CANARY))
_LISTS = ("lost", "doubled", "partial", "wrong_patient", "wrong_outcome", "unbounded", "orphaned", "byte_differences")


@dataclass
class Verdict:
    """What is wrong: numbers of studies by the name of the invariant, places of leaks, and how much was in vain."""

    broken: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in _LISTS})
    leaks: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)  # by the archive, while nothing was wrong with the archive
    in_vain: int = 0  # analyses beyond one a study
    wasteful: bool = False
    compared: int = 0

    @property
    def clean(self) -> bool:
        """Whether every invariant holds."""
        return not self.seen

    @property
    def seen(self) -> set[str]:
        """Names of what is wrong."""
        others = {"leaks": self.leaks, "refusals": self.refusals, "wasteful": self.wasteful}
        return {name for name, found in {**self.broken, **others}.items() if found}

    @property
    def named(self) -> str:
        """What is wrong, in a line."""
        parts = [f"{name} {numbers}" for name, numbers in self.broken.items() if numbers]
        parts += [f"{len(self.leaks)} leaks, the first {self.leaks[0]}"] if self.leaks else []
        parts += [f"archive refused {self.refusals}"] if self.refusals else []
        parts += [f"{self.in_vain} analyses in vain"] if self.wasteful else []
        return ", ".join(parts) or "nothing"


class Oracle:
    """A session with Orthanc as its human user."""

    def __init__(self, site: Site) -> None:
        auth = (site.state.user, site.state.password)
        self._site = site
        self._http = httpx.Client(base_url=site.state.orthanc_url, auth=auth, timeout=30, trust_env=False)
        self._pipeline = site.pipeline_digest()
        self._answered_before = self._answered()

    def unfinished(self, studies: Sequence[SentStudy]) -> list[SentStudy]:
        """Studies without a final state for what was sent."""
        return [each for each in studies if not self.finished(each)]

    def finished(self, study: SentStudy) -> bool:
        """Whether a study shows a final state for all that was sent, or is gone as its sender wanted."""
        status = self._status(study)
        if study.delivery is Delivery.DELETED:
            return status is None
        ended = status is not None and status.get("state") in FINAL
        return ended and status.get("input_digest") == study.input_digest(self._pipeline)

    def judge(self, studies: Sequence[SentStudy], *, wasted: int) -> Verdict:
        """Check all invariants; so many analyses may be beyond one a study."""
        verdict = Verdict(in_vain=max(self._answered() - self._answered_before - len(studies), 0))
        verdict.wasteful = verdict.in_vain > wasted
        with ThreadPoolExecutor(2) as threads:
            for study, broken in threads.map(self._judge, studies):
                for name in broken:
                    verdict.broken[name].append(study.number)
                verdict.compared += study.delivery not in {Delivery.DELETED, Delivery.DEADLY}
        verdict.leaks = [*self._named_outside(), *self._left_in_spool(), *self._orphans()]
        return verdict

    def _answered(self) -> int:
        """Analyses that the service has finished so far, by its log."""
        return (self._site.folder / "logs" / "preprocessing.log").read_bytes().count(_ANSWERED)

    def _judge(self, study: SentStudy) -> tuple[SentStudy, list[str]]:
        found, stored = self._found(study)
        ends = time.monotonic() + _TIDYING_SECONDS
        while outdated(study, found, self._pipeline) and time.monotonic() < ends:
            time.sleep(0.5)
            found, stored = self._found(study)
        broken = violations(study, found, self._pipeline)
        if found and found.state in {"done", "no_result"} and study.delivery is not Delivery.DELETED:
            fresh = self._analyze(study)
            if {uid: stored.get(uid) for uid in fresh} != fresh:
                broken.append("byte_differences")
                self._keep_difference(study, stored, fresh)
        return study, broken

    def _keep_difference(self, study: SentStudy, stored: Mapping[str, str], fresh: Mapping[str, str]) -> None:
        """The site's disks are gone when somebody looks; which objects differ is not."""
        with (self._site.folder / "logs" / "differences.log").open("a") as history:
            history.write(json.dumps({"study": study.number, "stored": stored, "fresh": fresh}) + "\n")

    def _found(self, study: SentStudy) -> tuple[Found | None, dict[str, str]]:
        """The study as the archive holds it, and sha256 of each result object by UID."""
        status = self._status(study)
        if status is None:
            return None, {}
        sources, results, stored = [], [], {}
        for each in self._http.get(f"/studies/{study.orthanc_id}/instances").json():
            uid = str(each["MainDicomTags"]["SOPInstanceUID"])
            if uid.startswith(f"{study.study_instance_uid}."):
                sources.append(uid)
                continue
            data = self._http.get(f"/instances/{each['ID']}/file").content
            results.append(pydicom.dcmread(BytesIO(data), stop_before_pixels=True))
            stored[uid] = hashlib.sha256(data).hexdigest()
        state, digest = str(status.get("state", "")), str(status.get("input_digest", ""))
        return Found(state, digest, int(status.get("attempts", 0)), tuple(sources), tuple(results)), stored

    def _status(self, study: SentStudy) -> Mapping[str, object] | None:
        """What the study shows, empty where it shows nothing, None where there is no such study."""
        answer = self._http.get(f"/studies/{study.orthanc_id}/metadata/ArticulaStatus")
        if answer.is_success:
            return json.loads(answer.text)
        return {} if self._http.get(f"/studies/{study.orthanc_id}").is_success else None

    def _analyze(self, study: SentStudy) -> dict[str, str]:
        """sha256 of each result object of a run without faults, by UID; a service that does not answer gives others."""
        data: dict[str, bytes] = {}
        requests = _requests(study, study.input_digest(self._pipeline))
        try:
            with self._site.analysis() as stub:
                for response in stub.Analyze(requests, timeout=_ANALYSIS_SECONDS):
                    if response.HasField("rejection"):
                        return {"no answer": response.rejection.code}
                    if response.HasField("result"):
                        uid = response.result.sop_instance_uid
                        data[uid] = data.get(uid, b"") + response.result.data
        except grpc.RpcError as error:
            return {"no answer": error.code().name}
        return {uid: hashlib.sha256(each).hexdigest() for uid, each in data.items()}

    def _named_outside(self) -> list[str]:
        """Files outside the archive that name a patient or a study; the system runs on, so some go while we look."""
        folder, found = self._site.folder, []
        for place, folders, files in os.walk(folder):
            if Path(place) == folder:
                folders.remove("archive")
            found += [str((Path(place) / name).relative_to(folder)) for name in files if _names(Path(place) / name)]
        return found

    def _left_in_spool(self) -> list[str]:
        return [f"spool/{path.name}" for path in (self._site.folder / "spool" / "studies").iterdir()]

    def _orphans(self) -> list[str]:
        """Forwarders of this site that its Orthanc did not start; one that has lost its Orthanc has time to end."""
        ends = time.monotonic() + _ENDING_SECONDS
        while (orphans := self._forwarders() - set(self._site.family("orthanc"))) and time.monotonic() < ends:
            time.sleep(0.5)
        return [f"{len(orphans)} forwarders of an Orthanc that is gone"] if orphans else []

    def _forwarders(self) -> set[int]:
        ledger, found = str(self._site.layout.ledger).encode(), set()
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (
                    ledger in (place / "environ").read_bytes()
                    and b"services.forwarder" in (place / "cmdline").read_bytes()
                ):
                    found.add(int(place.name))
        return found


def _names(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        data = path.read_bytes() if path.is_file() else b""
        return any(word in data for word in _CANARIES)
    return False


def _requests(study: SentStudy, digest: str) -> Iterator[pb.AnalyzeRequest]:
    """The stream of one study, its files in the order of their UIDs, because a result may name its first source."""
    pairs = sorted(zip((str(each.SOPInstanceUID) for each in study.instances), study.files, strict=True))
    files = [data for _, data in pairs]
    yield pb.AnalyzeRequest(
        header=pb.StudyHeader(
            study_instance_uid=study.study_instance_uid,
            input_digest=digest,
            instance_count=len(files),
            total_bytes=sum(map(len, files)),
        )
    )
    for index, data in enumerate(files):
        for start in range(0, len(data), _CHUNK):
            last = start + _CHUNK >= len(data)
            chunk = pb.InstanceChunk(instance_index=index, data=data[start : start + _CHUNK], last=last)
            yield pb.AnalyzeRequest(chunk=chunk)
    yield pb.AnalyzeRequest(end=pb.EndOfStudy(instance_count=len(files)))
