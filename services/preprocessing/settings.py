"""Settings of the preprocessing service; each is documented where it is defined."""

from pathlib import Path

from pydantic import Field

from services.common.settings import ServiceSettings


class PreprocessingSettings(ServiceSettings):
    """Environment variables ``ARTICULA_LISTEN``, ``ARTICULA_TRITON`` and so on."""

    listen: str = Field(default="127.0.0.1:50051", description="host:port of the Analysis service; port 0 picks one.")
    triton: str = Field(default="127.0.0.1:8001", description="host:port of Triton's gRPC endpoint.")
    metrics_port: int = Field(default=0, description="Port of the Prometheus metrics on 127.0.0.1; 0 serves none.")
    metrics_host: str = Field(default="127.0.0.1", description="Address the metrics are served on.")
    spool: Path = Field(default=Path("build/spool"), description="Folder for studies in work; emptied at start.")
    workers: int = Field(default=2, ge=1, description="Worker processes; each has one study at a time.")
    max_studies: int = Field(default=8, ge=1, description="Studies admitted at once; more are told to come back.")
    urgent_places: int = Field(default=2, ge=0, description="More places, for STAT studies alone.")
    workers_per_source: int = Field(
        default=0, ge=0, description="Workers of one sender while others wait; 0: no bound."
    )
    max_spool_bytes: int = Field(default=8 * 1024**3, ge=1, description="Bytes of all admitted studies together.")
    max_study_bytes: int = Field(default=2 * 1024**3, description="Largest study, in bytes.")
    max_instances: int = Field(default=5000, description="Most instances a study may have.")
    study_seconds: float = Field(default=300.0, description="Wall clock a worker has for one study; then it is killed.")
    study_cpu_seconds: int = Field(default=120, ge=0, description="CPU seconds a worker may spend on one study.")
    worker_memory_bytes: int = Field(default=4 * 1024**3, description="Address space of one worker process.")
    infer_seconds: float = Field(default=60.0, description="Deadline of one call to Triton.")
    drain_seconds: float = Field(default=30.0, description="Time that studies in work get at shutdown.")
