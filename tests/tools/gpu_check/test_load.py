"""Loads are counted as they happened, by our own loop and by perf_analyzer's table alike."""

import time

import pytest

from services.common.errors import ServiceUnavailable
from services.common.tensors import KNEE_CAM, KNEE_CLASSIFICATION, KNEE_SEGMENTATION
from tools.gpu_check import perf_analyzer
from tools.gpu_check.load import Callers, closed_loop, members_at_once, volumes_in

# what perf_analyzer 2.50 wrote about a small network on a processor
TABLE = """\
Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,\
Server Compute Infer,Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency
2,95.5407,188,10215,2660,230,4815,2010,5,13972,42974,48784,70168

"""


def test_a_closed_loop_counts_every_answer_and_every_failure():
    """Two callers of 20 ms each for 0.2 s: some ten answers a caller, none quicker, and the failures beside them."""
    asked = []

    def ask():
        asked.append(None)
        if len(asked) % 5 == 0:
            raise ServiceUnavailable(str(len(asked)))
        time.sleep(0.02)

    timing = closed_loop(lambda: ask, 2, 0.2)
    assert len(timing.requests) + timing.failures == len(asked) - 2, "the first request of a caller is not counted"
    assert timing.failures >= 1
    assert min(timing.requests) >= 0.02
    assert 0.2 <= timing.elapsed < 5


def test_a_volume_is_one_plane():
    """A segmentation has one, the others a whole study's three."""
    assert [volumes_in(each) for each in (KNEE_SEGMENTATION, KNEE_CLASSIFICATION, KNEE_CAM)] == [1, 3, 3]


def test_merged_requests_are_members_of_one_execution():
    """Ten members in four executions; nothing says nothing."""
    assert members_at_once((5, 5), (15, 9)) == 2.5
    assert members_at_once((5, 5), (5, 5)) is None


def test_perf_analyzers_table_becomes_the_same_row():
    """Microseconds become milliseconds, inferences volumes."""
    row = perf_analyzer.row(TABLE, KNEE_CLASSIFICATION, Callers(2, 1), merged=1.5)
    assert (row.model, row.concurrency, row.batch, row.merged) == ("knee_classification", 2, 1, 1.5)
    assert (row.p50_ms, row.p95_ms, row.p99_ms) == (13.972, 48.784, 70.168)
    assert row.volumes_per_second == pytest.approx(3 * 95.5407)
