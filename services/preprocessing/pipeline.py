"""One study from bytes to results, inside one worker process.

    read -> select -> assemble -> infer (segment, classify, explain) -> write

Large arrays never leave this process: instances come in as files of the spool, result objects go out the same way.
A study without a usable series gets a coded no-result report instead of findings, stored like any other result.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pydicom

from services.common.errors import RefusalCode, ServiceUnavailable, StudyRefused
from services.common.finding import Finding, Laterality
from services.common.pb import analysis_pb2 as pb
from services.common.study import Provenance
from services.common.tensors import SLICES
from services.common.transforms import AVERAGED_FROM, FIELD_OF_VIEW_MM, MOST_PASSES, PIXEL_MM, WINDOW_PERCENTILES
from services.common.triton import TritonClient
from services.preprocessing.agreement import OTHER_PLANE, SURE
from services.preprocessing.explanation import explain
from services.preprocessing.inference import Reading, read_knee
from services.preprocessing.judgement import PIPELINE, Judgement, decode, judge
from services.preprocessing.laterality import Side
from services.preprocessing.motion import LEAST_AGREEMENT
from services.preprocessing.reading import StudyFiles, read_study
from services.preprocessing.rules import load_rules
from services.preprocessing.settings import PreprocessingSettings
from services.preprocessing.stacking import Sources, laid
from services.preprocessing.writing import ResultObject, findings_objects, no_result_objects, store
from services.results.identity import RESULT_FORMAT

SOFTWARE_VERSION = "0.1.0"
PREPROCESSING = (
    f"window {WINDOW_PERCENTILES[0]:g} to {WINDOW_PERCENTILES[1]:g} percentile to 8 bits, "
    f"{FIELD_OF_VIEW_MM:g} mm field of view at {PIXEL_MM:.3f} mm, {SLICES} slices a pass, left knees mirrored, "
    "planes asked where one doubts"
)
STAGES = ("read", "select", "assemble", "infer", "write")

OnStage = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Job:
    """What a worker needs to know about one study.

    The instance files lie in ``folder``; ``deadline`` is the caller's, on this machine's monotonic clock.
    """

    study_instance_uid: str
    input_digest: str
    folder: Path
    instances: tuple[Path, ...]
    priority: pb.Priority = pb.PRIORITY_ROUTINE
    deadline: float = math.inf
    source: str = ""  # who sent it, as the header says


@dataclass(frozen=True)
class Analysis:
    """The outcome of one study; ``refusal_code`` is None where there are findings. The manifest is the last object."""

    objects: tuple[ResultObject, ...]
    findings: tuple[Finding, ...]
    refusal_code: RefusalCode | None
    notes: tuple[str, ...]
    stage_seconds: dict[str, float]


class Pipeline:
    """The knee pipeline with its connection to Triton; a context manager."""

    def __init__(self, settings: PreprocessingSettings) -> None:
        self._triton = _connect(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._triton.close()

    def analyze(self, job: Job, on_stage: OnStage) -> Analysis:
        """Analyse one study.

        Raises ``ServiceUnavailable`` where Triton does not answer, and ``StudyRefused`` where not even a no-result
        report can be written (no readable file) or a model broke its contract.
        """
        self._triton.deadline = job.deadline
        self._triton.priority = job.priority
        return _Run(self._triton, job, on_stage).analyze()


def describe(settings: PreprocessingSettings) -> pb.PipelineDescription:
    """Name, version and digests of the pipeline; raises ``ServiceUnavailable`` while Triton is not ready."""
    with _connect(settings) as triton:
        if not triton.ready():
            message = "Triton is not ready"
            raise ServiceUnavailable(message)
        return description(triton.model_parameters())


def _connect(settings: PreprocessingSettings) -> TritonClient:
    return TritonClient(settings.triton, timeout_seconds=settings.infer_seconds, tls_folder=settings.tls_folder)


def description(models: dict[str, dict[str, str]]) -> pb.PipelineDescription:
    """The digest covers everything that can change a result: models, their parameters, software and preprocessing."""
    parameters = {
        "models": models,
        "software": SOFTWARE_VERSION,
        "result_format": RESULT_FORMAT,
        "field_of_view_mm": FIELD_OF_VIEW_MM,
        "window_percentiles": WINDOW_PERCENTILES,
        "slices": [SLICES, AVERAGED_FROM, MOST_PASSES],
        "planes": [SURE, OTHER_PLANE, LEAST_AGREEMENT],
        "rules": load_rules(PIPELINE).text,
    }
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()
    digests = {name: parameters["onnx_sha256"] for name, parameters in models.items()}
    return pb.PipelineDescription(pipeline=PIPELINE, version=SOFTWARE_VERSION, digest=digest, model_digests=digests)


# an object on every head and spine of a hospital would be litter; the status says why
_WITHOUT_OBJECT = frozenset({RefusalCode.MODEL_OUTPUT_INVALID, RefusalCode.OTHER_ANATOMY})


@dataclass
class _Run:
    """One study on its way through the stages."""

    triton: TritonClient
    job: Job
    on_stage: OnStage
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def analyze(self) -> Analysis:
        with self._stage("read"):
            files = read_study(self.job.instances, self.job.study_instance_uid)
            self.notes += [f"{count} files were left out: {code}" for code, count in files.left_out.items()]
        try:
            return self._findings(files)
        except StudyRefused as refusal:
            if refusal.code in _WITHOUT_OBJECT:
                raise
            return self._no_result(files.instances[0], refusal.code)

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        self.on_stage(name, STAGES.index(name), len(STAGES))
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 4)

    def _findings(self, files: StudyFiles) -> Analysis:
        with self._stage("select"):
            selection, side = judge(files.instances)
        with self._stage("assemble"):
            judgement = Judgement(selection, side, {}) if files.refusal else decode(selection)
            sources = self._sources(judgement, files.refusal)
        side = judgement.side
        with self._stage("infer"):
            reading = read_knee(self.triton, sources, settle_side=not side.conflict)
            self._note_side(side, reading.sources.laterality)
            self._note_planes(reading)
        with self._stage("write"):
            objects = findings_objects(reading, provenance=self._provenance())
            stored = store(objects, self.job.folder, input_digest=self.job.input_digest)
        return self._analysis(stored, reading, None)

    def _no_result(self, source: pydicom.Dataset, code: RefusalCode) -> Analysis:
        with self._stage("write"):
            objects = no_result_objects(source, code, provenance=self._provenance())
            stored = store(objects, self.job.folder, input_digest=self.job.input_digest)
        return self._analysis(stored, None, code)

    def _sources(self, judgement: Judgement, refusal: RefusalCode | None) -> Sources:
        """The chosen volumes on the models' grid, after the notes said why these; raises ``StudyRefused``."""
        selection, side = judgement.selection, judgement.side
        self.notes += explain(selection, side).sentences()
        code = refusal or selection.refusal
        if code:
            raise StudyRefused(code)
        self.notes += [f"missing: no usable {plane} series" for plane in selection.missing]
        mirrored = side.laterality is Laterality.LEFT
        inputs = {plane: laid(volume, mirrored=mirrored) for plane, volume in judgement.volumes.items()}
        return Sources({plane: selection.chosen[plane].frames for plane in inputs}, inputs, side.laterality)

    def _note_side(self, side: Side, settled: Laterality) -> None:
        if side.conflict:
            self.notes.append(f"side: {side.conflict}")
        if settled is Laterality.UNKNOWN:
            self.notes.append("side unknown: medial and lateral are named as for a right knee")
        elif side.source != "tags":
            self.notes.append(f"side {settled} from {side.source or 'segmentation'}, no tag names it")

    def _note_planes(self, reading: Reading) -> None:
        like = next(plane for plane in reading.labels if plane not in reading.unlike)
        self.notes += [
            f"{plane}: its bones can't be laid on those of the {like} series, so it was segmented by itself"
            for plane in reading.unlike
        ]

    def _provenance(self) -> Provenance:
        about = description(self.triton.model_parameters())
        return Provenance(
            input_digest=self.job.input_digest,
            pipeline=about.pipeline,
            software_version=about.version,
            pipeline_digest=about.digest,
            model_digests=dict(about.model_digests),
            notes=tuple(self.notes),
            preprocessing=PREPROCESSING,
        )

    def _analysis(
        self, stored: tuple[ResultObject, ...], reading: Reading | None, code: RefusalCode | None
    ) -> Analysis:
        return Analysis(stored, reading.findings if reading else (), code, tuple(self.notes), dict(self.seconds))
