"""The worklist as the person sees it who wonders where a study is."""

import os
import signal

import pytest
from playwright.sync_api import expect

from services.common.status import StudyState
from services.common.volume import Plane
from tests.pages.conftest import AXE, clinic_at, violations
from tests.real.orthanc import forwarders
from tests.studies import series

UID = "1.2.826.0.1.3680043.8.498.9"


def knee(clinic, number: int, description: str) -> str:
    """A small study of its own, stored; Orthanc's id of it."""
    return clinic.knee(series(Plane.SAGITTAL, StudyDescription=description), f"{UID}{number}")


def row(page, study_id):
    """The study's line."""
    return page.locator(f'tr[data-study="{study_id}"]')


def test_an_empty_archive_says_what_to_do_and_a_new_study_appears_by_itself(tmp_path, new_page):
    """From nothing over its states to done, without a reload."""
    with clinic_at(tmp_path / "orthanc") as clinic:
        page = new_page()
        page.goto(f"{clinic.url}/articula/")
        expect(page.get_by_text("No studies yet")).to_be_visible()
        study_id = knee(clinic, 1, "Knee right")
        expect(row(page, study_id)).to_have_attribute("data-state", "done", timeout=30_000)
        expect(row(page, study_id)).to_contain_text("Knee right")
        expect(row(page, study_id)).to_contain_text("2025-01-02")
        expect(row(page, study_id)).to_contain_text("routine")
        clinic.drop(study_id)
        expect(page.get_by_text("No studies yet")).to_be_visible(timeout=15_000)


def test_a_study_without_a_result_is_analysed_again_on_request(clinic, new_page):
    """The reason stands in its line; retry sends it again, and the second answer replaces the first."""
    clinic.service.answers_to[f"{UID}2"] = ["no_result"]
    study_id = knee(clinic, 2, "Knee again")
    clinic.ends(study_id, StudyState.NO_RESULT)
    page = new_page()
    page.goto(f"{clinic.url}/articula/")
    line = row(page, study_id)
    expect(line).to_contain_text("No result")
    expect(line).to_contain_text("NO_GEOMETRY")
    expect(line).to_contain_text("Export again.")
    line.get_by_role("button", name="Retry").click()
    expect(line).to_have_attribute("data-state", "done", timeout=30_000)
    expect(line.get_by_role("button", name="Retry")).to_have_count(0)


def test_filters_and_words_narrow_the_list(clinic, new_page):
    """By state, by what was found, by description; nothing found is said."""
    done = knee(clinic, 3, "Knee of Monday")
    clinic.ends(done, StudyState.DONE)
    clinic.service.answers_to[f"{UID}4"] = ["NO_SIGNAL"]
    without = knee(clinic, 4, "Knee of Tuesday")
    clinic.ends(without, StudyState.NO_RESULT)
    page = new_page()
    page.goto(f"{clinic.url}/articula/")
    expect(row(page, done)).to_be_visible()
    page.get_by_role("button", name="No result").click()
    expect(row(page, done)).to_have_count(0)
    expect(row(page, without)).to_contain_text("NO_SIGNAL")
    page.get_by_role("button", name="All").click()
    page.get_by_label("Find").fill("monday")
    expect(row(page, done)).to_be_visible()
    expect(row(page, without)).to_have_count(0)
    page.get_by_label("Find").fill("no such words")
    expect(page.get_by_text("No study matches")).to_be_visible()
    page.get_by_label("Find").fill("")
    page.get_by_role("link", name="Knee of Monday").click()
    page.wait_for_selector("body[data-ready]")
    assert done in page.url


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed")
def test_the_worklist_is_accessible(clinic, new_page):
    """No violation of WCAG A and AA on a desk or a tablet."""
    for width in (1280, 800):
        page = new_page(width=width)
        page.goto(f"{clinic.url}/articula/")
        page.wait_for_selector("#states button[aria-pressed]")
        page.wait_for_timeout(300)
        assert violations(page) == []
        assert page.locator("html").evaluate("node => node.scrollWidth") <= width


def test_a_dead_forwarder_and_a_silent_service_are_said(tmp_path, new_page):
    """Each has its own sentence, and the page recovers by itself."""
    with clinic_at(tmp_path / "orthanc", describes=False) as clinic:
        page = new_page()
        page.goto(f"{clinic.url}/articula/")
        expect(page.get_by_text("The analysis service does not answer")).to_be_visible()
        (pid,) = forwarders(clinic.orthanc.configuration)
        os.kill(pid, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        expect(page.get_by_text("The forwarder does not answer")).to_be_visible()
        clinic.service.describes = True
        expect(page.get_by_text("does not answer")).to_have_count(0, timeout=30_000)
        expect(page.get_by_text("No studies yet")).to_be_visible()


def test_a_request_of_another_site_changes_nothing(clinic):
    """Without our own header, which no other site can send, nothing is kept and nothing starts."""
    http = clinic.orthanc.rest._http
    route = f"/articula/api/studies/{'-'.join(['00000000'] * 5)}/retry"
    assert http.post(route, json={}).status_code == 403
    assert http.post(route, json={}, headers={"X-Articula": "page"}).status_code == 404


def test_orthanc_explorer_has_badge_and_button(clinic, new_page):
    """The study's page in Orthanc's own explorer shows the state and leads to the result."""
    study_id = knee(clinic, 5, "Knee")
    clinic.ends(study_id, StudyState.DONE)
    page = new_page()
    page.goto(f"{clinic.url}/app/explorer.html#study?uuid={study_id}")
    expect(page.locator("#articula-state")).to_have_text("Done")
    page.locator("#articula-open").click()
    page.wait_for_selector("body[data-ready]")
    expect(page.locator(".findings > li").first).to_contain_text("ACL")
