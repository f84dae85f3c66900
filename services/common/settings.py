"""The base of every service's settings: environment variables that start with ``ARTICULA_``."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Settings every service has. Each subclass documents its own beside the field."""

    model_config = SettingsConfigDict(env_prefix="ARTICULA_", extra="ignore", frozen=True)

    log_level: str = Field(default="INFO", description="Lowest level that is logged: DEBUG, INFO, WARNING, ERROR.")
    log_key: str = Field(
        default="articula",
        description="Secret that keys the hashes standing for UIDs in logs. Give each installation its own.",
    )
    tls_folder: Path | None = Field(
        default=None,
        description="Folder with tls.crt, tls.key and ca.crt: all gRPC is then mutual TLS. None: no TLS.",
    )
