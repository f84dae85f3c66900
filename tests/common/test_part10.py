"""The walk over a file's elements: the same as pydicom's where the file is sound, bounded where it is not."""

import contextlib
import resource
import struct
import time
import zlib
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from services.common import part10
from services.common.attributes import READ
from services.common.dicom import read_instance
from services.common.errors import RefusalCode, StudyRefused
from services.common.volume import Plane
from tests.studies import part10 as file_of
from tests.studies import series
from tests.syntaxes import NATIVE, encoded

SHARED = Path(__file__).parents[2] / "../shared/data"
VENDORS = sorted(each for each in SHARED.glob("vendors/*/*") if each.name != "LICENSE")[::3]
UNDEFINED = b"\xff\xff\xff\xff"
ITEM, ITEM_END, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0" + bytes(4), b"\xfe\xff\xdd\xe0" + bytes(4)


@pytest.fixture
def instance():
    return series(Plane.SAGITTAL, slices=1)[0]


@pytest.fixture
def reread(tmp_path):
    def read(data: bytes):
        path = tmp_path / "file.dcm"
        path.write_bytes(data)
        return read_instance(path)

    return read


def code_of(action) -> RefusalCode:
    with pytest.raises(StudyRefused) as caught:
        action()
    return caught.value.code


def differences(ours: pydicom.Dataset, theirs: pydicom.Dataset, where: str = "") -> list[str]:
    """Elements of the list that the two readers understand differently."""
    found = [f"{where}{tag} invented" for tag in ours.keys() if tag not in theirs]  # noqa: SIM118 - elements, not keys
    for element in (each for each in theirs if int(each.tag) in READ):
        name = f"{where}{element.tag}"
        if element.tag not in ours:
            found.append(f"{name} missing")
        elif element.VR == "SQ":
            pairs = list(zip(ours[element.tag].value, element.value, strict=True))
            found += [each for mine, other in pairs for each in differences(mine, other, f"{name}/")]
        elif ours[element.tag].value != element.value:
            found.append(f"{name} {ours[element.tag].VR}")
    return found


def nested(depth: int, *, undefined: bool, keyword_tag: bytes = b"\x29\x00\x10\x10") -> bytes:
    """``depth`` sequences inside each other, as elements of an explicit little endian data set."""
    content = b""
    for _ in range(depth):
        if undefined:
            content = keyword_tag + b"SQ\0\0" + UNDEFINED + ITEM + UNDEFINED + content + ITEM_END + SEQUENCE_END
        else:
            item = ITEM + struct.pack("<I", len(content)) + content
            content = keyword_tag + b"SQ\0\0" + struct.pack("<I", len(item)) + item
    return content


def inserted(data: bytes, element: bytes) -> bytes:
    """An element in front of the pixels."""
    place = data.index(b"\xe0\x7f\x10\x00O")
    return data[:place] + element + data[place:]


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda uid: uid.keyword)
def test_every_encoding_reads_as_pydicom_reads_it(instance, reread, syntax):
    """The same values for every attribute of the list, nested ones included."""
    instance.SpecificCharacterSet = "ISO_IR 100"
    instance.PatientName = "M\u00fcller^J\u00f6rg"
    instance.PixelPaddingValue = 0
    measures, shared = pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing = [0.5, 0.6]
    shared.PixelMeasuresSequence = [measures]
    instance.SharedFunctionalGroupsSequence = [shared]
    instance.add_new(0x00091001, "LO", "private and not read")
    data = encoded(instance, syntax)
    ours = reread(data)
    assert differences(ours, pydicom.dcmread(BytesIO(data), stop_before_pixels=True)) == []
    assert str(ours.PatientName) == "M\u00fcller^J\u00f6rg"
    assert 0x00091001 not in ours


