"""What the real services' ``/metrics`` say, and that the table in docs/metrics.md says the same."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import grpc
import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.common.pb.analysis_pb2_grpc import AnalysisStub
from services.common.triton import REASONS
from services.common.wire import open_channel
from services.forwarder.metrics import PRIORITIES
from tests.fakes.analysis_server import FakeAnalysis
from tests.fakes.analysis_thread import analysis_in_thread
from tests.fakes.orthanc_server import FakeOrthanc, fake_orthanc
from tests.fakes.result_objects import result_objects
from tests.fakes.triton_server import FakeTriton, fake_triton
from tests.preprocessing.live_service import analyze, files_of, requests
from tests.studies import STUDY, part10, study
from tools.stack.plan import free_port

ROOT = Path(__file__).parents[1]
_PLUMBING = frozenset({"", "le"})


class Scrape:
    """One look at a process's endpoint."""

    def __init__(self, port: int) -> None:
        self.text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=10).text
        self.families = {each.name: each for each in text_string_to_metric_families(self.text)}

    def value(self, sample: str, **labels: str) -> float:
        """The sum over all samples of this name that carry these labels."""
        found = [each for family in self.families.values() for each in family.samples if each.name == sample]
        return sum(each.value for each in found if labels.items() <= each.labels.items())


@contextmanager
def process_of(module: str, **settings: object) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A service as it is started in earnest, and the port of its metrics."""
    port = free_port()
    values = {f"ARTICULA_{name.upper()}": str(value) for name, value in settings.items()}
    environment = {**os.environ, **values, "ARTICULA_METRICS_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-m", module], cwd=ROOT, env=environment)
    try:
        assert until(lambda: scrape(port) is not None)
        yield process, port
    finally:
        process.terminate()
        process.wait(60)


def scrape(port: int) -> Scrape | None:
    try:
        return Scrape(port)
    except httpx.HTTPError:
        return None


def until(condition, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


class Full(FakeTriton):
    """Its queue is full, in Triton's own words."""

    def ModelInfer(self, request, context):  # noqa: N802
        """Turned down at once."""
        self.requests.append(request.model_name)
        context.abort(grpc.StatusCode.UNAVAILABLE, f"[request id: <id>] Exceeds maximum queue size for {request}"[:90])


@contextmanager
def preprocessing(triton: FakeTriton, folder: Path, **settings) -> Iterator[tuple[subprocess.Popen[bytes], int, str]]:
    listen = f"127.0.0.1:{free_port()}"
    chosen = {"listen": listen, "spool": folder / "spool", "infer_seconds": 10, **settings}
    with (
        fake_triton(triton) as target,
        process_of("services.preprocessing", triton=target, **chosen) as (process, port),
    ):
        yield process, port, listen


async def send(listen: str):
    async with open_channel(listen) as channel:
        return await analyze(AnalysisStub(channel), requests(files_of(study())))


def test_preprocessing_counts_its_studies_and_what_its_workers_ask_of_triton(tmp_path):
    """Outcomes, stages, requests and batch sizes after one study; nothing is in work any more; no UID anywhere."""
    triton = FakeTriton()
    with preprocessing(triton, tmp_path) as (_, port, listen):
        asyncio.run(send(listen))
        seen = Scrape(port)
    assert seen.value("articula_studies_total", outcome="findings", code="") == 1
    assert seen.value("articula_studies_in_work") == 0
    for stage in ("read", "select", "assemble", "infer", "write"):
        assert seen.value("articula_stage_seconds_count", stage=stage) == 1
    assert seen.value("articula_triton_batch_size_count") == len(triton.requests)
    assert seen.value("articula_triton_batch_size_sum", model="knee_segmentation") == 3
    assert seen.value("articula_triton_request_seconds_count", model="knee_classification") == 1
    assert seen.value("articula_triton_waiting_requests") == 0
    assert STUDY not in seen.text
    documented(seen, "preprocessing")


