"""The page that leads from a folder of DICOM to trained models says what is true."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from services.common.finding import LABELS, Structure
from tools.train import dataset, imported
from tools.train.import_dataset import DATA_SETS
from tools.train.partial import UNKNOWN

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/train-your-own.md").read_text()
COMMANDS = re.findall(r"\.venv/bin/python -m ([\w.]+)([^;#>\n]*)", PAGE)


def run(folder, module, *words):
    """A command of the page, in a folder of its own."""
    command = [sys.executable, "-m", module, *map(str, words)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_every_command_exists_with_its_options():
    """The module is there, and its parser names each option that the page uses."""
    assert len(COMMANDS) >= 13
    for module, words in COMMANDS:
        spec = importlib.util.find_spec(module)
        assert spec is not None, module
        package = f"{module}.__main__" if spec.submodule_search_locations else module
        source = Path(importlib.util.find_spec(package).origin).read_text()
        if "options(__doc__" in source:  # the trainings share their command line
            source += (ROOT / "tools/train/run.py").read_text()
        for option in re.findall(r"--[a-z-]+", words):
            assert f'"{option}"' in source, f"{module} {option}"


def test_every_data_set_stands_on_the_page():
    """A loader that nobody is told of is no loader."""
    assert set(re.findall(r"import_dataset (\w+)", PAGE)) == set(DATA_SETS)


def test_a_folder_of_studies_becomes_examples(tmp_path):
    """Phantom, table, import, as on the page: drawn structures and judged findings arrive on the model's grid."""
    for seed, more in ((1, ()), (5, ("--finding", "ACL"))):
        run(tmp_path, "tools.phantom", "--seed", seed, "--matrix", 64, "--truth", "--out", f"build/own/{seed}", *more)
    (tmp_path / "build/own/labels.csv").write_text(run(tmp_path, "tools.train.label_table", "build/own"))
    said = run(tmp_path, "tools.train.import_dataset", "hospital", "build/own", "--held-out", "0")
    assert "2 to train, 0 held out" in said
    paths = imported.paths(imported.STRUCTURES, data=tmp_path / dataset.DATA)
    examples = [dataset.load(path) for path in paths]
    acl = LABELS.index("ACL")
    assert sorted(int(example.findings[acl]) for example in examples) == [0, 1]
    for example in examples:
        assert not (example.findings == UNKNOWN).any()
        for plane in range(3):
            found = set(np.unique(example.labels[plane]))
            assert {Structure.FEMUR, Structure.TIBIA, Structure.PATELLA} <= found
            assert example.slice_mask[plane].any()
