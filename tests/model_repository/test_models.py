"""The committed networks keep the contract: signatures, exact class activation maps, masks, in two runtimes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from services.common.finding import LABELS
from services.common.pb import analysis_pb2 as pb
from services.common.tensors import (
    CHECKSUM,
    GRID,
    KNEE_CAM,
    KNEE_CLASSIFICATION,
    KNEE_SEGMENTATION,
    MODELS,
    STRUCTURE_COUNT,
    ModelContract,
)
from tools.pin_models import pin_models

REPOSITORY = Path(__file__).parents[2] / "model_repository"
MOST_PARAMETERS = {"knee_segmentation": 2_000_000, "knee_classification": 1_000_000, "knee_cam": 1_000}
_ONNX_TYPES = {"UINT8": onnx.TensorProto.UINT8, "FP16": onnx.TensorProto.FLOAT16}
_ONNX_TYPES |= {"FP32": onnx.TensorProto.FLOAT, "INT64": onnx.TensorProto.INT64}

Run = Callable[[ModelContract, dict[str, np.ndarray]], dict[str, np.ndarray]]


def path_of(contract: ModelContract) -> Path:
    return REPOSITORY / contract.name / "1" / "model.onnx"


def config_of(contract: ModelContract) -> model_config_pb2.ModelConfig:
    text = (REPOSITORY / contract.name / "config.pbtxt").read_text()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def in_onnxruntime(contract: ModelContract, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(path_of(contract), providers=["CPUExecutionProvider"])
    names = [spec.name for spec in contract.outputs]
    return dict(zip(names, session.run(names, inputs), strict=True))


def in_openvino(contract: ModelContract, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 2}
    compiled = openvino.Core().compile_model(path_of(contract), "CPU", settings)
    result = compiled(inputs)
    return {spec.name: np.array(result[spec.name]) for spec in contract.outputs}


RUNTIMES = pytest.mark.parametrize("run", [in_onnxruntime, in_openvino], ids=["onnxruntime", "openvino"])


@pytest.fixture(scope="module")
def knee() -> dict[str, np.ndarray]:
    """A batch of one: two planes with structure, the third missing."""
    rng = np.random.default_rng(0)
    volumes = rng.integers(0, 60, (1, 3, *GRID)).astype(np.uint8)
    volumes[:, :, :, 90:170, 80:180] += 120
    mask = np.zeros((1, 3, 32), np.uint8)
    mask[:, 0, 2:30], mask[:, 1, 4:28] = 1, 1
    volumes *= mask[..., None, None]
    return {"volumes": volumes, "slice_mask": mask, "region": np.zeros((1, 3, 4), np.float32)}


@pytest.mark.parametrize("contract", MODELS, ids=lambda contract: contract.name)
def test_the_onnx_signature_is_the_contract(contract):
    """Names, types and shapes, with a free batch dimension in front."""
    graph = onnx.load(path_of(contract)).graph
    for values, specs in ((graph.input, contract.inputs), (graph.output, contract.outputs)):
        found = {value.name: value.type.tensor_type for value in values}
        assert set(found) == {spec.name for spec in specs}
        for spec in specs:
            assert found[spec.name].elem_type == _ONNX_TYPES[spec.data_type], spec.name
            first, *rest = found[spec.name].shape.dim
            assert first.dim_param
            assert tuple(dimension.dim_value for dimension in rest) == spec.shape, spec.name


@pytest.mark.parametrize("contract", MODELS, ids=lambda contract: contract.name)
def test_tritons_configuration_is_the_contract(contract):
    """``config.pbtxt`` says the same, batches requests and names the file's digest."""
    config = config_of(contract)
    for values, specs in ((config.input, contract.inputs), (config.output, (*contract.outputs, CHECKSUM))):
        found = [(each.name, model_config_pb2.DataType.Name(each.data_type), tuple(each.dims)) for each in values]
        assert found == [(spec.name, f"TYPE_{spec.data_type}", spec.shape) for spec in specs]
    assert config.max_batch_size > 1
    levels = {pb.PRIORITY_STAT, pb.PRIORITY_ROUTINE, pb.PRIORITY_BACKFILL}
    assert config.dynamic_batching.priority_levels == max(levels) == len(levels)
    assert config.dynamic_batching.default_priority_level == pb.PRIORITY_ROUTINE
    assert config.instance_group[0].count > 1  # with one, a queue with priorities stalls


