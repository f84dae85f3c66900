"""Every metric of Triton's that the chart asks for is one that a real Triton serves."""

import re

import httpx
import pytest

from tests.chart.rendering import EXAMPLES, expressions, needs_helm, rendered
from tests.common.test_triton import needs_triton
from tests.faults.tiny_models import build_repository
from tools.gpu_check.serving import serving


@pytest.mark.triton
@needs_triton
@needs_helm
def test_what_the_chart_asks_of_triton_is_in_a_real_scrape(tmp_path):
    """A name that nobody serves is a signal that stays silent, and an alert that never fires."""
    asked = {
        name
        for example in EXAMPLES
        for each in expressions(rendered(example))
        for name in re.findall(r"\bnv_\w+", each)
    }
    assert len(asked) >= 6
    with serving(build_repository(tmp_path / "models"), tmp_path) as (server,):
        served = re.findall(r"^(nv_\w+)\{", httpx.get(server.metrics, trust_env=False).text, re.MULTILINE)
    assert asked <= set(served)
