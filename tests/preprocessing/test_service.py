"""The service over the wire: real gRPC, real worker processes, a fake Triton."""

import asyncio
import os
import signal
import time

import grpc
import psutil
import pytest

from services.common.errors import RefusalCode
from services.common.finding import LABELS
from services.common.pb import analysis_pb2 as pb
from services.common.uids import result_uid
from services.common.volume import Plane
from services.preprocessing.pipeline import description
from tests.fakes.triton_server import FakeTriton, fake_triton
from tests.preprocessing.live_service import DIGEST, SECONDS, analyze, files_of, objects_of, requests, run, service
from tests.studies import STUDY, series, study


def test_a_study_comes_back_as_findings_and_objects_with_the_manifest_last(tmp_path):
    """Accepted, progress, results, summary, in this order; the manifest commits everything before it."""
    responses = run(tmp_path, requests(files_of(study())))
    kinds = [response.WhichOneof("message") for response in responses]
    assert kinds[0] == "accepted"
    assert kinds[-1] == "summary"
    stages = [response.progress.stage for response in responses if response.WhichOneof("message") == "progress"]
    assert stages == ["read", "select", "assemble", "infer", "write"]
    summary = responses[-1].summary
    assert [finding.label for finding in summary.findings] == list(LABELS)
    assert [finding.label for finding in summary.findings if finding.positive] == ["ACL"]
    results = objects_of(responses)
    assert [each.Modality for each in results.values()] == ["SEG", "SEG", "SEG", "OT", "OT", "SR", "KO"]
    assert list(results)[-1] == result_uid(DIGEST, "manifest")
    assert not list((tmp_path / "spool").iterdir())


def test_the_same_study_gives_the_same_bytes(tmp_path):
    """Two runs on different processes agree on every byte of every object."""
    stream = requests(files_of(study()))
    first, second = run(tmp_path, stream), run(tmp_path, stream)
    assert [r.result for r in first if r.HasField("result")] == [r.result for r in second if r.HasField("result")]


def test_the_segmentation_lies_where_the_bright_block_was(tmp_path):
    """The fake calls bright voxels femur; the SEG's mask is the block of the source, in each plane."""
    results = objects_of(run(tmp_path, requests(files_of(study()))))
    for seg in (each for each in results.values() if each.Modality == "SEG"):
        mask = seg.pixel_array
        assert mask[..., 21:43, 25:47].mean() > 0.98
        assert mask[..., :19, :].sum() + mask[..., 46:, :].sum() == 0


def test_what_is_there_is_read_and_what_is_missing_is_said(tmp_path):
    """One plane is enough for a result."""
    summary = run(tmp_path, requests(files_of(series(Plane.SAGITTAL))))[-1].summary
    assert summary.outcome == pb.OUTCOME_FINDINGS
    assert {"missing: no usable coronal series", "missing: no usable axial series"} <= set(summary.notes)


@pytest.mark.parametrize(
    ("instances", "code"),
    [
        (series(Plane.SAGITTAL, ImagePositionPatient=None), RefusalCode.NO_GEOMETRY),
        (series(Plane.SAGITTAL, PixelData=None), RefusalCode.NO_PIXEL_DATA),
        (series(Plane.SAGITTAL, PixelData=b"\0\0"), RefusalCode.TRUNCATED_PIXEL_DATA),
        (series(Plane.SAGITTAL, PixelData=b"\0\0" * 64 * 72), RefusalCode.NO_SIGNAL),
        (series(Plane.SAGITTAL, StudyInstanceUID="1.2.3"), RefusalCode.IDENTITY_CONFLICT),
        (series(Plane.SAGITTAL, SOPClassUID="1.2.840.10008.5.1.4.1.1.2", Modality="CT"), RefusalCode.NOT_MR),
    ],
)
def test_a_study_that_cannot_be_read_gets_a_coded_no_result_report(tmp_path, instances, code):
    """The summary, the SR and the manifest say so; nothing crashes."""
    responses = run(tmp_path, requests(files_of(instances)))
    assert responses[-1].summary.outcome == pb.OUTCOME_NO_RESULT
    assert responses[-1].summary.refusal_code == code
    report, manifest = objects_of(responses).values()
    assert (report.SeriesDescription, manifest.SeriesDescription) == ("Articula no result", "Articula manifest")


def test_a_study_of_another_part_of_the_body_gets_a_code_and_no_object(tmp_path):
    """A hospital's heads and spines stay as they are; the status says why nothing came."""
    head = study(BodyPartExamined="HEAD", StudyDescription="MR Brain without contrast")
    responses = run(tmp_path, requests(files_of(head)))
    assert (responses[-1].rejection.code, responses[-1].rejection.retry_after_seconds) == ("OTHER_ANATOMY", 0)
    assert not objects_of(responses)


