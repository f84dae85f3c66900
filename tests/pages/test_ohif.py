"""OHIF below the same address as Orthanc: our overlays are drawn where the phantom's structure is."""

import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from services.common.status import StudyState
from services.common.volume import Plane
from tests.fakes.knee_results import BLOCK, HOT
from tests.studies import series
from tools.stack.orthanc_config import OHIF

pytestmark = pytest.mark.skipif(not OHIF.is_dir(), reason="OHIF is not installed; run tools/install/frontend.sh")
UID = "1.2.826.0.1.3680043.8.498.8"
NO_TOUR = "localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour']))"


def viewport(page: Page) -> np.ndarray:
    """The middle of what is drawn, which OHIF's captions and notices leave free; (row, column, RGB)."""
    shot = page.screenshot(clip={"x": 350, "y": 100, "width": 840, "height": 590})
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), float)


def colour(pixels: np.ndarray) -> np.ndarray:
    """How far each pixel is from grey."""
    return pixels.max(axis=-1) - pixels.min(axis=-1)


def drawn(page: Page, before: np.ndarray, share: float = 0.002) -> np.ndarray:
    """The viewport once a colour has come in that was not there, on at least this share of it."""
    last = before
    for _ in range(80):
        page.wait_for_timeout(500)
        pixels = viewport(page)
        still = np.abs(pixels - last).mean() < 0.5 and colour(pixels)[:20].mean() < 5  # its loading screen is blue
        if still and (colour(pixels) - colour(before) > 15).mean() > share:
            return pixels
        last = pixels
    pytest.fail("no colour was drawn")


def opened(page: Page, clinic) -> np.ndarray:
    """OHIF on the phantom's study with the image drawn; what it looks like then."""
    study_id = clinic.knee(series(Plane.SAGITTAL, SeriesDescription="Phantom"), UID)
    clinic.ends(study_id, StudyState.DONE)
    page.context.add_init_script(NO_TOUR)
    page.goto(f"{clinic.url}/ohif/viewer?StudyInstanceUIDs={UID}")
    expect(page.get_by_text("Articula segmentation").first).to_be_visible(timeout=60_000)
    return _settled(page)


def test_the_activation_map_is_hot_where_the_phantom_is(clinic, new_page):
    """Its colours cover the hot part of the block and nothing else."""
    page = new_page()
    grey = opened(page, clinic)
    page.get_by_text("Articula activation map").first.dblclick()
    pixels = drawn(page, grey)
    hot = (colour(pixels) > 40) & (pixels[..., 0] > pixels[..., 1])  # the map is reddish, OHIF's own marks are not
    assert np.allclose(_box(hot), _hot_part(_box(grey.mean(axis=-1) > 128)), atol=18)


def test_the_segmentation_lies_on_the_structure(clinic, new_page):
    """The segment's blue covers the bright block and nothing else."""
    page = new_page()
    grey = opened(page, clinic)
    block = grey.mean(axis=-1) > 128
    page.get_by_text("Articula segmentation").first.dblclick()
    blue = drawn(page, grey, share=0.5 * block.mean())
    coloured = blue[..., 2] - blue[..., 0] > 15
    assert (coloured & block).sum() / (coloured | block).sum() > 0.85


def _hot_part(box: tuple[int, int, int, int]) -> list[float]:
    """Where the map is hot on the screen, from where the block is on it."""
    found = []
    for axis in (0, 1):
        start, stop, first = box[axis], box[axis + 2], BLOCK[axis].start
        zoom = (stop - start) / (BLOCK[axis].stop - first)
        found.append([start + (HOT[axis].start - first) * zoom, start + (HOT[axis].stop - first) * zoom])
    return [found[0][0], found[1][0], found[0][1], found[1][1]]


def _settled(page: Page) -> np.ndarray:
    """The viewport once the image of the series is there and stays."""
    last = viewport(page)
    for _ in range(60):
        page.wait_for_timeout(500)
        pixels = viewport(page)
        if (pixels.mean(axis=-1) > 128).mean() > 0.02 and np.abs(pixels - last).mean() < 0.5:
            return pixels
        last = pixels
    pytest.fail("no image was drawn")


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Rows and columns that hold nearly all of a mask: top, left, bottom, right."""
    rows, columns = np.nonzero(mask)
    top, bottom = np.percentile(rows, [1, 99])
    left, right = np.percentile(columns, [1, 99])
    return int(top), int(left), int(bottom) + 1, int(right) + 1
