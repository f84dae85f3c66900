"""Where examples of real knees lie, and which of them teach what.

``tools.train.import_dataset`` writes ``<data set>-<person>-<study>.<what is known>.npz`` to ``imported/training`` and
``imported/held-out`` below the training data. Person and study are hashes under a secret that stays in that folder: the
same study is the same file, all studies of a person are shared out together, and nobody without the secret can try
patients' numbers until a file name fits.
"""

import secrets
from hashlib import blake2b
from pathlib import Path

from tools.train.dataset import DATA

FINDINGS, STRUCTURES = "findings", "structures"
TRAINING, HELD_OUT = "training", "held-out"
_BYTES = 6


def secret(data: Path) -> bytes:
    """What the hashes of a folder are made with: drawn once and kept there."""
    path = data / "imported" / "secret"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_bytes(16))
    return path.read_bytes()


def digest(name: str, key: str, *, under: bytes) -> str:
    """Twelve hex digits for a person or a study of a data set, ``under`` a secret."""
    return blake2b(f"{name}/{key}".encode(), digest_size=_BYTES, key=under).hexdigest()


def number(path: Path) -> int:
    """A number of the person in an imported study, as good as drawn by chance, by which people are shared out."""
    return int(path.name.split(".")[0].split("-")[1], 16)


def placed(data: Path, pattern: str) -> list[Path]:
    """Files that are there, to train or held out, by a pattern of their names."""
    files = [path for held_out in (False, True) for path in folder(data, held_out=held_out).glob(pattern)]
    return sorted(path for path in files if ".part" not in path.suffixes)


def folder(data: Path, *, held_out: bool) -> Path:
    """Where training or held out examples lie."""
    return data / "imported" / (HELD_OUT if held_out else TRAINING)


def paths(use: str, *, held_out: bool = False, data: Path = DATA) -> list[Path]:
    """Examples in which ``FINDINGS`` or ``STRUCTURES`` are known, in an order that never changes."""
    return [path for path in placed(data, f"*.{use}*npz") if path.parent == folder(data, held_out=held_out)]
