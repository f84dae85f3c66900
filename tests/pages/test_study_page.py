"""The result page as a radiologist meets it: a real browser, a real Orthanc, a phantom whose truth is known."""

import csv
import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from services.common.status import StudyState
from services.common.volume import Plane
from tests.fakes.knee_results import HOT
from tests.pages.conftest import AXE, HOSTILE, violations
from tests.studies import COLUMNS, ROWS, series, study

SECRETS = ("Canary", "CANARY-ID", "19450607")


@pytest.fixture(scope="module")
def done(clinic):
    """A study with its results."""
    study_id = clinic.send(study(StudyDescription="Knee left"))
    clinic.ends(study_id, StudyState.DONE)
    return study_id


def opened(page, clinic, study_id):
    """The page once everything that is seen first is drawn."""
    page.goto(f"{clinic.url}/articula/studies/{study_id}")
    page.wait_for_selector("body[data-ready]")
    return page


def canvas_pixels(page, plane: str) -> np.ndarray:
    """What is drawn in a plane, brought to the source's size; (row, column, RGB)."""
    shot = page.locator(f'[data-plane="{plane}"] canvas').screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB").resize((COLUMNS, ROWS), Image.Resampling.BOX), float)


def test_findings_come_first_with_words_and_the_deciding_slice_is_shown(clinic, done, new_page):
    """The most concerning finding heads the list, is chosen, and its plane and slice are in the large view."""
    page = opened(new_page(), clinic, done)
    first = page.locator(".findings > li").first
    expect(first).to_contain_text("ACL injury")
    expect(first).to_contain_text("likely")
    expect(first).to_contain_text("91 %, above the threshold of 40 %")
    expect(page.locator(".findings > li")).to_have_count(12)
    large = page.locator(".viewport.large")
    expect(large).to_have_attribute("data-plane", "sagittal")
    expect(large).to_have_attribute("data-drawn", "4")
    expect(page.locator(".purpose")).to_contain_text("Research use only, not for diagnosis")


def test_measurements_notes_and_origin_are_shown(clinic, done, new_page):
    """A value outside its range is flagged, the range's source is named, what was missing and which models is said."""
    page = opened(new_page(), clinic, done)
    row = page.locator(".measurements tbody tr")
    expect(row).to_contain_text("14.0 ml")
    expect(row).to_contain_text("up to 8.00 ml")
    expect(row).to_contain_text("outside range")
    expect(page.locator("#report")).to_contain_text("missing: no usable axial series")
    expect(page.locator("#report")).to_contain_text("pipeline knee 0.1.0: abababababab…")
    page.get_by_text("Sources of the reference ranges").click()
    expect(page.get_by_text("A book, page 7")).to_be_visible()


def test_structure_and_heat_lie_where_they_are(clinic, done, new_page):
    """Colour appears inside the phantom's block only, heat inside its hot part only, and both can be turned off."""
    page = opened(new_page(), clinic, done)
    page.wait_for_selector("body[data-heat]")
    page.keyboard.press("h")
    blue = canvas_pixels(page, "sagittal")
    excess = blue[..., 2] - blue[..., 0]
    assert excess[24:40, 28:44].mean() > 30
    assert abs(excess[:16]).mean() < 3
    page.keyboard.press("s")
    grey = canvas_pixels(page, "sagittal")
    assert abs(grey[..., 0] - grey[..., 2]).max() < 8
    page.keyboard.press("h")
    hot = canvas_pixels(page, "sagittal")
    difference = np.abs(hot - grey).sum(axis=-1)
    inside = np.zeros((ROWS, COLUMNS), bool)
    inside[HOT] = True
    assert difference[28:36, 32:40].mean() > 30
    away = ~(np.roll(inside, 2, 0) | np.roll(inside, -2, 0) | np.roll(inside, 2, 1) | np.roll(inside, -2, 1) | inside)
    assert difference[away].mean() < 2


def test_wheel_keys_and_sliders_scroll_and_window(clinic, done, new_page):
    """Each way to move works on its own, and the ends hold."""
    page = opened(new_page(), clinic, done)
    large = page.locator('[data-plane="sagittal"]')
    large.locator("canvas").hover()
    page.mouse.wheel(0, 40)
    expect(large).to_have_attribute("data-slice", "5")
    page.keyboard.press("ArrowUp")
    expect(large).to_have_attribute("data-slice", "4")
    page.keyboard.press("End")
    expect(large).to_have_attribute("data-slice", "7")
    page.keyboard.press("PageDown")
    expect(large).to_have_attribute("data-slice", "7")
    large.locator("input").fill("0")
    expect(large).to_have_attribute("data-drawn", "0")
    page.keyboard.press("2")
    expect(page.locator(".viewport.large")).to_have_attribute("data-plane", "coronal")
    page.keyboard.press("s")
    before = canvas_pixels(page, "coronal").mean()
    page.get_by_label("Brightness").fill("60")
    assert canvas_pixels(page, "coronal").mean() > before + 10
    page.keyboard.press("r")
    assert abs(canvas_pixels(page, "coronal").mean() - before) < 2


