"""The folder in which studies wait: private, bounded by the header, and empty when nobody waits."""

import pytest

from services.common.errors import StreamInvalid
from services.common.pb import analysis_pb2 as pb
from services.preprocessing.spool import Spool

HEADER = pb.StudyHeader(instance_count=2, total_bytes=6)


def chunk(index: int, data: bytes, *, last: bool = True) -> pb.InstanceChunk:
    return pb.InstanceChunk(instance_index=index, data=data, last=last)


def test_what_an_earlier_run_left_behind_is_removed(tmp_path):
    """Patients' images must not pile up over crashes."""
    (tmp_path / "spool" / "old").mkdir(parents=True)
    Spool(tmp_path / "spool")
    assert not list((tmp_path / "spool").iterdir())


def test_what_could_not_be_removed_goes_before_the_next_study(tmp_path):
    """A disk that was away for a moment keeps a folder that nobody knows any more."""
    spool = Spool(tmp_path / "spool")
    with spool.place_for(HEADER):
        pass
    (tmp_path / "spool" / "lost").mkdir()
    with spool.place_for(HEADER) as one, spool.place_for(HEADER) as other:
        assert {each.name for each in (tmp_path / "spool").iterdir()} == {one.folder.name, other.folder.name}
    assert not list((tmp_path / "spool").iterdir())


def test_files_come_back_in_the_order_sent(tmp_path):
    """Chunk by chunk, instance by instance."""
    with Spool(tmp_path / "spool").place_for(HEADER) as intake:
        intake.write(chunk(0, b"ab", last=False))
        intake.write(chunk(0, b"c"))
        intake.write(chunk(1, b"def"))
        files = intake.finish(pb.EndOfStudy(instance_count=2))
        assert [path.read_bytes() for path in files] == [b"abc", b"def"]


@pytest.mark.parametrize(
    "chunks",
    [
        [chunk(1, b"abc")],
        [chunk(0, b"abc"), chunk(0, b"def")],
        [chunk(0, b"abcdefg")],
        [chunk(0, b"abc"), chunk(1, b"def"), chunk(2, b"")],
    ],
    ids=["out of order", "twice", "too many bytes", "too many instances"],
)
def test_a_stream_against_its_header_is_invalid(tmp_path, chunks):
    """The header is the bound, whatever follows."""
    *first, last = chunks
    with Spool(tmp_path / "spool").place_for(HEADER) as intake:
        for each in first:
            intake.write(each)
        with pytest.raises(StreamInvalid):
            intake.write(last)


def test_a_stream_that_ends_early_is_invalid(tmp_path):
    """Half a study is none."""
    with Spool(tmp_path / "spool").place_for(HEADER) as intake:
        intake.write(chunk(0, b"abc"))
        with pytest.raises(StreamInvalid):
            intake.finish(pb.EndOfStudy(instance_count=2))
