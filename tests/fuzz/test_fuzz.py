"""A short walk of the fuzzer with fixed numbers; ``make fuzz`` goes on for an hour."""

import time

from services.common.errors import RefusalCode
from tests.fuzz.campaign import run
from tests.fuzz.target import case

CASES = range(1000, 2200)
SECONDS = 25.0


def test_no_damage_escapes():
    """Damaged studies end in volumes or codes, within bounds, and never harm the study after them."""
    until = time.monotonic() + SECONDS
    tally = run(CASES, processes=1, on_case=lambda: None, go_on=lambda: time.monotonic() < until)
    assert tally.escapes == {}
    assert tally.executions > 0
    assert set(tally.outcomes) <= {*RefusalCode, "volume", "no series"}


def test_a_case_is_the_same_every_time():
    """Otherwise a finding could not be replayed."""
    assert case(1234)[1] == case(1234)[1]
    assert case(1234)[1] != case(1235)[1]
