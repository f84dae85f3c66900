"""Whether Orthanc works with our plugin: ``python -m services.orthanc_plugin.probe <configuration folder>``.

Exit status 0 when Orthanc answers its own user and the forwarder runs, else 1. Standard library only.
"""

import base64
import json
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.orthanc_plugin.settings import SECTION

_SECONDS = 10.0


def works(configuration: Mapping[str, Any]) -> bool:
    """Ask the plugin's status route as the forwarder's user."""
    section = configuration[SECTION]
    token = base64.b64encode(f"{section['User']}:{section['Password']}".encode()).decode()
    request = urllib.request.Request(  # noqa: S310 - the address is our own configuration's
        f"{section['OrthancUrl']}/articula/status", headers={"Authorization": f"Basic {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
            return bool(json.load(answer)["forwarder_alive"])
    except (OSError, ValueError):
        return False


def read_configuration(folder: Path) -> dict[str, Any]:
    """All files of a folder as one configuration, as Orthanc reads them."""
    merged: dict[str, Any] = {}
    for path in sorted(folder.glob("*.json")):
        merged |= json.loads(path.read_text())
    return merged


if __name__ == "__main__":
    sys.exit(0 if works(read_configuration(Path(sys.argv[1]))) else 1)
