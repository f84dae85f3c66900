"""What is known about one analysed study beside its pixels."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Provenance:
    """Everything that decided a result set; the same provenance and input give the same bytes."""

    input_digest: str
    pipeline: str
    software_version: str
    pipeline_digest: str
    model_digests: Mapping[str, str]
    notes: tuple[str, ...] = ()
    preprocessing: str = ""  # what was done to the voxels before a model saw them
