"""The mean of two exported models: constants by their names, nothing between files that don't belong together."""

import hashlib
import shutil
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from services.common.tensors import KNEE_SEGMENTATION
from tools.pin_models import REPOSITORY
from tools.train import mean as command


def model(**constants):
    """A graph with some constants, in the order of their giving."""
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])
    node = helper.make_node("Identity", [tensors[0].name], ["y"])
    return helper.make_model(helper.make_graph([node], "small", [], [output], tensors))


def constants(made):
    """The constants of a graph by their names."""
    return {each.name: numpy_helper.to_array(each) for each in made.graph.initializer}


def test_a_constant_is_averaged_with_the_one_of_its_name():
    """Weights move by the share, shapes of the graph (integers) stay; the order in a file says nothing."""
    earlier = model(weight=np.float32([1, 2]), bias=np.float32([0]), shape=np.int64([4, 32]))
    later = model(shape=np.int64([4, 32]), bias=np.float32([8]), weight=np.float32([3, 6]))
    made = constants(command.mean(earlier, later, share=0.25))
    np.testing.assert_allclose(made["weight"], [1.5, 3])
    np.testing.assert_allclose(made["bias"], [2])
    np.testing.assert_array_equal(made["shape"], [4, 32])
    assert made["weight"].dtype == np.float32
    assert constants(earlier)["bias"] == 0, "the file that was given is another model still"


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (model(weight=np.float32([1, 2]), last=np.float32([0])), "different layers"),
        (model(weight=np.float32([1]), bias=np.float32([0])), "weight is float32 .2,. in one file"),
        (model(weight=np.float16([1, 2]), bias=np.float32([0])), "float16 .2,. in the other"),
    ],
)
def test_models_of_two_families_have_no_mean(other, says):
    """Layers, shapes and types are compared before anything is written."""
    with pytest.raises(ValueError, match=says):
        command.mean(model(weight=np.float32([1, 2]), bias=np.float32([0])), other, share=0.5)


def test_files_that_do_not_belong_together_end_the_command_with_words(tmp_path, monkeypatch, capsys):
    """The person at the command line reads what to give instead, and nothing was written."""
    onnx.save(model(weight=np.float32([1])), tmp_path / "other.onnx")
    files = [str(REPOSITORY / KNEE_SEGMENTATION.name / "1" / "model.onnx"), str(tmp_path / "other.onnx")]
    monkeypatch.setattr(sys, "argv", ["mean", *files, "--repository", str(tmp_path)])
    with pytest.raises(SystemExit):
        command.main()
    assert "give two exports of one network" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [tmp_path / "other.onnx"]


def test_the_mean_is_pinned_in_the_repository_it_is_written_to(tmp_path, monkeypatch, capsys):
    """A command on two files: a model that is all there, and whose digest is the one that the server asks for."""
    repository = tmp_path / "repository"
    shutil.copytree(REPOSITORY, repository)
    path = repository / KNEE_SEGMENTATION.name / "1" / "model.onnx"
    later = onnx.load(path)
    (bias,) = (each for each in later.graph.initializer if each.name.endswith("last.bias"))
    of_earlier = numpy_helper.to_array(bias)
    bias.CopyFrom(numpy_helper.from_array(of_earlier + np.float32(1), bias.name))
    onnx.save(later, tmp_path / "later.onnx")
    files = [str(path), str(tmp_path / "later.onnx")]
    monkeypatch.setattr(sys, "argv", ["mean", *files, "--share", "0.5", "--repository", str(repository)])
    command.main()
    onnx.checker.check_model(path, full_check=True)
    np.testing.assert_allclose(constants(onnx.load(path))[bias.name], of_earlier + 0.5)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest in (repository / KNEE_SEGMENTATION.name / "config.pbtxt").read_text()
    assert digest in capsys.readouterr().out
