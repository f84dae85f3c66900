"""An Analysis service without models: a real gRPC server that answers as it is told."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from services.common.pb import analysis_pb2 as pb
from services.common.pb import analysis_pb2_grpc
from services.common.server import new_server, serving
from services.common.uids import result_uid
from services.common.wire import RETRY_AFTER, split

PIPELINE_DIGEST = "f" * 64


@dataclass
class FakeAnalysis(analysis_pb2_grpc.AnalysisServicer):
    """``answers`` holds what the next calls do, ``answers_to`` what the next calls for a study do.

    'findings' or 'no_result' with objects; 'no_manifest', 'foreign_manifest', 'crash', 'die', 'slow', 'exhausted' for
    trouble; 'busy' or a refusal code for a rejection. ``gate`` can hold the answers back: an event, or anything that
    can be waited for.
    """

    answers: list[str] = field(default_factory=list)
    answers_to: dict[str, list[str]] = field(default_factory=dict)  # where several studies are on their way at once
    headers: list[pb.StudyHeader] = field(default_factory=list)
    received: list[list[bytes]] = field(default_factory=list)
    make_objects: object = None  # callable(header, instances) -> list[bytes]; the last is the manifest
    pipeline_digest: str = PIPELINE_DIGEST
    describes: bool = True  # False: Describe answers UNAVAILABLE
    gate: Any = None  # an event holds every answer back until it is set

    async def Describe(self, request, context):  # noqa: N802, ARG002
        """The pipeline the test wants."""
        if not self.describes:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no models")
        return pb.PipelineDescription(pipeline="knee", version="test", digest=self.pipeline_digest)

    async def Analyze(self, request_iterator, context):  # noqa: N802
        """Take a study, then do what is told."""
        instances: list[bytes] = []
        part = b""
        async for request in request_iterator:
            match request.WhichOneof("message"):
                case "header":
                    header = request.header
                    self.headers.append(header)
                    yield pb.AnalyzeResponse(accepted=pb.Accepted(attempt_id="a"))
                case "chunk":
                    part += request.chunk.data
                    if request.chunk.last:
                        instances.append(part)
                        part = b""
                case "end":
                    break
        self.received.append(instances)
        async for response in self._answer(header, instances, context):
            yield response

    async def _answer(self, header, instances, context) -> AsyncIterator[pb.AnalyzeResponse]:
        answers = self.answers_to.get(header.study_instance_uid) or self.answers
        told = answers.pop(0) if answers else "findings"
        yield pb.AnalyzeResponse(progress=pb.Progress(stage="infer", done=3, total=5))
        if self.gate:
            await self.gate.wait()
        match told:
            case "die":
                await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
            case "crash":
                message = "a defect of the service"
                raise RuntimeError(message)
            case "exhausted":
                context.set_trailing_metadata(((RETRY_AFTER, "7"),))
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
            case "slow":
                await asyncio.sleep(60)
            case "busy":
                yield pb.AnalyzeResponse(rejection=pb.Rejection(code="BUSY", message="later", retry_after_seconds=0.1))
            case "findings" | "no_result" | "no_manifest" | "foreign_manifest":
                for chunk in self._result_chunks(told, header, instances):
                    yield pb.AnalyzeResponse(result=chunk)
                yield pb.AnalyzeResponse(summary=_SUMMARIES.get(told, _FINDINGS))
            case code:
                yield pb.AnalyzeResponse(rejection=pb.Rejection(code=code, message="refused"))

    def _result_chunks(self, told, header, instances) -> Iterator[pb.ResultChunk]:
        objects = self.make_objects(header, instances) if self.make_objects else [b"object", b"manifest"]
        digest = "another" if told == "foreign_manifest" else header.input_digest
        for index, data in enumerate(objects):
            manifest = told != "no_manifest" and index == len(objects) - 1
            uid = result_uid(digest, "manifest") if manifest else result_uid(digest, "object", index)
            for chunk, last in split(data):
                yield pb.ResultChunk(sop_instance_uid=uid, data=chunk, last=last, manifest=manifest)


_FINDINGS = pb.Summary(outcome=pb.OUTCOME_FINDINGS)
_SUMMARIES = {"no_result": pb.Summary(outcome=pb.OUTCOME_NO_RESULT, refusal_code="NO_GEOMETRY", advice="Export again.")}


@asynccontextmanager
async def fake_analysis(servicer: FakeAnalysis, listen: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """Serve the fake; yields its address."""
    server = new_server()
    analysis_pb2_grpc.add_AnalysisServicer_to_server(servicer, server)
    async with serving(server, listen, drain_seconds=0.1) as address:
        yield address
