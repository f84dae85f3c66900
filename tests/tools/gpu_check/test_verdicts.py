"""What must not pass does not: other answers, failed requests, lost studies."""

import dataclasses
import json
import threading

import numpy as np
import pytest

from services.common.tensors import KNEE_CAM, KNEE_CLASSIFICATION, KNEE_SEGMENTATION, MODELS
from services.common.triton import TritonClient
from tests.common.test_triton import random_inputs
from tests.fakes.triton_server import FakeTriton, fake_triton
from tools.gpu_check.drain import Drain, Studies
from tools.gpu_check.knees import Knee
from tools.gpu_check.load import Load
from tools.gpu_check.parity import Parity, parity
from tools.gpu_check.report import Report, write

GOOD = Report(
    profile="cpu",
    device=None,
    runtime="no engines",
    engines=(),
    parity=(Parity("knee_cam", "saliency", 1.0, 4.0),),
    load=(Load("knee_cam", 1, 1, 9, 0, 1.0, 2.0, 3.0, 27.0, 1.0, 0.1, "own loop"),),
    memory_bytes=None,
    drain=Drain(90, (), 0, 3.0),
)


@pytest.fixture(scope="module")
def knee() -> Knee:
    """Inputs, and the fake server's answers as the exact ones."""
    inputs = {contract.name: random_inputs(contract) for contract in MODELS}
    fake = FakeTriton()
    return Knee(inputs, {name: getattr(fake, name)(**each) for name, each in inputs.items()})


def test_the_same_answers_pass_and_others_do_not(knee):
    """Every output is compared; a logit that moved too far is found."""
    with fake_triton(FakeTriton()) as target:
        assert [each.passed for each in parity(target, [knee])] == [True] * sum(len(each.outputs) for each in MODELS)
    with fake_triton(FakeTriton(positive=("Effusion",))) as target:
        changed = {each.output for each in parity(target, [knee]) if not each.passed}
    assert "logits" in changed
    assert not Parity("knee_cam", "saliency", float("nan"), 4.0).passed


def test_a_study_whose_answer_is_wrong_or_missing_is_a_failure(knee):
    """A drain that loses or spoils one study is not passed."""
    for fake in (FakeTriton(positive=("Effusion",)), FakeTriton(broken=KNEE_SEGMENTATION.name)):
        with fake_triton(fake) as target, TritonClient(target, timeout_seconds=5) as triton:
            load = Studies(triton, knee)
            caller = threading.Thread(target=load.send)
            caller.start()
            load.more(1000)  # the first failure ends the wait
            load.enough.set()
            caller.join()
        assert load.failures
        assert Drain(load.answered, tuple(load.failures), 0, 1.0).problems
    for stayed in (None, -9):
        assert Drain(90, (), stayed, 60.0).problems, "it did not leave by itself"
    assert Drain(0, (), 0, 1.0).problems


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"parity": (Parity("knee_cam", "saliency", 9.0, 4.0),)}, "knee_cam.saliency differs"),
        ({"load": (dataclasses.replace(GOOD.load[0], failures=2),)}, "2 requests failed under load"),
        ({"drain": Drain(90, ("UNAVAILABLE: x",), 0, 3.0)}, "1 studies failed while it was drained"),
    ],
)
def test_a_report_says_what_is_wrong(tmp_path, change, word):
    """In both files."""
    write(dataclasses.replace(GOOD, **change), tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert not report["passed"]
    assert word in report["problems"][0]
    assert word in (tmp_path / "report.md").read_text()


def test_a_report_is_json_for_any_reader(tmp_path):
    """A number that is none becomes null; what passed says so."""
    row = dataclasses.replace(GOOD.load[0], p99_ms=float("nan"))
    write(dataclasses.replace(GOOD, load=(row,)), tmp_path)
    report = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert report["load"][0]["p99_ms"] is None
    assert report["passed"]


def test_a_study_asks_what_the_service_asks(knee):
    """Three planes, one classification, one saliency."""
    assert [contract for contract, _ in knee.calls] == [KNEE_SEGMENTATION] * 3 + [KNEE_CLASSIFICATION, KNEE_CAM]
    assert all(np.array_equal(volume["volume"].shape, (32, 256, 256)) for _, volume in list(knee.calls)[:3])
