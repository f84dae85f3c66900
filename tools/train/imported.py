"""Where examples of real knees lie, and which of them teach what.

``tools.train.import_dataset`` writes ``<data set>-<hash>.<what is known>.npz`` to ``imported/training`` and
``imported/held-out`` below the training data. The hash is of the study's own name, so the same study is the same file.
"""

from hashlib import sha256
from pathlib import Path

from tools.train.dataset import DATA

FINDINGS, STRUCTURES = "findings", "structures"
TRAINING, HELD_OUT = "training", "held-out"
_DIGITS = 12


def digest(name: str, key: str) -> str:
    """Twelve hex digits for a study of a data set."""
    return sha256(f"{name}/{key}".encode()).hexdigest()[:_DIGITS]


def number(path: Path) -> int:
    """A number of an imported study, as good as drawn by chance, by which studies are shared out."""
    return int(path.name.split(".")[0][-_DIGITS:], 16)


def folder(data: Path, *, held_out: bool) -> Path:
    """Where training or held out examples lie."""
    return data / "imported" / (HELD_OUT if held_out else TRAINING)


def paths(use: str, *, held_out: bool = False, data: Path = DATA) -> list[Path]:
    """Examples in which ``FINDINGS`` or ``STRUCTURES`` are known, in an order that never changes."""
    files = folder(data, held_out=held_out).glob(f"*.{use}*npz")
    return sorted(path for path in files if ".part" not in path.suffixes)
