"""The Analysis service: a skin over admission, spool and workers that speaks the wire protocol and nothing else."""

import asyncio
import contextlib
import math
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import TypeAlias

import grpc
import structlog

from services.common.errors import (
    ADVICE,
    TRANSIENT,
    ArticulaError,
    ServiceBusy,
    ServiceUnavailable,
    StreamInvalid,
    StudyRefused,
)
from services.common.pb import analysis_pb2 as pb
from services.common.pb import analysis_pb2_grpc
from services.common.telemetry import bind_study
from services.common.wire import RETRY_AFTER, finding_message, split
from services.preprocessing import metrics
from services.preprocessing.admission import RETRY_AFTER_SECONDS, Admission
from services.preprocessing.breaker import Breaker
from services.preprocessing.judgement import PIPELINE
from services.preprocessing.pipeline import Analysis, Job, describe
from services.preprocessing.settings import PreprocessingSettings
from services.preprocessing.spool import Spool
from services.preprocessing.worker import WorkerPool
from services.preprocessing.writing import ResultObject

log = structlog.get_logger()

DescribeContext: TypeAlias = "grpc.aio.ServicerContext[pb.DescribeRequest, pb.PipelineDescription]"
AnalyzeContext: TypeAlias = "grpc.aio.ServicerContext[pb.AnalyzeRequest, pb.AnalyzeResponse]"


_DISCARD_SECONDS = 2.0


