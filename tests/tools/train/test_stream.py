"""Batches: they never end, workers draw different ones, and new studies are taken in."""

from typing import NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is for training only; make models installs it")

from torch import Tensor  # noqa: E402

from tools.train.run import half_precision, options  # noqa: E402
from tools.train.stream import EVERY, Clock, stream  # noqa: E402


class Drawn(NamedTuple):
    """One number of this process, one that all processes draw alike, and how many studies there were."""

    own: Tensor
    alike: Tensor
    studies: Tensor


def draw(paths, own, alike):
    return Drawn(torch.tensor(own.random()), torch.tensor(alike.random()), torch.tensor(len(paths)))


def two_studies():
    return [None, None]


def first(count, **options):
    batches = stream(draw, options.pop("source", two_studies), **{"seed": 3, "workers": 0, "device": "cpu", **options})
    return [next(batches) for _ in range(count)]


def test_a_seed_gives_the_same_batches_and_another_one_others():
    """A resumed run, which begins at another step, doesn't see the windows of its first hour again."""
    one, again, other = first(3), first(3), first(3, seed=4)
    assert isinstance(one[0], Drawn)
    assert one == again
    assert one[0].own != other[0].own


def test_workers_draw_each_for_itself():
    """Two workers that share a seed would teach everything twice."""
    own = [float(each.own) for each in first(6, workers=2)]
    assert len(set(own)) == 6


def test_processes_agree_on_what_takes_how_long(monkeypatch):
    """The window of each process is its own, the size of it is not: they wait for each other after each step."""
    one = first(2)
    monkeypatch.setattr("tools.train.together.rank", lambda: 1)
    other = first(2)
    assert [each.alike for each in one] == [each.alike for each in other]
    assert all(a.own != b.own for a, b in zip(one, other, strict=True))


def test_studies_that_come_meanwhile_are_taken_in():
    """The folder is looked at again after so many batches, not only at the start."""
    folder = [None]
    batches = stream(draw, lambda: list(folder), seed=0, workers=0, device="cpu")
    assert int(next(batches).studies) == 1
    folder.append(None)
    seen = [int(next(batches).studies) for _ in range(EVERY)]
    assert seen == [1] * (EVERY - 1) + [2]


def test_a_clock_says_what_share_is_over(monkeypatch):
    """Half of ten minutes is over after five."""
    clock = Clock(minutes=10, begin=1000.0)
    monkeypatch.setattr("time.monotonic", lambda: 1300.0)
    assert clock.done == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("able", "expected"),
    [({"amx_bf16": True}, torch.bfloat16), ({"avx512_bf16": True}, torch.bfloat16), ({"avx2": True}, torch.float32)],
)
def test_half_precision_is_for_what_is_made_for_it(monkeypatch, able, expected):
    """A CPU that would have to imitate it is left alone."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    layer, x = torch.nn.Linear(3, 2), torch.ones(1, 3)
    with half_precision(torch.device("cpu")):
        assert layer(x).dtype == expected


def test_the_trainings_share_one_command_line(monkeypatch):
    """The defaults suit two cores; a GPU is asked for by name."""
    monkeypatch.setattr("sys.argv", ["train", "--device", "cuda", "--workers", "12", "--batch", "16", "--threads", "1"])
    before = torch.get_num_threads()
    chosen = options("what it does", minutes=40.0)
    torch.set_num_threads(before)
    assert (chosen.minutes, chosen.device, chosen.workers, chosen.batch) == (40.0, "cuda", 12, 16)
    monkeypatch.setattr("sys.argv", ["train"])
    chosen = options("what it does", minutes=40.0)
    torch.set_num_threads(before)
    assert (chosen.device, chosen.workers, chosen.batch) == ("cpu", 0, 1)
    assert np.isclose(chosen.rate, 3e-3)
