"""A cold backup of what one machine must not lose: Orthanc's storage and index, the ledger, the opinions.

Orthanc keeps its SQLite index locked while it runs, so the stack must be stopped. (With PostgreSQL the index is dumped
by PostgreSQL's own tools while Orthanc runs, before the storage is copied; see ``docs/backup.md``.) One tar file with
its checksum beside it; it holds patients' images, so it is readable by its owner alone.
"""

import hashlib
import shutil
import tarfile
from pathlib import Path

from tools.stack.state import claimed

_TRANSIENT = {"temporary", "pages.sock", "orthanc.json"}
_CHUNK_BYTES = 1024 * 1024


class BackupDamaged(Exception):
    """The file is not what was written."""


def save(stack: Path, target: Path) -> None:
    """Write the backup of a stopped stack to ``target``; raises ``AlreadyRunning`` while it runs."""
    with claimed(stack):
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        part.touch(mode=0o600)
        with tarfile.open(part, "w") as archive:
            for path in sorted((stack / "orthanc").iterdir()):
                if path.name not in _TRANSIENT:
                    archive.add(path, arcname=path.name)
            archive.add(stack / "credentials.json", arcname="credentials.json")
        _checksum(target).write_text(_digest(part))
        part.rename(target)


def restore(source: Path, stack: Path) -> None:
    """Put a backup into the place of a stopped stack's state; what was there is removed.

    Raises ``BackupDamaged`` before anything is touched, ``AlreadyRunning`` while the stack runs.
    """
    if _digest(source) != _checksum(source).read_text():
        message = f"{source} is not what its checksum says"
        raise BackupDamaged(message)
    with claimed(stack):
        shutil.rmtree(stack / "orthanc", ignore_errors=True)
        (stack / "orthanc").mkdir(parents=True, mode=0o700)
        with tarfile.open(source) as archive:
            # an attribute, because the Python of Debian 12 does not know the argument
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(stack / "orthanc")  # noqa: S202 - our own archive, its checksum was compared
        (stack / "orthanc" / "credentials.json").replace(stack / "credentials.json")


def _checksum(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256")


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