def test_images_without_a_knee_in_them_get_a_coded_no_result_report(tmp_path):
    """Whatever a study calls itself: the segmentation has to be sure of its bones."""
    triton = FakeTriton(confidence=0.66)
    responses = run(tmp_path, requests(files_of(study())), triton)
    assert responses[-1].summary.refusal_code == RefusalCode.NO_KNEE_SEEN
    assert "knee_classification" not in triton.requests


def test_the_pipelines_digest_covers_the_models_parameters():
    """Another threshold or precision is another analysis: its results supersede the old ones."""
    models = {"knee_segmentation": {"onnx_sha256": "a", "precision": "f32"}}
    changed = {"knee_segmentation": {"onnx_sha256": "a", "precision": "bf16"}}
    assert description(models).digest != description(changed).digest


@pytest.mark.parametrize(
    "name", ["RESULT_FORMAT", "FIELD_OF_VIEW_MM", "WINDOW_PERCENTILES", "AVERAGED_FROM", "MOST_PASSES"]
)
def test_the_pipelines_digest_covers_the_way_to_read(monkeypatch, name):
    """What changes results without changing a model makes old results come again as well."""
    models = {"knee_segmentation": {"onnx_sha256": "a"}}
    before = description(models).digest
    monkeypatch.setattr(f"services.preprocessing.pipeline.{name}", 7)
    assert description(models).digest != before


def test_one_damaged_file_does_not_spoil_the_study(tmp_path):
    """It is left out and named in the notes."""
    files = [*files_of(study()), b"\0" * 300]
    summary = run(tmp_path, requests(files))[-1].summary
    assert summary.outcome == pb.OUTCOME_FINDINGS
    assert "1 files were left out: UNREADABLE_DICOM" in summary.notes


def test_a_study_of_damaged_files_only_is_rejected(tmp_path):
    """Without a readable file there is no patient to write a report for, so the rejection carries the code."""
    rejection = run(tmp_path, requests([b"x" * 300, b"y" * 10]))[-1].rejection
    assert (rejection.code, rejection.retry_after_seconds) == ("UNREADABLE_DICOM", 0)


def _without_end(files):
    return requests(files)[:-1]


def _out_of_order(files):
    stream = requests(files)
    return [stream[0], stream[2], stream[1], *stream[3:]]


def _no_header(files):
    return requests(files)[1:]


def _wrong_count(files):
    return requests(files, instance_count=len(files) + 1)


def _too_many_bytes(files):
    return requests(files, total_bytes=10)


def _unknown_pipeline(files):
    return requests(files, pipeline="shoulder")


@pytest.mark.parametrize(
    "broken", [_unknown_pipeline, _without_end, _out_of_order, _no_header, _wrong_count, _too_many_bytes]
)
def test_a_stream_that_breaks_the_protocol_is_rejected(tmp_path, broken):
    """One code for all defects of the caller."""
    assert run(tmp_path, broken(files_of(series(Plane.SAGITTAL))))[-1].rejection.code == "STREAM_INVALID"


def test_a_study_over_the_limit_is_refused_at_its_header(tmp_path):
    """The bound on the spool is the header's word, checked before a byte is written."""
    rejection = run(tmp_path, requests(files_of(study())), max_study_bytes=1000)[-1].rejection
    assert rejection.code == "TOO_LARGE"


def test_a_model_that_breaks_its_contract_stores_nothing(tmp_path):
    """A truncated tensor is a coded failure worth a retry, never a result."""
    broken = FakeTriton(broken="knee_segmentation")
    responses = run(tmp_path, requests(files_of(study())), broken)
    assert responses[-1].rejection.code == "MODEL_OUTPUT_INVALID"
    assert responses[-1].rejection.retry_after_seconds > 0
    assert objects_of(responses) == {}


def test_a_triton_that_is_down_asks_the_caller_to_come_back(tmp_path):
    """Describe is UNAVAILABLE and a study gets a retry time."""

    async def once():
        async with service(tmp_path, "127.0.0.1:1") as stub:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Describe(pb.DescribeRequest(), timeout=SECONDS)
            return caught.value.code(), await analyze(stub, requests(files_of(study())))

    code, responses = asyncio.run(once())
    assert code == grpc.StatusCode.UNAVAILABLE
    assert responses[-1].rejection.code == "UNAVAILABLE"
    assert responses[-1].rejection.retry_after_seconds > 0


