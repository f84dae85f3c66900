"""The list of what is read holds everything that the product asks for."""

import re
from pathlib import Path

from pydicom.datadict import dictionary_VR, tag_for_keyword

from services.common.attributes import BY_KEYWORD, READ

SERVICES = Path(__file__).parents[2] / "services"
ASKING = [SERVICES / "common/frame.py", *SERVICES.glob("preprocessing/*.py"), *SERVICES.glob("preprocessing/*/*.toml")]
NOT_IN_THE_LIST = {"PixelData", "UID"}


def test_every_attribute_that_code_or_rules_name_is_read():
    """A rule about an attribute that the reader skips would never apply, and nobody would notice."""
    words = {word for path in ASKING for word in re.findall(r"\"([A-Z][A-Za-z0-9]+)\"", path.read_text())}
    keywords = {word for word in words if tag_for_keyword(word) is not None} - NOT_IN_THE_LIST
    assert "ImagePositionPatient" in keywords
    assert keywords - set(BY_KEYWORD) == set()


def test_the_list_agrees_with_the_dictionary():
    """Tags carry the VR of the standard, so that implicit files are read right."""
    assert all(READ[tag][1] == dictionary_VR(tag) for tag in BY_KEYWORD.values())
