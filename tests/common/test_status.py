"""The status record that travels between forwarder and plugin."""

import pytest

from services.common.status import StudyState, StudyStatus


def test_a_status_survives_its_json():
    """What is written is what is read."""
    status = StudyStatus(StudyState.NO_RESULT, "d1gest", "write", "NO_GEOMETRY", "Export again.", 2)
    assert StudyStatus.from_json(status.to_json()) == status


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"state": "asleep"}', '{"state": "done", "colour": "red"}'])
def test_anything_else_is_refused(text):
    """Text that is no status raises ValueError, so that a human's edit of the metadata can't crash a reader."""
    with pytest.raises(ValueError):  # noqa: PT011 - three kinds of malformed text, one type
        StudyStatus.from_json(text)