def test_admission_is_bounded(tmp_path):
    """With one place taken the next study is told when to come back, and the place is free again afterwards."""

    async def once():
        with fake_triton(FakeTriton()) as target:
            async with service(tmp_path, target, max_studies=1) as stub:
                stream = requests(files_of(study()))
                first = stub.Analyze(timeout=SECONDS)
                await first.write(stream[0])
                await first.read()
                busy = await analyze(stub, stream)
                first.cancel()
                await asyncio.sleep(0.3)
                return busy, await analyze(stub, stream)

    busy, after = asyncio.run(once())
    assert busy[-1].rejection.code == "BUSY"
    assert busy[-1].rejection.retry_after_seconds > 0
    assert after[-1].summary.outcome == pb.OUTCOME_FINDINGS


def test_a_full_house_keeps_no_urgent_study_out(tmp_path):
    """Routine studies are told to come back, a STAT study has places of its own."""

    async def once():
        with fake_triton(FakeTriton()) as target:
            async with service(tmp_path, target, max_studies=1, urgent_places=1) as stub:
                first = stub.Analyze(timeout=SECONDS)
                await first.write(requests(files_of(study()))[0])
                await first.read()
                urgent = await analyze(stub, requests(files_of(study()), priority=pb.PRIORITY_STAT))
                routine = await analyze(stub, requests(files_of(study()), priority=pb.PRIORITY_ROUTINE))
                first.cancel()
                return urgent, routine

    urgent, routine = asyncio.run(once())
    assert urgent[-1].summary.outcome == pb.OUTCOME_FINDINGS
    assert routine[-1].rejection.code == "BUSY"


def test_a_spool_that_is_away_asks_the_caller_to_come_back(tmp_path):
    """A full or missing disk is the service's trouble, not the study's."""

    async def once():
        with fake_triton(FakeTriton()) as target:
            async with service(tmp_path, target) as stub:
                (tmp_path / "spool").rename(tmp_path / "away")
                away = await analyze(stub, requests(files_of(study())))
                (tmp_path / "away").rename(tmp_path / "spool")
                return away, await analyze(stub, requests(files_of(study())))

    away, back = asyncio.run(once())
    assert away[-1].rejection.code == "UNAVAILABLE"
    assert away[-1].rejection.retry_after_seconds > 0
    assert back[-1].summary.outcome == pb.OUTCOME_FINDINGS


def test_a_killed_worker_costs_only_its_own_study(tmp_path):
    """Kill -9 in the middle of a study is a coded rejection; the next study finds a new worker."""

    async def once():
        with fake_triton(FakeTriton(delay_seconds=1)) as target:
            async with service(tmp_path, target) as stub:
                stream = requests(files_of(study()))
                responses = []
                async for response in stub.Analyze(iter(stream), timeout=SECONDS):
                    responses.append(response)
                    if response.progress.stage == "infer":
                        for child in psutil.Process().children(recursive=True):
                            if "spawn_main" in " ".join(child.cmdline()):
                                os.kill(child.pid, signal.SIGKILL)
                return responses, await analyze(stub, stream)

    killed, after = asyncio.run(once())
    assert killed[-1].rejection.code == "PROCESSING_CRASHED"
    assert after[-1].summary.outcome == pb.OUTCOME_FINDINGS


def test_a_study_that_takes_too_long_is_killed(tmp_path):
    """The bound on wall clock holds."""
    rejection = run(tmp_path, requests(files_of(study())), study_seconds=0.01)[-1].rejection
    assert rejection.code == "PROCESSING_TIMEOUT"


def test_a_call_to_triton_never_outlasts_the_callers_deadline(tmp_path):
    """The worker that waits for a slow Triton is killed when nobody waits for it any more."""

    async def once():
        with fake_triton(FakeTriton(delay_seconds=8)) as target:
            async with service(tmp_path, target) as stub:
                started = time.monotonic()
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    async for _ in stub.Analyze(iter(requests(files_of(study()))), timeout=4):
                        pass
                seconds = time.monotonic() - started
                after = await analyze(stub, requests(files_of(series(Plane.SAGITTAL, PixelData=None))))
                return caught.value.code(), seconds, after

    code, seconds, after = asyncio.run(once())
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert seconds < 6
    assert after[-1].summary.refusal_code == RefusalCode.NO_PIXEL_DATA


def test_nothing_of_the_patient_is_logged(tmp_path, capfd):
    """Name, id, birth date and UIDs of the study are in no log line of any process."""
    run(tmp_path, requests(files_of(study())))
    output = capfd.readouterr()
    text = output.out + output.err
    assert "study answered" in text
    for canary in ("Canary", "CANARY", "19450607", STUDY):
        assert canary not in text
