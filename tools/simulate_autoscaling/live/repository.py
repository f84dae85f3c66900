"""A model repository with the real contracts and models that only take their time."""

import re
import shutil
from pathlib import Path

from services.common.tensors import CHECKSUM, KNEE_CLASSIFICATION, KNEE_SEGMENTATION
from tools.pin_models import set_parameter
from tools.stack.triton_server import MODEL_REPOSITORY

SECONDS = {KNEE_SEGMENTATION.name: 0.5, KNEE_CLASSIFICATION.name: 0.0}  # a request; a study has three and one
STUDY_SECONDS = 3 * SECONDS[KNEE_SEGMENTATION.name]


def build_repository(folder: Path) -> Path:
    """One instance a model, with the configuration of the real one."""
    for name, seconds in SECONDS.items():
        version = folder / name / "1"
        version.mkdir(parents=True)
        shutil.copy(Path(__file__).with_name("timed_model.py"), version / "model.py")
        config = folder / name / "config.pbtxt"
        text = (MODEL_REPOSITORY / name / "config.pbtxt").read_text()
        text = re.sub(rf'output {{ name: "{CHECKSUM.name}".*\n', "", text)  # what only takes time has nothing to sum
        text += 'parameters { key: "seconds" value { string_value: "" } }\n'
        config.write_text(re.sub(r"count: \d+", "count: 1", text))
        set_parameter(config, "seconds", str(seconds))
    return folder
