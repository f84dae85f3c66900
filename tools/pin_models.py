"""Write each model's sha256 into its ``config.pbtxt``: ``python -m tools.pin_models``.

The server refuses a model file with another digest, so what a result says it was computed with is what computed it. The
file is edited as text because its comments are worth keeping.
"""

import hashlib
import re
from pathlib import Path

from services.common.tensors import MODELS

REPOSITORY = Path(__file__).parents[1] / "model_repository"


def main() -> None:
    """Pin every model of this checkout."""
    for name, digest in pin_models(REPOSITORY).items():
        print(f"{name} {digest}")


def pin_models(repository: Path) -> dict[str, str]:
    """Pin every model of a repository to the ``model.onnx`` it holds; returns the digests by model name."""
    digests = {}
    for contract in MODELS:
        folder = repository / contract.name
        digests[contract.name] = hashlib.sha256((folder / "1" / "model.onnx").read_bytes()).hexdigest()
        set_parameter(folder / "config.pbtxt", "onnx_sha256", digests[contract.name])
    return digests


def set_parameter(config: Path, key: str, value: str) -> None:
    """Replace the value of a parameter that the file already has; raises ``ValueError`` where it has none."""
    pattern = re.compile(rf'(key: "{re.escape(key)}" value {{ string_value: ")[^"]*(")')
    text, count = pattern.subn(lambda match: f"{match[1]}{value}{match[2]}", config.read_text())
    if count != 1:
        message = f"{config} must have the parameter {key} once, has it {count} times"
        raise ValueError(message)
    config.write_text(text)


if __name__ == "__main__":
    main()
