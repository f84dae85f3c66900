"""Sets of engines side by side: each pod finds its own or is told what there is instead."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from services.common.tensors import MODELS
from tools.build_engines.cache import copy_out, found, locked, set_name
from tools.build_engines.published import Build, EngineMismatch, fits, publish
from tools.pin_models import REPOSITORY

BUILD = Build("tensorrt", "10.5.0", "8.9", "fp16", (1, 2, 4))
ENGINES = {contract.name: contract.name.encode() for contract in MODELS}


def published(cache: Path, build: Build) -> Path:
    folder = cache / set_name(build, REPOSITORY)
    publish(folder, build, REPOSITORY, ENGINES)
    return folder


def test_two_releases_keep_their_engines_side_by_side(tmp_path):
    """Another runtime is another folder; the first one is untouched, so a roll back finds it."""
    first, second = published(tmp_path, BUILD), published(tmp_path, replace(BUILD, runtime_version="10.9.0"))
    assert first != second
    assert first.name.startswith("fp16-sm89-")
    assert fits(first, BUILD, REPOSITORY)


def test_what_is_missing_is_refused_with_what_is_there(tmp_path):
    """A pod that may not build says why it does not start."""
    with pytest.raises(EngineMismatch, match=r"ENGINE_MISMATCH: .* has no fp16-sm89-"):
        found(tmp_path, BUILD, REPOSITORY)
    folder = published(tmp_path, BUILD)
    assert found(tmp_path, BUILD, REPOSITORY) == folder
    with pytest.raises(EngineMismatch, match=r"runtime_version is 10\.5\.0, must be 10\.9\.0"):
        found(tmp_path, replace(BUILD, runtime_version="10.9.0"), REPOSITORY)


def test_a_set_is_copied_to_where_triton_reads_it(tmp_path):
    """Also into a folder that exists, and again after a start that broke."""
    folder, out = published(tmp_path / "cache", BUILD), tmp_path / "out"
    out.mkdir()
    for _ in range(2):
        copy_out(folder, out)
    assert fits(out, BUILD, REPOSITORY)


def test_two_builders_of_one_set_take_turns(tmp_path):
    """The second finds what the first built."""
    order, first_is_in, may_leave = [], threading.Event(), threading.Event()

    def first() -> None:
        with locked(tmp_path, "set"):
            first_is_in.set()
            may_leave.wait()
            order.append("first")

    def second() -> None:
        with locked(tmp_path, "set"):
            order.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    first_is_in.wait()
    threads[1].start()
    threads[1].join(0.2)
    assert threads[1].is_alive()
    may_leave.set()
    for each in threads:
        each.join()
    assert order == ["first", "second"]
