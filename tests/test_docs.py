"""What the documents promise about the code is true."""

import re
from pathlib import Path

import pytest

from services.common.errors import ADVICE, RefusalCode

ROOT = Path(__file__).parents[1]


def test_every_refusal_code_stands_in_the_table_once_and_has_advice():
    """One table for all codes."""
    rows = [line for line in (ROOT / "docs/refusals.md").read_text().splitlines() if line.startswith("| `")]
    documented = [code for row in rows for code in re.findall(r"`([A-Z_]+)`", row.split("|")[1])]
    assert sorted(documented) == sorted(RefusalCode)
    assert set(ADVICE) == set(RefusalCode)


@pytest.mark.parametrize("page", ["intake.md", "durability.md"])
def test_every_test_that_a_table_names_exists(page):
    """A row without its test is a wish."""
    text = (ROOT / "docs" / page).read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(named) > 20
    assert text.count("`tests/") == len(named)
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in (ROOT / file).read_text()]
    assert missing == []
