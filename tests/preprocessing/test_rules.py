"""The pipeline file is checked when it is read, not when a study needs it."""

import pytest

from services.preprocessing.rules import PIPELINES, Rules, load_rules


def test_every_pipeline_file_is_valid():
    """All that ship can be loaded."""
    assert [load_rules(path.stem).text for path in PIPELINES.glob("*.toml")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[score]", "[score]\nluck = 1.0"),
        ("[reject.localizer]", "[reject.loudness]\nmax = 1\n[reject.localizer]"),
        ('"LOCALIZER" = "LOCALIZER"', '"LOCALIZER" = "TOO_BORING"'),
        ("ideal_echo = 40.0", "ideal_echo = 'late'"),
        ("alignment = 1.0", ""),
        ("[weighting]", "[surprise]\nx = 1\n[weighting]"),
    ],
)
def test_a_rule_that_is_unknown_missing_or_wrong_is_refused(old, new):
    """A typing mistake in a rule must not pass as a rule that never fires."""
    text = (PIPELINES / "knee.toml").read_text()
    assert old in text
    with pytest.raises((ValueError, TypeError, KeyError)):
        Rules.parse(text.replace(old, new, 1))
