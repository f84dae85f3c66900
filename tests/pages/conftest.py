"""A browser in front of a real Orthanc with our plugin, a forwarder, and an analysis service that answers as told."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from services.common.status import StudyState
from tests.fakes.analysis_server import FakeAnalysis
from tests.fakes.analysis_thread import analysis_in_thread
from tests.fakes.knee_results import knee_results
from tests.real.orthanc import RealOrthanc, real_orthanc, wait_for
from tests.studies import part10
from tools.stack import plan

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = Path(__file__).parents[2] / "build" / "axe" / "axe.min.js"
_GRAPHICS = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@pytest.hookimpl(tryfirst=True)  # before the marks are read
def pytest_collection_modifyitems(items):
    """Without Chromium or Orthanc there is no page to look at."""
    here = Path(__file__).parent
    orthanc = shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin")
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.orthanc)
            item.add_marker(pytest.mark.skipif(not (CHROMIUM and orthanc), reason="no Chromium or no Orthanc"))


@dataclass
class Clinic:
    """An archive that is read from a browser."""

    orthanc: RealOrthanc
    service: FakeAnalysis
    errors: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where Orthanc answers."""
        return self.orthanc.state.orthanc_url

    def send(self, instances) -> str:
        """Store source images; returns Orthanc's id of the study."""
        http = self.orthanc.rest._http
        for each in instances:
            answer = http.post("/instances", content=part10(each)).raise_for_status().json()
        return answer["ParentStudy"]

    def ends(self, study_id: str, state: StudyState) -> None:
        """Wait until the study's analysis has ended like this."""

        def ended() -> bool:
            status = self.orthanc.rest.status(study_id)
            return status is not None and status.state == state

        wait_for(ended, 40)

    def knee(self, images, uid: str) -> str:
        """Store images as a study and a patient of their own; returns Orthanc's id of the study."""
        for index, each in enumerate(images):
            each.PatientID, each.StudyInstanceUID = f"CANARY-{uid}", uid
            each.SeriesInstanceUID, each.SOPInstanceUID = f"{uid}.1", f"{uid}.1.{index}"
        return self.send(images)

    def drop(self, study_id: str) -> None:
        """Delete a study."""
        self.orthanc.rest._http.delete(f"/studies/{study_id}")


HOSTILE = "<img src=x onerror=alert(1)>\"'&<script>alert(2)</script>"


def results_as_described(header, instances) -> list[bytes]:
    """A result set whose texts are hostile where the study's description is."""
    description = str(pydicom.dcmread(BytesIO(instances[0]), stop_before_pixels=True).get("StudyDescription", ""))
    return knee_results(header, instances, hostile=HOSTILE if description.startswith("<") else "")


@contextmanager
def clinic_at(folder: Path, **service) -> Iterator[Clinic]:
    """A clinic of its own."""
    servicer = FakeAnalysis(**{"make_objects": results_as_described, **service})
    port = plan.free_port()
    with analysis_in_thread(servicer, port), real_orthanc(folder, f"127.0.0.1:{port}") as orthanc:
        yield Clinic(orthanc, servicer)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Not for the whole session: while it lives, this thread has an event loop, and no other test could run one."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *_GRAPHICS])
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def clinic(tmp_path_factory) -> Iterator[Clinic]:
    with clinic_at(tmp_path_factory.mktemp("clinic") / "orthanc") as made:
        yield made


@pytest.fixture
def new_page(browser) -> Iterator[Callable[..., Page]]:
    """A page that is logged in; an uncaught error or a broken content policy in any of them fails the test."""
    contexts, errors = [], []

    def made(*, width: int = 1280, height: int = 800, **options) -> Page:
        login = {"username": "demo", "password": "demo-password"}
        context = browser.new_context(http_credentials=login, viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: errors.append(line.text) if "Content Security Policy" in line.text else None)
        return page

    yield made
    for context in contexts:
        context.close()
    assert errors == []


def violations(page: Page) -> list[str]:
    """What axe-core finds against WCAG 2 A and AA; run where the page's own policy does not forbid it."""
    session = page.context.new_cdp_session(page)
    session.send("Runtime.evaluate", {"expression": AXE.read_text()})
    question = "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa']}).then(r => r.violations.flatMap(v => "
    question += "v.nodes.map(n => `${v.id}: ${n.target} ${n.failureSummary}`)))"
    answer = session.send("Runtime.evaluate", {"expression": question, "awaitPromise": True, "returnByValue": True})
    return answer["result"]["value"]