def test_a_killed_worker_takes_its_waiting_requests_along_and_leaves_its_counts(tmp_path):
    """While Triton computes three requests wait; after SIGKILL none does, and what was sent stays counted."""
    with preprocessing(FakeTriton(delay_seconds=30), tmp_path, workers=1) as (process, port, listen):

        async def kill_meanwhile():
            running = asyncio.create_task(send(listen))
            waiting = lambda: Scrape(port).value("articula_triton_waiting_requests") == 3  # noqa: E731
            assert await asyncio.to_thread(until, waiting)
            assert Scrape(port).value("articula_studies_in_work") == 1
            for child in psutil.Process(process.pid).children():
                if "spawn_main" in " ".join(child.cmdline()):
                    child.kill()
            return await running

        assert asyncio.run(kill_meanwhile())[-1].rejection.code == "PROCESSING_CRASHED"
        seen = Scrape(port)
    assert seen.value("articula_triton_waiting_requests") == 0
    assert seen.value("articula_triton_batch_size_count", model="knee_segmentation") == 3
    assert seen.value("articula_studies_total", outcome="rejected", code="PROCESSING_CRASHED") == 1


def test_a_full_queue_is_counted_as_such(tmp_path):
    """Triton's own metrics never say so; the caller's do, with a reason of the fixed vocabulary."""
    with preprocessing(Full(), tmp_path, infer_seconds=60) as (_, port, listen):
        assert asyncio.run(send(listen))[-1].rejection.code == "UNAVAILABLE"
        until(lambda: Scrape(port).value("articula_triton_rejections_total") >= 1)
        seen = Scrape(port)
    reasons = {each.labels["reason"] for each in seen.families["articula_triton_rejections"].samples}
    assert "queue_full" in reasons
    assert reasons <= set(REASONS)
    documented(seen, "preprocessing")


def test_the_forwarder_shows_its_backlog_until_the_result_is_visible(tmp_path):
    """One study: backlog 1 and an age that grows while the service is away, then 0 and one observation."""
    orthanc, port_of_analysis = FakeOrthanc(clock=datetime.now(UTC).strftime("%Y%m%dT%H%M%S")), free_port()
    settings = {"ledger": tmp_path / "ledger.sqlite", "password": "p", "quiet_seconds": 0.2, "sweep_seconds": 0.3}
    with (
        fake_orthanc(orthanc) as url,
        process_of("services.forwarder", orthanc_url=url, analysis=f"127.0.0.1:{port_of_analysis}", **settings) as (
            _,
            port,
        ),
    ):
        assert Scrape(port).value("articula_oldest_unfinished_study_seconds") == 0
        for each in study():
            orthanc.put(part10(each))
        assert until(lambda: Scrape(port).value("articula_backlog_studies", priority="routine") == 1)
        assert until(lambda: Scrape(port).value("articula_oldest_unfinished_study_seconds") > 1)
        with analysis_in_thread(FakeAnalysis(make_objects=result_objects), port_of_analysis):
            assert until(lambda: Scrape(port).value("articula_study_seconds_count") == 1)
            assert until(lambda: Scrape(port).value("articula_backlog_studies") == 0)
            seen = Scrape(port)
    assert seen.value("articula_oldest_unfinished_study_seconds") == 0
    assert seen.value("articula_study_seconds_sum") > 1
    assert {each.labels["priority"] for each in seen.families["articula_backlog_studies"].samples} == set(PRIORITIES)
    assert STUDY not in seen.text
    documented(seen, "forwarder")


def documented(seen: Scrape, service: str) -> None:
    """Every family of the scrape is in the table with its type and labels; samples of other names do not exist."""
    table = {name: row for name, row in rows().items() if row["service"] == service}
    for family in seen.families.values():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert name in table, name
        assert table[name]["type"] == family.type
        labels = {label for sample in family.samples for label in sample.labels} - _PLUMBING
        assert labels == table[name]["labels"] or not family.samples, name


def rows() -> dict[str, dict[str, object]]:
    """The table of docs/metrics.md by metric name."""
    found = {}
    for line in (ROOT / "docs" / "metrics.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `articula_"):
            labels = set(re.findall(r"`(\w+)`", cells[3]))
            found[cells[0].strip("`")] = {"service": cells[1], "type": cells[2], "labels": labels}
    return found


@pytest.mark.parametrize("name", sorted(rows()))
def test_a_documented_metric_exists(name):
    """The table names nothing that the code does not define."""
    code = "".join(path.read_text() for path in (ROOT / "services").glob("*/metrics.py"))
    assert f'"{name}"' in code
