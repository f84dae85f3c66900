"""Settings of the forwarder; the plugin hands them over as environment variables."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from services.common.settings import ServiceSettings


class ForwarderSettings(ServiceSettings):
    """Environment variables ``ARTICULA_ANALYSIS``, ``ARTICULA_ORTHANC_URL`` and so on."""

    analysis: str = Field(default="127.0.0.1:50051", description="host:port of the Analysis service.")
    orthanc_url: str = Field(default="http://127.0.0.1:8042", description="Orthanc's REST address on loopback.")
    user: str = Field(default="articula", description="The forwarder's own Orthanc user.")
    password: SecretStr = Field(default=SecretStr(""), description="Its password.")
    ledger: Path = Field(default=Path("build/ledger.sqlite"), description="SQLite file of attempts.")
    pages_socket: Path | None = Field(
        default=None, description="Unix socket on which the plugin's pages ask; none: no pages are served."
    )
    quiet_seconds: float = Field(default=30.0, description="A study starts when nothing arrived for so long.")
    series_quiet_seconds: float = Field(
        default=5.0,
        description="It starts earlier, once, where every plane has a whole series that has been quiet for so long.",
    )
    sweep_seconds: float = Field(default=5.0, description="Pause between two sweeps; a hint ends it early.")
    audit_seconds: float = Field(default=600.0, description="Pause between two sweeps that trust nothing remembered.")
    study_seconds: float = Field(default=600.0, description="Deadline of one study from first byte to last result.")
    rest_seconds: float = Field(default=30.0, description="Deadline of one REST call.")
    parallel_studies: int = Field(default=2, ge=1, description="Studies streamed at once.")
    urgent_places: int = Field(default=1, ge=0, description="More studies streamed at once, if they are STAT.")
    studies_per_source: int = Field(
        default=0, ge=0, description="Studies of one sender streamed at once while others wait; 0: no bound."
    )
    priorities: tuple[dict[str, str], ...] = Field(
        default=(),
        description='Rules as JSON: [{"attribute": ..., "matches": ..., "priority": ...}]; the first counts.',
    )
    backfill_days: float = Field(
        default=2.0, description="A study that lay in the archive for so long before it was first seen is backfill."
    )
    upgrades: Literal["backfill", "new"] = Field(
        default="backfill",
        description="What a new pipeline reads: all studies again, at low priority, or only new ones and on request.",
    )
    shared_index: bool = Field(
        default=False, description="Several Orthancs share one index: one forwarder leads, by a lease in the archive."
    )
    lease_seconds: float = Field(default=20.0, gt=0, description="A leader that is silent for so long is replaced.")
    silence_seconds: float = Field(
        default=300.0, gt=0, description="A sweep that gives no sign for so long ends the process, to be started again."
    )
    drain_seconds: float = Field(default=3.0, ge=0, description="Time that studies in work get at shutdown.")
    max_attempts: int = Field(default=3, ge=1, description="Attempts that may end badly before a study is set aside.")
    metrics_port: int = Field(default=0, description="Port of the Prometheus metrics; 0 serves none.")
    metrics_host: str = Field(default="127.0.0.1", description="Address the metrics are served on.")
    lifeline: bool = Field(default=False, description="Stop when standard input closes, as the plugin's child does.")