def test_opinions_are_kept_with_who_when_and_which_version(clinic, done, new_page):
    """Agree and a comment stand on the page after a reload, and in the table that is exported."""
    page = opened(new_page(), clinic, done)
    first = page.locator(".findings > li").first
    first.get_by_role("button", name="Agree", exact=True).click()
    expect(first.locator(".said")).to_contain_text("demo: agree")
    first.locator("input").fill('=HYPERLINK("x") ' + HOSTILE)
    first.get_by_role("button", name="Comment").click()
    expect(first.locator(".said")).to_contain_text(HOSTILE)
    page = opened(page, clinic, done)
    expect(page.locator(".findings > li").first.locator(".said li")).to_have_count(2)
    table = clinic.orthanc.rest.content("/articula/api/feedback.csv").decode()
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [(each["label"], each["verdict"], each["observer"]) for each in rows] == [
        ("ACL", "agree", "demo"),
        ("ACL", "comment", "demo"),
    ]
    assert rows[0]["software_version"] == "0.1.0"
    assert rows[0]["said_at"].endswith("+00:00")
    assert rows[1]["comment"].startswith("'=")


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed")
@pytest.mark.parametrize("width", [1280, 800])
def test_the_page_is_accessible_and_fits(clinic, done, new_page, width):
    """No violation of WCAG A and AA, contrast included; nothing is wider than a desk or a tablet."""
    page = opened(new_page(width=width, height=800 if width == 1280 else 1100), clinic, done)
    assert violations(page) == []
    assert page.locator("html").evaluate("node => node.scrollWidth") <= width


def test_the_page_prints_findings_on_white(clinic, done, new_page):
    """Print hides what can't be pressed on paper and keeps the findings, the pictures and the purpose."""
    page = opened(new_page(), clinic, done)
    page.emulate_media(media="print")
    expect(page.locator("#tools")).to_be_hidden()
    expect(page.locator(".purpose")).to_be_visible()
    expect(page.locator('[data-plane="sagittal"] canvas')).to_be_visible()
    assert page.locator("body").evaluate("node => getComputedStyle(node).backgroundColor") == "rgb(255, 255, 255)"
    assert len(page.pdf()) > 10_000


def test_nothing_says_who_the_patient_is(clinic, done, new_page):
    """No name, id or birth date in the pages, in what they are made of, in an address, or in a log."""
    page = new_page()
    seen = []
    page.on("response", lambda answer: seen.append(answer) if "/articula/" in answer.url else None)
    opened(page, clinic, done)
    texts = [
        page.content(),
        *(each.url for each in seen),
        *(each.text() for each in seen if "/layers/" not in each.url),
    ]
    texts.append((clinic.orthanc.configuration.parent / "orthanc.log").read_text())
    for secret in SECRETS:
        assert not any(secret in text for text in texts)


def test_hostile_text_stays_text(clinic, new_page):
    """Markup in tags and in the report is shown letter by letter on both pages, and no script runs."""
    images = series(Plane.SAGITTAL, StudyDescription=HOSTILE[:60], SeriesDescription=HOSTILE[:60])
    study_id = clinic.knee(images, "1.2.826.0.1.3680043.8.498.4")
    clinic.ends(study_id, StudyState.DONE)
    page = new_page()
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog), dialog.dismiss()))
    opened(page, clinic, study_id)
    expect(page.locator("#title")).to_contain_text("<img src=x onerror")
    expect(page.locator(".conclusion")).to_contain_text(HOSTILE)
    expect(page.locator(".caption").first).to_contain_text("<img src=x")
    page.goto(f"{clinic.url}/articula/")
    expect(page.locator(f'tr[data-study="{study_id}"] a').first).to_contain_text("<img src=x onerror")
    assert page.locator("img").count() == 0
    assert dialogs == []


def test_a_study_without_a_result_says_why_and_still_shows_its_images(clinic, new_page):
    """Code and advice stand where the findings would."""
    clinic.service.answers_to["1.2.826.0.1.3680043.8.498.5"] = ["NO_SIGNAL"]
    study_id = clinic.knee(series(Plane.AXIAL), "1.2.826.0.1.3680043.8.498.5")
    clinic.ends(study_id, StudyState.NO_RESULT)
    page = opened(new_page(), clinic, study_id)
    banner = page.locator(".banner")
    expect(banner).to_contain_text("This study has no result")
    expect(banner).to_contain_text("NO_SIGNAL")
    expect(banner).to_contain_text("Check the acquisition")
    expect(page.locator('[data-plane="axial"]')).not_to_have_attribute("data-drawn", "")


def test_a_huge_study_opens_at_once_and_fetches_what_is_looked_at(clinic, new_page):
    """400 slices: the first picture does not wait for the others, and the far end is a key away."""
    study_id = clinic.knee(series(Plane.SAGITTAL, slices=400), "1.2.826.0.1.3680043.8.498.6")
    page = new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "image-uint16" in request.url else None)
    opened(page, clinic, study_id)
    page.wait_for_timeout(1000)
    assert 1 <= len(asked) < 100
    page.keyboard.press("End")
    expect(page.locator('[data-plane="sagittal"]')).to_have_attribute("data-drawn", "399")


def test_a_study_that_is_not_there_is_said_to_be_missing(clinic, new_page):
    """An old link ends in a sentence."""
    page = new_page()
    page.goto(f"{clinic.url}/articula/studies/{'-'.join(['00000000'] * 5)}")
    expect(page.get_by_text("There is no such study")).to_be_visible()
