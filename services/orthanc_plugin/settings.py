"""The plugin's settings: section "Articula" of Orthanc's configuration. Standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECTION = "Articula"


@dataclass(frozen=True)
class PluginSettings:
    """Each field is a key of the section with the same words, for example ``OrthancUrl``."""

    python: str  # interpreter of the forwarder's environment
    analysis: str  # host:port of the Analysis service
    orthanc_url: str  # this Orthanc's REST address on loopback
    user: str  # the forwarder's own Orthanc user
    password: str
    ledger: str  # SQLite file of attempts
    quiet_seconds: float = 5.0  # a study starts when nothing arrived for so long
    sweep_seconds: float = 5.0  # pause between two sweeps
    pages_socket: str = ""  # Unix socket between the plugin's pages and the forwarder; beside the ledger unless given
    metrics_port: int = 0  # port of the forwarder's Prometheus metrics on loopback; 0 serves none
    ohif: str = ""  # folder of the OHIF viewer, '' where it is not installed
    log_key: str = "articula"  # keys the hashes that stand for UIDs in logs

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> "PluginSettings":
        """Read the section; raises ``ValueError`` that names a missing or unknown key."""
        section = dict(configuration.get(SECTION, {}))
        known = {_key(name): name for name in cls.__dataclass_fields__}
        unknown = sorted(set(section) - set(known))
        if unknown:
            message = f'section "{SECTION}" has unknown keys: {", ".join(unknown)}'
            raise ValueError(message)
        try:
            return cls(**{known[key]: value for key, value in section.items()})
        except TypeError as error:
            message = f'section "{SECTION}" is incomplete: {error}'
            raise ValueError(message) from error

    @property
    def desk(self) -> str:
        """Where the forwarder answers the pages."""
        return self.pages_socket or str(Path(self.ledger).with_name("pages.sock"))

    def environment(self) -> dict[str, str]:
        """The forwarder's environment variables; secrets travel here because arguments are visible to all users."""
        return {
            "ARTICULA_ANALYSIS": self.analysis,
            "ARTICULA_ORTHANC_URL": self.orthanc_url,
            "ARTICULA_USER": self.user,
            "ARTICULA_PASSWORD": self.password,
            "ARTICULA_LEDGER": self.ledger,
            "ARTICULA_PAGES_SOCKET": self.desk,
            "ARTICULA_QUIET_SECONDS": str(self.quiet_seconds),
            "ARTICULA_SWEEP_SECONDS": str(self.sweep_seconds),
            "ARTICULA_METRICS_PORT": str(self.metrics_port),
            "ARTICULA_LOG_KEY": self.log_key,
            "ARTICULA_LIFELINE": "true",
        }


def _key(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))