@pytest.mark.skipif(not VENDORS, reason="the shared test data is not here")
@pytest.mark.parametrize("path", VENDORS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_real_files_of_every_vendor_read_as_pydicom_reads_them(path):
    """Private blobs, sequences of both lengths, an enhanced object of 520 frames."""
    assert differences(read_instance(path), pydicom.dcmread(path, stop_before_pixels=True)) == []


def test_a_name_in_any_character_set_keeps_its_bytes(instance, reread):
    """The raw bytes are there for whoever copies them, decoded or not."""
    for character_set, name in (("ISO_IR 192", "山田^太郎"), ("GB18030", "王^小东"), ("ISO 2022 IR 87", "Yamada")):
        instance.SpecificCharacterSet, instance.PatientName = character_set, name
        data = file_of(instance)
        ours = reread(data).get_item("PatientName").value
        assert ours == pydicom.dcmread(BytesIO(data)).get_item("PatientName").value


def test_a_wrong_character_set_does_not_stop_reading(instance, reread):
    """An unknown term falls back to the default; nothing is raised."""
    instance.SpecificCharacterSet = "ISO_IR 100"
    data = file_of(instance).replace(b"ISO_IR 100", b"ISO_IR 999")
    assert "Canary" in str(reread(data).PatientName)


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_nesting_is_bounded(instance, reread, undefined, known):
    """240 levels end in a code, or are stepped over where nothing has to look inside; 10 levels are read."""
    tag = b"\x00\x52\x29\x92" if known else b"\x29\x00\x10\x10"
    data = file_of(instance)
    assert reread(inserted(data, nested(10, undefined=undefined, keyword_tag=tag))).Modality == "MR"
    deep = inserted(data, nested(240, undefined=undefined, keyword_tag=tag))
    if undefined or known:
        assert code_of(lambda: reread(deep)) == RefusalCode.UNREADABLE_DICOM
    else:
        assert reread(deep).Modality == "MR"


def test_a_deflated_bomb_is_refused_before_it_fills_the_memory(instance, reread):
    """A megabyte that inflates to a gigabyte costs 200 times its size at most."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    # flushed in full a block depends on nothing before it, so the same bytes again mean the same zeros again
    bomb = 64 * (deflater.compress(bytes(1 << 24)) + deflater.flush(zlib.Z_FULL_FLUSH))
    assert len(bomb) < 1 << 21
    instance.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data = file_of(instance)
    head = data[: part10.transfer_syntax(data)[1]]
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    assert code_of(lambda: reread(head + bomb)) == RefusalCode.TOO_LARGE
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700 * 1024
    assert time.process_time() - started < 5


def test_a_broken_deflate_stream_is_refused(instance, reread):
    """Cut and damaged streams have a code."""
    instance.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data = file_of(instance)
    assert code_of(lambda: reread(data[:-500])) == RefusalCode.UNREADABLE_DICOM
    start = part10.transfer_syntax(data)[1]
    assert code_of(lambda: reread(data[:start] + b"\xff" * 300)) == RefusalCode.UNREADABLE_DICOM


def test_a_value_longer_than_the_file_is_refused(instance, reread):
    """Whatever an element claims, no more than the file is there."""
    for vr, length in ((b"UT\0\0", b"\xf0\xff\xff\xff"), (b"OB\0\0", b"\0\0\0\x7f")):
        data = inserted(file_of(instance), b"\x29\x00\x10\x10" + vr + length)
        assert code_of(lambda data=data: reread(data)) == RefusalCode.UNREADABLE_DICOM


def test_a_value_nobody_needs_so_long_is_refused(instance, reread):
    """A comment of two megabytes is no comment."""
    comment = b"x" * (part10.MAX_VALUE_BYTES + 2)
    data = inserted(file_of(instance), b"\x20\x00\x00\x40UT\0\0" + struct.pack("<I", len(comment)) + comment)
    assert code_of(lambda: reread(data)) == RefusalCode.TOO_LARGE


def test_a_swarm_of_elements_is_refused(instance, reread, monkeypatch):
    """The number of elements is bounded, which bounds the time."""
    monkeypatch.setattr(part10, "MAX_ELEMENTS", 1000)
    data = inserted(file_of(instance), b"\x29\x00\x10\x10LO\0\0" * 1001)
    assert code_of(lambda: reread(data)) == RefusalCode.TOO_LARGE


def test_an_explicit_file_that_says_implicit_is_read_as_it_is(instance, reread):
    """And the other way round: some archives announce one encoding and write the other."""
    explicit, implicit = encoded(instance, ExplicitVRLittleEndian), encoded(instance, ImplicitVRLittleEndian)
    bodies = {each: each[part10.transfer_syntax(each)[1] :] for each in (explicit, implicit)}
    for head, body in ((explicit, implicit), (implicit, explicit)):
        mixed = head[: part10.transfer_syntax(head)[1]] + bodies[body]
        assert reread(mixed).EchoTime == 35


def test_a_preamble_of_another_format_is_harmless(instance, reread):
    """A file that is also a program or a TIFF is read as DICOM and its preamble never leaves."""
    data = b"MZ\x90\0" + b"\x7fELF" * 31 + file_of(instance)[128:]
    assert not hasattr(reread(data), "preamble")


def test_hostile_values_stay_values(instance, reread):
    """Paths, markup and line breaks are text like any other."""
    instance.PatientID = "../../etc/passwd"
    instance.SeriesDescription = "<script>alert(1)</script>"
    instance.PatientName = "Evil\r\nName"
    ours = reread(file_of(instance))
    assert (ours.PatientID, ours.SeriesDescription) == ("../../etc/passwd", "<script>alert(1)</script>")


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("StudyInstanceUID", ""),
        ("StudyInstanceUID", "1." * 40 + "1"),
        ("SeriesInstanceUID", "1.2.x"),
        ("SOPInstanceUID", "../1"),
        ("SOPClassUID", None),
    ],
)
def test_uids_that_are_none_are_refused(instance, reread, keyword, value):
    """Nobody could say whose image it is."""
    instance.file_meta.MediaStorageSOPClassUID = instance.SOPClassUID
    instance.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    data = file_of(instance)
    element = instance.get_item(keyword)
    old = struct.pack("<HH2sH", element.tag.group, element.tag.elem, b"UI", len(element.value) + len(element.value) % 2)
    start = data.rindex(old)
    end = start + 8 + len(element.value) + len(element.value) % 2
    text = (value or "").encode() + b"\0" * (len(value or "") % 2)
    new = b"" if value is None else old[:6] + struct.pack("<H", len(text)) + text
    assert code_of(lambda: reread(data[:start] + new + data[end:])) == RefusalCode.INVALID_IDENTITY


def test_a_sequence_of_unknown_vr_is_read(instance, reread):
    """An archive that did not know the tag wrote UN; inside it is implicit little endian (PS3.5 6.2.2)."""
    item = ITEM + struct.pack("<I", 12) + b"\x18\x00\x82\x90" + struct.pack("<I", 4) + b"\0\0\x80\x3f"
    for length, end in ((UNDEFINED, SEQUENCE_END), (struct.pack("<I", len(item)), b"")):
        data = inserted(file_of(instance), b"\x18\x00\x14\x91UN\0\0" + length + item + end)
        assert "EffectiveEchoTime" in reread(data).MREchoSequence[0]


def test_another_vendors_element_under_a_known_private_number_is_no_error(instance, reread):
    """(2005,140F) is a sequence with Philips and may be anything elsewhere."""
    data = inserted(file_of(instance), b"\x05\x20\x0f\x14UN\0\0\x06\0\0\0abcdef")
    assert reread(data).Modality == "MR"


@pytest.mark.parametrize("end", [7, 40, 131, 133, 150, 200, 400, 700])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_file_cut_in_its_header_has_a_code(instance, reread, syntax, end):
    """Anywhere."""
    code_of(lambda: reread(encoded(instance, syntax)[:end]))


HEADS = [encoded(series(Plane.SAGITTAL, slices=1)[0], syntax)[:900] for syntax in NATIVE]


@settings(max_examples=300, deadline=None)
@given(
    head=st.sampled_from(HEADS),
    changes=st.lists(st.tuples(st.integers(132, 899), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_no_damage_escapes_as_another_error(tmp_path_factory, head, changes):
    """Any few bytes changed anywhere in front of the pixels: a data set or a code."""
    damaged = bytearray(head)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.dcm"
    path.write_bytes(damaged)
    with contextlib.suppress(StudyRefused):
        assert read_instance(path).SOPInstanceUID