class AnalysisServicer(analysis_pb2_grpc.AnalysisServicer):
    """One instance a process."""

    def __init__(self, settings: PreprocessingSettings, pool: WorkerPool) -> None:
        self._settings = settings
        self._pool = pool
        self._breaker = Breaker()
        self._admission = Admission(settings, self._breaker)
        self._spool = Spool(settings.spool)

    async def Describe(  # noqa: N802 - the name of the RPC
        self, request: pb.DescribeRequest, context: DescribeContext
    ) -> pb.PipelineDescription:
        """What this service would do; UNAVAILABLE while Triton does not answer, so it serves as readiness too."""
        del request
        try:
            return await asyncio.to_thread(describe, self._settings)
        except ServiceUnavailable as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
            raise

    async def Analyze(  # noqa: N802 - the name of the RPC
        self, request_iterator: AsyncIterator[pb.AnalyzeRequest], context: AnalyzeContext
    ) -> AsyncIterator[pb.AnalyzeResponse]:
        """One study: accepted, progress, results and summary; or one rejection."""
        attempt_id = uuid.uuid4().hex
        structlog.contextvars.bind_contextvars(attempt=attempt_id)
        deadline = time.monotonic() + (context.time_remaining() or math.inf)
        try:
            async with aclosing(self._analyze(request_iterator, attempt_id, deadline)) as responses:
                async for response in responses:
                    yield response
        except (ArticulaError, OSError) as trouble:
            # the spool's disk is full or away: the study is as good as it was, and may come back
            error = trouble if isinstance(trouble, ArticulaError) else ServiceUnavailable("the spool can't be used")
            log.warning("study rejected", code=error.code)
            metrics.STUDIES.labels("rejected", error.code).inc()
            rejection = _rejection(error)
            yield pb.AnalyzeResponse(rejection=rejection)
            if isinstance(error, ServiceBusy):  # said twice: in our words, and in those that any gRPC caller knows
                context.set_code(grpc.StatusCode.RESOURCE_EXHAUSTED)
                context.set_trailing_metadata(((RETRY_AFTER, f"{rejection.retry_after_seconds:g}"),))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(_discard(request_iterator), _DISCARD_SECONDS)

    async def _analyze(
        self, requests: AsyncIterator[pb.AnalyzeRequest], attempt_id: str, deadline: float
    ) -> AsyncGenerator[pb.AnalyzeResponse, None]:
        header = await _header(requests)
        bind_study(header.study_instance_uid, self._settings.log_key)
        with (
            self._admission.admitted(header),
            metrics.STUDIES_IN_WORK.track_inprogress(),
            self._spool.place_for(header) as intake,
        ):
            log.info("study accepted", instances=header.instance_count, megabytes=header.total_bytes // 2**20)
            yield pb.AnalyzeResponse(accepted=pb.Accepted(attempt_id=attempt_id))
            async for request in requests:
                if request.WhichOneof("message") == "end":
                    break
                intake.write(request.chunk)
            else:
                message = "the stream ended without an end of study"
                raise StreamInvalid(message)
            files = intake.finish(request.end)
            job = Job(
                header.study_instance_uid,
                header.input_digest,
                intake.folder,
                files,
                priority=header.priority,
                deadline=deadline,
                source=header.source,
            )
            async for response in self._work(job):
                yield response

    async def _work(self, job: Job) -> AsyncGenerator[pb.AnalyzeResponse, None]:
        """Run the job on a worker; forward its progress, then its results."""
        updates: asyncio.Queue[pb.Progress | None] = asyncio.Queue()

        def on_progress(stage: str, done: int, total: int) -> None:
            updates.put_nowait(pb.Progress(stage=stage, done=done, total=total))

        running = asyncio.create_task(self._pool.run(job, on_progress))
        running.add_done_callback(lambda _: updates.put_nowait(None))
        try:
            while update := await updates.get():
                yield pb.AnalyzeResponse(progress=update)
            analysis = await running
            if analysis.refusal_code is None:  # the others may not have asked it anything
                self._breaker.worked()
        except ServiceUnavailable:
            self._breaker.failed()
            raise
        finally:
            running.cancel()  # the caller went away: stop the work
        for result in analysis.objects:
            for chunk in _result_chunks(result):
                yield pb.AnalyzeResponse(result=chunk)
        _count(analysis)
        yield pb.AnalyzeResponse(summary=_summary(analysis))


async def _discard(requests: AsyncIterator[pb.AnalyzeRequest]) -> None:
    """Read what the caller still sends; a stream ended under a caller that writes loses the rejection on its way."""
    async for _ in requests:
        pass


async def _header(requests: AsyncIterator[pb.AnalyzeRequest]) -> pb.StudyHeader:
    async for request in requests:
        if request.WhichOneof("message") == "header" and request.header.input_digest:
            if request.header.pipeline in {"", PIPELINE}:
                return request.header
            message = f"there is no such pipeline; this service has: {PIPELINE}"
            raise StreamInvalid(message)
        break
    message = "the first message of a stream must be a header with an input digest"
    raise StreamInvalid(message)


def _result_chunks(result: ResultObject) -> list[pb.ResultChunk]:
    data = Path(result.path).read_bytes()
    return [
        pb.ResultChunk(
            sop_instance_uid=result.sop_instance_uid,
            modality=result.modality,
            series_description=result.series_description,
            data=part,
            last=last,
            manifest=result.manifest,
        )
        for part, last in split(data)
    ]


def _summary(analysis: Analysis) -> pb.Summary:
    refused = analysis.refusal_code is not None
    return pb.Summary(
        outcome=pb.OUTCOME_NO_RESULT if refused else pb.OUTCOME_FINDINGS,
        findings=[finding_message(finding) for finding in analysis.findings],
        refusal_code=analysis.refusal_code or "",
        advice=ADVICE[analysis.refusal_code] if analysis.refusal_code else "",
        notes=analysis.notes,
        stage_seconds=analysis.stage_seconds,
    )


def _count(analysis: Analysis) -> None:
    outcome = "findings" if analysis.refusal_code is None else "no_result"
    metrics.STUDIES.labels(outcome, analysis.refusal_code or "").inc()
    for stage, seconds in analysis.stage_seconds.items():
        metrics.STAGE_SECONDS.labels(stage).observe(seconds)
    log.info("study answered", outcome=outcome, code=analysis.refusal_code, seconds=analysis.stage_seconds)


def _rejection(error: ArticulaError) -> pb.Rejection:
    retry_after = 0.0
    if isinstance(error, ServiceBusy | ServiceUnavailable):
        retry_after = error.retry_after_seconds or RETRY_AFTER_SECONDS
    elif isinstance(error, StudyRefused) and error.code in TRANSIENT:
        retry_after = RETRY_AFTER_SECONDS
    message = error.advice if isinstance(error, StudyRefused) else str(error)
    return pb.Rejection(code=error.code, message=message, retry_after_seconds=retry_after)
