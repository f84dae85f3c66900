"""Write a repository: configurations, and beside each the file its backend reads."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from google.protobuf import text_format

from services.common.tensors import MODELS
from tools.model_repository.profiles import PROFILES, committed, configuration


def write(profile_name: str, source: Path, out: Path, *, engines: Mapping[str, bytes] | None = None) -> None:
    """Write the repository of a profile; what the folder holds of an earlier start is written over.

    ``engines`` holds the plan of each model by its name; the ``tensorrt`` profile needs it and no other takes it.
    Raises ``ValueError`` where they don't fit together, ``KeyError`` for an unknown profile.
    """
    profile = PROFILES[profile_name]
    if (engines is None) == (profile.file == "model.plan"):
        message = f"profile {profile_name} {'needs' if engines is None else 'takes no'} engines"
        raise ValueError(message)
    for contract in MODELS:
        folder = out / contract.name / "1"
        folder.mkdir(parents=True, exist_ok=True)
        parameters = {key: each.string_value for key, each in committed(source, contract).parameters.items()}
        text = text_format.MessageToString(configuration(contract, profile, parameters))
        (folder.parent / "config.pbtxt").write_text(text)
        if engines is not None:
            (folder / profile.file).write_bytes(engines[contract.name])
        else:
            shutil.copyfile(source / contract.name / "1" / profile.file, folder / profile.file)
        if profile.backend == "python":
            shutil.copyfile(source / contract.name / "1" / "model.py", folder / "model.py")
