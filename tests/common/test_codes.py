"""Every published code exists, with its meaning, in DICOM's own dictionaries as pydicom carries them."""

import pytest
from pydicom.sr._concepts_dict import concepts

from services.common import codes
from services.common.finding import LABELS, Structure

LISTED = {*concepts, codes.PRIVATE_SCHEME}
ALL = [each for each in vars(codes).values() if isinstance(each, codes.Code)]
PUBLISHED = [each for each in ALL if each.scheme in concepts]


@pytest.mark.parametrize("code", PUBLISHED, ids=lambda code: code.meaning)
def test_a_published_code_means_what_we_say(code):
    """The dictionary knows the value under the scheme, with a meaning that starts alike."""
    meanings = [entry[code.value][0] for entry in concepts[code.scheme].values() if code.value in entry]
    assert meanings, code
    assert any(meaning.lower().startswith(code.meaning.lower()) for meaning in meanings), meanings


def test_only_the_language_tag_is_of_a_scheme_without_dictionary():
    """Language tags (RFC 5646) are the one scheme that pydicom does not list; nothing else escapes the look-up."""
    assert [code.value for code in ALL if code.scheme not in LISTED] == ["en-US"]


def test_every_structure_and_finding_is_coded_and_colours_differ():
    """Thirteen structures, twelve findings, no colour twice."""
    assert set(codes.STRUCTURE_CODES) == set(Structure) - {Structure.BACKGROUND}
    assert tuple(codes.FINDING_CODES) == LABELS
    assert len({structure.colour for structure in codes.STRUCTURE_CODES.values()}) == len(codes.STRUCTURE_CODES)
