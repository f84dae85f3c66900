"""``python -m tools.secrets``: make the passwords and certificates that ``compose.yaml`` mounts.

Nothing that exists is written over. The folder can be entered by its owner alone; the files inside can be read by
anyone who gets there, because containers run as users of their own.
"""

import argparse
import json
import secrets
import sys
from pathlib import Path
from typing import Any

from tools.secrets.certificates import write_identities

FOLDER = Path("build/secrets")
IDENTITIES = {"orthanc": ("orthanc",), "preprocessing": ("preprocessing",), "triton": ("triton",)}
READER, FORWARDER = "reader", "articula"
_DAYS = 825


def main() -> int:
    """Make what is missing and say where it is."""
    parser = argparse.ArgumentParser(prog="python -m tools.secrets", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--days", type=int, default=_DAYS, help="how long the certificates hold")
    options = parser.parse_args()
    if options.folder.exists():
        print(f"{options.folder} is there already. To make new secrets, move it away first.")
        return 1
    make_secrets(options.folder, days=options.days)
    print(f"Written to {options.folder}. The password of the user {READER!r} is in {options.folder / 'reader.txt'}.")
    return 0


def make_secrets(folder: Path, *, days: int = _DAYS) -> None:
    """Write everything; the folder must not exist."""
    folder.mkdir(parents=True, mode=0o700)
    write_identities(folder / "tls", IDENTITIES, days=days)
    passwords = {user: secrets.token_urlsafe(18) for user in (READER, FORWARDER)}
    log_key = secrets.token_urlsafe(18)
    (folder / "reader.txt").write_text(passwords[READER] + "\n")
    (folder / "log_key.env").write_text(f"ARTICULA_LOG_KEY={log_key}\n")
    (folder / "orthanc.json").write_text(json.dumps(orthanc_secrets(passwords, log_key=log_key), indent=2))


def orthanc_secrets(passwords: dict[str, str], *, log_key: str) -> dict[str, Any]:
    """The part of Orthanc's configuration that holds passwords; the image holds the rest.

    Orthanc refuses a section that stands in two files, so the plugin's whole section is here.
    """
    return {
        "RegisteredUsers": passwords,
        "Articula": {
            "Python": "/opt/articula/venv/bin/python3",
            "Analysis": "preprocessing:50051",
            "OrthancUrl": "http://127.0.0.1:8042",
            "User": FORWARDER,
            "Password": passwords[FORWARDER],
            "Ledger": "/srv/orthanc/articula/ledger.sqlite",
            "PagesSocket": "/tmp/pages.sock",  # noqa: S108 - the container's own /tmp
            "Ohif": "/opt/articula/ohif",
            "LogKey": log_key,
        },
    }


if __name__ == "__main__":
    sys.exit(main())
