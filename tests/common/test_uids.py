"""UIDs of results are valid DICOM, follow from their content alone, and can be told from everybody else's."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.uids import UID_ROOT, is_result_uid, result_uid

DIGEST = "d" * 64


@given(st.text(max_size=80), st.text(max_size=40), st.integers(0, 10_000))
def test_any_content_gives_a_valid_uid_of_ours(digest, kind, index):
    """At most 64 characters, digits and dots, no component with a leading zero (PS3.5 9.1)."""
    uid = result_uid(digest, kind, index)
    assert len(uid) <= 64
    assert all(part.isdecimal() and (part == "0" or part[0] != "0") for part in uid.split("."))
    assert is_result_uid(uid)


def test_the_same_content_gives_the_same_uid_forever():
    """The value is pinned: a change of the recipe would orphan every stored result."""
    assert result_uid(DIGEST, "manifest") == "2.25.604474997852712896623208.1691674820308603599411018848046202"


def test_digest_kind_and_index_each_change_the_uid():
    """No two objects of any result set share one."""
    uids = {
        result_uid(digest, kind, index)
        for digest in (DIGEST, "e" * 64)
        for kind in ("report", "manifest", "report-series")
        for index in range(12)
    }
    assert len(uids) == 2 * 3 * 12


def test_the_root_is_a_short_version_8_uuid():
    """2.25 takes any UUID as an integer (PS3.5 B.2); RFC 9562 gives version 8 to whoever defines its bits."""
    number = int(UID_ROOT.removeprefix("2.25."))
    assert uuid.UUID(int=number).version == 8
    assert uuid.UUID(int=number).variant == uuid.RFC_4122
    assert len(UID_ROOT) <= 30


def test_content_keeps_at_least_30_digits():
    """About 100 bits of the content's digest, so that chance never lets two results meet."""
    assert len(result_uid(DIGEST, "report").rsplit(".", 1)[1]) >= 30


@pytest.mark.parametrize("uid", ["", "2.25", "1.2.3", UID_ROOT, f"{UID_ROOT}9.1", f"1.{UID_ROOT}.1"])
def test_a_uid_of_somebody_else_is_not_ours(uid):
    """A neighbour whose root merely starts alike is analysed like any other study."""
    assert not is_result_uid(uid)
