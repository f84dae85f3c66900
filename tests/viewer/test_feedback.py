"""Opinions: durable, append-only, harmless in a spreadsheet."""

import csv
import io

import pytest

from services.viewer.feedback import Feedback, Opinion, to_csv

KNOWN = {
    "study_instance_uid": "1.2",
    "input_digest": "d",
    "observer": "anna",
    "said_at": "2026-01-02T03:04:05+00:00",
    "software_version": "0.1.0",
    "probability": 0.5,
}


def opinion(**body):
    return Opinion.from_request({"label": "ACL", "verdict": "agree", **body}, **KNOWN)


def test_opinions_survive_a_restart_in_their_order(tmp_path):
    """What was said is still there, all of it, the oldest first."""
    first = Feedback(tmp_path / "feedback.sqlite")
    first.add(opinion())
    first.add(opinion(verdict="disagree", comment="  an artefact  "))
    first.close()
    again = Feedback(tmp_path / "feedback.sqlite")
    assert [(each.verdict, each.comment) for each in again.of_study("1.2")] == [
        ("agree", ""),
        ("disagree", "an artefact"),
    ]
    assert again.of_study("1.3") == []
    assert again.everything()[0] == opinion()
    again.close()


@pytest.mark.parametrize(
    "body",
    [
        {"label": "Nose"},
        {"verdict": "maybe"},
        {"verdict": "comment", "comment": " "},
        {"comment": "x" * 2001},
        {"comment": 7},
    ],
)
def test_what_is_no_opinion_is_refused(body):
    """Only the report's labels, three verdicts, and a comment of a sane length."""
    with pytest.raises(ValueError, match=r".+"):
        opinion(**body)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
def test_a_formula_is_text_in_a_spreadsheet(start):
    """A cell that a spreadsheet would run begins with an apostrophe."""
    comment = f"{start}1+1"
    row = next(csv.DictReader(io.StringIO(to_csv([Opinion(**KNOWN, label="ACL", verdict="comment", comment=comment)]))))
    assert row["comment"] == f"'{comment}"
    assert row["label"] == "ACL"
