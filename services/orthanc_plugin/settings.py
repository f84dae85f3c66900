"""The plugin's settings: section "Articula" of Orthanc's configuration. Standard library only."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

SECTION = "Articula"
_SOCKET_BYTES = 107  # Linux, sockaddr_un


@dataclass(frozen=True)
class PluginSettings:
    """Each field is a key of the section with the same words, for example ``OrthancUrl``."""

    python: str  # interpreter of the forwarder's environment
    analysis: str  # host:port of the Analysis service
    orthanc_url: str  # this Orthanc's REST address on loopback
    user: str  # the forwarder's own Orthanc user
    password: str
    ledger: str  # SQLite file of attempts
    quiet_seconds: float = 30.0  # a study starts when nothing arrived for so long
    series_quiet_seconds: float = 5.0  # or once, earlier, when every plane has a whole series that is quiet
    sweep_seconds: float = 5.0  # pause between two sweeps
    hints: bool = True  # tell the forwarder of changes; off, the sweep alone finds them, a little later
    priorities: tuple[Mapping[str, str], ...] = ()  # rules: attribute (or RemoteAET), regular expression, priority
    studies_per_source: int = 0  # studies of one sender streamed at once while others wait; 0: no bound
    upgrades: str = "backfill"  # a new pipeline reads all studies again, at low priority; "new": only new ones
    pages_socket: str = ""  # Unix socket between the plugin's pages and the forwarder; beside the ledger unless given
    metrics_port: int = 0  # port of the forwarder's Prometheus metrics on loopback; 0 serves none
    ohif: str = ""  # folder of the OHIF viewer, '' where it is not installed
    log_key: str = "articula"  # keys the hashes that stand for UIDs in logs
    shared_index: bool = field(default=False, init=False)  # several Orthancs may share the index, so one must lead

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> "PluginSettings":
        """Read the section; raises ``ValueError`` that names a missing or unknown key, or a socket's path too long."""
        section = dict(configuration.get(SECTION, {}))
        known = {_key(each.name): each.name for each in fields(cls) if each.init}
        unknown = sorted(set(section) - set(known))
        if unknown:
            message = f'section "{SECTION}" has unknown keys: {", ".join(unknown)}'
            raise ValueError(message)
        try:
            settings = cls(**{known[key]: value for key, value in section.items()})
        except TypeError as error:
            message = f'section "{SECTION}" is incomplete: {error}'
            raise ValueError(message) from error
        if len(os.fsencode(settings.desk)) > _SOCKET_BYTES:
            message = f'"{SECTION}" needs a shorter "PagesSocket" than {settings.desk}: {_SOCKET_BYTES} bytes at most'
            raise ValueError(message)
        object.__setattr__(settings, "shared_index", _shared_index(configuration))
        return settings

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
            "ARTICULA_SERIES_QUIET_SECONDS": str(self.series_quiet_seconds),
            "ARTICULA_SWEEP_SECONDS": str(self.sweep_seconds),
            "ARTICULA_PRIORITIES": json.dumps(list(self.priorities)),
            "ARTICULA_STUDIES_PER_SOURCE": str(self.studies_per_source),
            "ARTICULA_UPGRADES": self.upgrades,
            "ARTICULA_SHARED_INDEX": str(self.shared_index).lower(),
            "ARTICULA_METRICS_PORT": str(self.metrics_port),
            "ARTICULA_LOG_KEY": self.log_key,
            "ARTICULA_LIFELINE": "true",
        }


def _shared_index(configuration: Mapping[str, Any]) -> bool:
    """Whether the index lies in a database that other Orthancs may use, too.

    Raises ``ValueError`` for one in which two forwarders could both win: measured on PostgreSQL's "ReadCommitted", the
    default of Orthanc's plugin, a race of eight had more than one winner in a fifth of all cases.
    """
    for other in ("MySQL", "Odbc"):
        if configuration.get(other, {}).get("EnableIndex"):
            message = f"an index in {other} is not supported: nobody has measured that two forwarders can't both lead"
            raise ValueError(message)
    postgresql = configuration.get("PostgreSQL", {})
    if not postgresql.get("EnableIndex"):
        return False
    if postgresql.get("TransactionMode") != "Serializable":
        message = 'section "PostgreSQL" needs "TransactionMode": "Serializable"; else studies can be lost or doubled'
        raise ValueError(message)
    return True


def _key(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))
