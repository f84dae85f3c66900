"""Pickles that hold an array are read; pickles that hold a program are not run."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from tools.train.sources.pickles import array_from_pickle
from tools.train.sources.refusal import DataCode, DataRefused

ARRAY = np.arange(24, dtype=np.uint16).reshape(2, 3, 4) * 171


class Command:
    """What an attacker would put into the file."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def stored(folder, value, protocol=2):
    path = folder / "one.pck"
    path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("array", [ARRAY, np.asfortranarray(ARRAY), ARRAY.astype(">i2"), ARRAY / 7])
def test_an_array_is_read_whatever_the_protocol(tmp_path, array, protocol):
    """Unsigned and signed, either byte order, either memory order, floating point."""
    read = array_from_pickle(stored(tmp_path, array, protocol))
    assert (read.dtype.kind, read.dtype.itemsize) == (array.dtype.kind, array.dtype.itemsize)
    assert np.array_equal(read, array)


def test_an_array_of_python_2_is_read(tmp_path):
    """Its names are numpy's old ones and its bytes are a string."""
    old = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03"
        b"(K\x01K\x01K\x02K\x02\x87cnumpy\ndtype\nq\x04U\x02u2K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x08\x01\x00\xff\x00\x00\x02\xe8\x03tb."
    )
    assert array_from_pickle(stored(tmp_path, old)).tolist() == [[[1, 255], [512, 1000]]]


@pytest.mark.parametrize(
    "command",
    [
        Command(exec, "open('owned', 'w')"),
        Command(Path.touch, Path("owned")),
        Command(io.open, "owned", "w"),
        Command(np.ndarray, (1 << 40,)),
        Command(np.load, "owned"),
        [ARRAY, Command(exec, "open('owned', 'w')")],
    ],
)
def test_a_program_is_refused_and_never_run(tmp_path, monkeypatch, command):
    """Whatever it would have called; an array that would fill the memory is one of them."""
    monkeypatch.chdir(tmp_path)
    path = stored(tmp_path, command)
    with pytest.raises(DataRefused) as refused:
        array_from_pickle(path)
    assert refused.value.code in {DataCode.PICKLE_UNSAFE, DataCode.FILE_UNREADABLE}
    assert sorted(each.name for each in tmp_path.iterdir()) == ["one.pck"]


@pytest.mark.parametrize("value", [{"a": 1}, "text", [1, 2], np.array(["words"])])
def test_what_is_no_array_of_numbers_is_refused(tmp_path, value):
    """Harmless, but no image."""
    with pytest.raises(DataRefused, match="PICKLE_UNSAFE"):
        array_from_pickle(stored(tmp_path, value))


@pytest.mark.parametrize("data", [b"", b"no pickle", pickle.dumps(ARRAY)[:-40]])
def test_a_damaged_file_is_refused(tmp_path, data):
    """Empty, of another format, cut short."""
    with pytest.raises(DataRefused, match="FILE_UNREADABLE"):
        array_from_pickle(stored(tmp_path, data))
