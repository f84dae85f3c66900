"""The sizing table is arithmetic over what was measured, and leaves open what was not."""

from dataclasses import replace
from pathlib import Path

import pytest

from tools.sizing.__main__ import VOLUMES, read, table
from tools.sizing.demand import BUSY, CORES_PER_POD, PEAK_HOUR, Measured, need

MEASURED = Measured(orthanc=1.0, preprocessing=0.6, triton_cpu=3.0)


def test_a_small_hospital_gets_two_pods_of_each_and_one_core():
    """One pod may be drained or die."""
    small = need(MEASURED, 20)
    assert (small.orthanc_cores, small.preprocessing_pods, small.triton_cpu_pods) == (1, 2, 2)


def test_pods_hold_the_busiest_hour_and_one_less_would_not():
    """The bound is met and not far exceeded."""
    large = need(MEASURED, 400_000)
    rate = 400_000 * PEAK_HOUR / 3600
    for pods, seconds in ((large.triton_cpu_pods, 3.0), (large.preprocessing_pods, 0.6)):
        assert rate * seconds <= BUSY * CORES_PER_POD * pods
        assert rate * seconds > BUSY * CORES_PER_POD * (pods - 1)


def test_gpus_stay_open_until_somebody_measured_one():
    """No number that nobody measured."""
    assert need(MEASURED, 10_000).gpus is None
    assert "open" in table([need(MEASURED, 10_000)], core_price=1.0)
    with_gpu = need(replace(MEASURED, gpu=0.05), 10_000)
    assert with_gpu.gpus == 2
    assert with_gpu.gpu_hours_a_month == pytest.approx(2 * 730)


def test_the_document_shows_what_the_command_prints():
    """docs/sizing.md holds the table of the numbers that are committed."""
    document = (Path(__file__).parents[3] / "docs/sizing.md").read_text()
    assert table([need(read(), volume) for volume in VOLUMES]) in document
