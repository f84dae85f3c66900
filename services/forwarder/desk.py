"""What the pages ask for: the worklist, one study's view and layers, opinions and retries. Knows nothing of HTTP.

Views and layers are made of what Orthanc has parsed, and the newest few are kept: layers never change, a view is as old
as the study's last change.
"""

import asyncio
import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

from services.common.errors import ServiceUnavailable
from services.common.pb.analysis_pb2_grpc import AnalysisStub
from services.common.status import StudyState
from services.common.uids import result_uid
from services.forwarder import stream
from services.forwarder.archive import Archive, NotStored
from services.forwarder.ledger import Ledger
from services.viewer.document import read_report
from services.viewer.feedback import Feedback, Opinion
from services.viewer.layers import heat_volume, label_volume, packed
from services.viewer.view import PARAMETRIC_MAP, SEGMENTATION, StudyView, study_view

_VIEWS, _LAYERS = 8, 64
_LAYERED = {SEGMENTATION: ("7fe0-0010/0", label_volume), PARAMETRIC_MAP: ("7fe0-0008", heat_volume)}
_PULSE_SECONDS, _PULSE_DEADLINE = 5.0, 3.0


class Desk:
    """Answers for the pages."""

    def __init__(self, archive: Archive, stub: AnalysisStub, ledger: Ledger, *, feedback: Feedback) -> None:
        self._archive = archive
        self._stub = stub
        self._ledger = ledger
        self._feedback = feedback
        self._views: OrderedDict[str, tuple[str, StudyView]] = OrderedDict()
        self._layers: OrderedDict[str, bytes] = OrderedDict()
        self._analysis_works: bool | None = None
        self._pulse_at = -_PULSE_SECONDS
        self._filled: set[str] = set()

    @property
    def version(self) -> str:
        """Names what ``worklist`` returns now."""
        return f"{self._ledger.board.version}-{self._analysis_works}"

    async def refresh(self) -> None:
        """Ask the analysis service how it is, at most every few seconds, and fill gaps of the worklist."""
        if time.monotonic() - self._pulse_at >= _PULSE_SECONDS:
            self._pulse_at = time.monotonic()
            try:
                await stream.describe(self._stub, seconds=_PULSE_DEADLINE)
                self._analysis_works = True
            except ServiceUnavailable:
                self._analysis_works = False
        await self._fill()

    def worklist(self) -> dict[str, Any]:
        """Every study with its state, and whether the analysis service answers."""
        board = self._ledger.board
        return {"studies": board.rows(), "total": board.count(), "analysis_works": self._analysis_works}

    async def view(self, study_id: str) -> dict[str, Any]:
        """The page of one study; raises ``NotStored`` or ``ServiceUnavailable``."""
        view = await self._view(study_id)
        return {**view.to_json(), "feedback": self.opinions(view.study_instance_uid)}

    async def layer(self, study_id: str, instance_id: str) -> bytes:
        """A segmentation or a map of the study as a packed volume; ``ValueError`` where it can't be drawn."""
        if instance_id in self._layers:
            self._layers.move_to_end(instance_id)
            return self._layers[instance_id]
        view = await self._view(study_id)
        result = view.by_instance(instance_id)
        if result is None or result.sop_class_uid not in _LAYERED:
            raise NotStored(instance_id)
        pixel_tag, draw = _LAYERED[result.sop_class_uid]
        tags = view.tags.get(instance_id) or await self._archive.json(f"/instances/{instance_id}/tags?simplify")
        pixels = await self._archive.content(f"/instances/{instance_id}/content/{pixel_tag}")
        plane = view.plane_of(tags)
        if plane is None:
            raise NotStored(instance_id)
        self._layers[instance_id] = await asyncio.to_thread(lambda: packed(draw(tags, pixels, plane.slices)))
        while len(self._layers) > _LAYERS:
            self._layers.popitem(last=False)
        return self._layers[instance_id]

    def opinions(self, study_instance_uid: str) -> list[dict[str, Any]]:
        """What people said about a study's findings."""
        return [
            {
                "label": each.label,
                "verdict": each.verdict,
                "comment": each.comment,
                "observer": each.observer,
                "said_at": each.said_at,
            }
            for each in self._feedback.of_study(study_instance_uid)
        ]

    async def say(self, study_id: str, body: Any, observer: str) -> list[dict[str, Any]]:
        """Keep an opinion on the result that is shown now; ``ValueError`` where it is none or there is no result."""
        view = await self._view(study_id)
        label = body.get("label") if isinstance(body, dict) else None
        finding = next((each for each in view.report.findings if each.label == label), None) if view.report else None
        if finding is None or view.status is None or view.report is None:
            message = "the study has no such finding"
            raise ValueError(message)
        opinion = Opinion.from_request(
            body,
            study_instance_uid=view.study_instance_uid,
            input_digest=view.status.input_digest,
            observer=observer,
            said_at=datetime.now(UTC).isoformat(timespec="seconds"),
            software_version=view.report.software_version,
            probability=finding.probability,
        )
        self._feedback.add(opinion)
        return self.opinions(view.study_instance_uid)

    def everything_said(self) -> list[Opinion]:
        """All opinions there are."""
        return self._feedback.everything()

    def ask_again(self, study_id: str, observer: str) -> None:
        """Wish for another analysis; ``NotStored`` where the worklist has no such study."""
        if self._ledger.board.status(study_id) is None:
            raise NotStored(study_id)
        self._ledger.ask_again(study_id, observer)

    async def _view(self, study_id: str) -> StudyView:
        study = await self._archive.json(f"/studies/{study_id}")
        status = await self._archive.shown(study_id)
        version = f"{study.get('LastUpdate')}/{len(study['Series'])}/{status}"
        if self._views.get(study_id, ("", None))[0] != version:
            self._views[study_id] = version, await study_view(self._archive, study_id, status)
        self._views.move_to_end(study_id)
        while len(self._views) > _VIEWS:
            self._views.popitem(last=False)
        return self._views[study_id][1]

    async def _fill(self) -> None:
        """Findings of studies that were done before this ledger began, one study a call."""
        board = self._ledger.board
        for row in board.rows():
            status = row["status"]
            if status["state"] == StudyState.DONE and not row["findings"] and row["id"] not in self._filled:
                self._filled.add(row["id"])
                board.findings(row["id"], await self._reported(row["id"], status["input_digest"]))
                return

    async def _reported(self, study_id: str, digest: str) -> list[dict[str, Any]]:
        instances = await self._archive.json(f"/studies/{study_id}/instances?expand")
        wanted = result_uid(digest, "report")
        for each in instances:
            if each["MainDicomTags"].get("SOPInstanceUID") == wanted:
                report = read_report(await self._archive.json(f"/instances/{each['ID']}/tags?simplify"))
                ordered = sorted(report.findings, key=lambda one: -one.probability)
                return [
                    {"label": one.label, "probability": one.probability, "positive": one.positive} for one in ordered
                ]
        return []