def test_the_pinned_digests_are_those_of_the_files(tmp_path):
    """Pinning the repository again changes nothing."""
    copies = {}
    for contract in MODELS:
        copy = tmp_path / contract.name / "1" / "model.onnx"
        copy.parent.mkdir(parents=True)
        copy.write_bytes(path_of(contract).read_bytes())
        copies[contract.name] = (REPOSITORY / contract.name / "config.pbtxt").read_text()
        (tmp_path / contract.name / "config.pbtxt").write_text(copies[contract.name])
    pin_models(tmp_path)
    assert {name: (tmp_path / name / "config.pbtxt").read_text() for name in copies} == copies


def test_there_is_a_threshold_for_every_label():
    """Twelve numbers between 0 and 1 travel with the classifier."""
    text = config_of(KNEE_CLASSIFICATION).parameters["thresholds"].string_value
    thresholds = [float(value) for value in text.split(",")]
    assert len(thresholds) == len(LABELS)
    assert all(0 < value < 1 for value in thresholds)


@pytest.mark.parametrize("contract", MODELS, ids=lambda contract: contract.name)
def test_a_model_is_no_larger_than_allowed(contract):
    """Parameters counted in the file."""
    graph = onnx.load(path_of(contract)).graph
    assert sum(int(np.prod(each.dims)) for each in graph.initializer) <= MOST_PARAMETERS[contract.name]


@RUNTIMES
def test_the_logit_is_exactly_the_attention_weighted_sum_of_its_maps(run: Run, knee):
    """Whatever the heat map shows is what decided, to 1e-4; slices that were not there have no attention."""
    answer = run(KNEE_CLASSIFICATION, knee)
    share = answer["attention"] * answer["class_maps"].astype(np.float64).mean(axis=(4, 5))
    assert np.abs(share.sum(axis=(1, 2)) - answer["logits"]).max() < 1e-4
    assert np.allclose(answer["attention"].sum(axis=(1, 2)), 1, atol=1e-5)
    assert not answer["attention"][knee["slice_mask"] == 0].any()


def test_both_runtimes_agree(knee):
    """OpenVINO and ONNX Runtime give the same answer to float accuracy."""
    one, other = in_onnxruntime(KNEE_CLASSIFICATION, knee), in_openvino(KNEE_CLASSIFICATION, knee)
    assert np.abs(one["logits"] - other["logits"]).max() < 0.05


@RUNTIMES
def test_a_batch_of_two_is_two_batches_of_one(run: Run, knee):
    """Dynamic batching can't change a result."""
    other = {**knee, "volumes": knee["volumes"][..., ::-1].copy()}
    both = run(KNEE_CLASSIFICATION, {name: np.concatenate([knee[name], other[name]]) for name in knee})
    for index, single in enumerate((knee, other)):
        assert np.abs(run(KNEE_CLASSIFICATION, single)["logits"][0] - both["logits"][index]).max() < 1e-2


@RUNTIMES
def test_the_segmentation_labels_every_voxel_with_a_structure(run: Run, knee):
    """Labels are 0 to 13, with another one in second place; confidence is a probability, and 0 for what is absent."""
    answer = run(KNEE_SEGMENTATION, {"volume": knee["volumes"][:, 0]})
    assert answer["runner_up"].max() < STRUCTURE_COUNT
    assert (answer["runner_up"] != answer["labels"]).all()
    assert answer["certainty"].min() >= 127
    assert answer["labels"].shape == (1, *GRID)
    assert answer["labels"].max() < STRUCTURE_COUNT
    present = np.isin(np.arange(STRUCTURE_COUNT), answer["labels"])
    assert (answer["confidence"][0][present] > 0.05).all()
    assert (answer["confidence"][0] <= 1.0001).all()
    assert not answer["confidence"][0][~present].any()


@RUNTIMES
def test_saliency_is_hot_where_the_attended_map_is(run: Run):
    """One positive cell of the chosen label lights up its place with 255; other labels and negative cells do not."""
    shapes = {spec.name: (1, *spec.shape) for spec in KNEE_CAM.inputs}
    maps = np.full(shapes["class_maps"], -1.0, np.float16)
    attention = np.zeros(shapes["attention"], np.float32)
    maps[0, 2, 7, 4, 10, 20], attention[0, 2, 7, 4] = 3.0, 0.9
    maps[0, 1, 3, 5, 2, 2], attention[0, 1, 3, 5] = 9.0, 1.0
    saliency = run(KNEE_CAM, {"class_maps": maps, "attention": attention, "label": np.array([[4]])})["saliency"]
    assert saliency.max() == 255
    assert saliency[0, 2, 7, 80:88, 160:168].min() > 60
    saliency[0, 2, 7, 72:96, 152:176] = 0
    assert not saliency.any()
