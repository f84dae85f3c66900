"""Which instances are sources, and what the digests depend on."""

from services.common.uids import is_result_uid, result_uid
from services.forwarder.eligibility import (
    ELIGIBLE,
    StoredInstance,
    content_digest,
    files_key,
    foreign,
    input_digest,
    sources,
)

CONTENTS = [("1.2.1", "aa"), ("1.2.2", "bb")]
MR = "1.2.840.10008.5.1.4.1.1.4"


def stored(uid: str, sop_class: str = MR, file_uuid: str = "f") -> StoredInstance:
    return StoredInstance(f"id-{uid}", uid, sop_class, file_uuid, 10)


def test_only_foreign_mr_images_are_sources():
    """Our own results and other classes are left out; the order does not depend on the archive's."""
    own = stored(result_uid("d", "segmentation"))
    instances = [stored("1.2.9"), own, stored("1.2.3", "1.2.840.10008.5.1.4.1.1.2"), stored("1.2.1")]
    assert [each.sop_instance_uid for each in sources(instances)] == ["1.2.1", "1.2.9"]
    assert own not in foreign(instances)
    assert len(foreign(instances)) == 3


def test_all_three_kinds_of_mr_image_are_sources_and_spectra_are_not():
    """Single-frame, enhanced and legacy converted images; spectroscopy and unknown classes stay out."""
    assert len(sources([stored("1.2.3", sop_class) for sop_class in ELIGIBLE])) == 3
    assert sources([stored("1.2.3", f"{MR}.2"), stored("1.2.4", "")]) == []


def test_the_digest_names_content_and_pipeline_and_nothing_else():
    """Order does not matter; a changed file, a missing file or another pipeline does."""
    digest = input_digest(content_digest(CONTENTS), "p")
    assert digest == input_digest(content_digest(reversed(CONTENTS)), "p")
    others = {
        input_digest(content_digest(CONTENTS[:1]), "p"),
        input_digest(content_digest([CONTENTS[0], ("1.2.2", "cc")]), "p"),
        input_digest(content_digest(CONTENTS), "q"),
    }
    assert len(others | {digest}) == 4


def test_a_set_of_files_has_one_key_whatever_its_order():
    """Any other file gives another key."""
    first, second, third = (stored("1", file_uuid=name) for name in "abc")
    assert files_key([first, second]) == files_key([second, first])
    assert len({files_key([first]), files_key([first, second]), files_key([first, third])}) == 3


def test_result_uids_are_deterministic_valid_and_recognised():
    """Same digest, kind and index: same UID; at most 64 characters; under our root."""
    uids = [result_uid("d", kind, index) for kind in ("a", "b") for index in range(3)]
    assert len(set(uids)) == 6
    assert uids[0] == result_uid("d", "a", 0)
    assert all(len(uid) <= 64 and is_result_uid(uid) for uid in uids)
    assert all(part == "0" or not part.startswith("0") for uid in uids for part in uid.split("."))
    assert not is_result_uid("1.2.3")
