"""Orthanc's configuration on one machine: our plugin, DICOMweb, and everything we don't need switched off."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.common.status import METADATA_NAME, METADATA_NUMBER

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = Path("/usr/share/orthanc/plugins")
OHIF = ROOT / "build" / "ohif"  # fetched by tools/install/frontend.sh
AET = "ARTICULA"
FORWARDER_USER = "articula"


def orthanc_configuration(
    state: Path, *, http_port: int, dicom_port: int, analysis: str, passwords: Mapping[str, str]
) -> dict[str, Any]:
    """Configuration for ``Orthanc <file>``; ``state`` is its folder, ``passwords`` by user, the forwarder's among them.

    First write wins: results are content-addressed, so an instance that exists is never overwritten. No cache of files:
    it would hide from the forwarder what a full disk did not keep.
    """
    ohif = OHIF.is_dir()
    plugins = ["libOrthancPython.so", "libOrthancDicomWeb.so", *(["libServeFolders.so"] if ohif else [])]
    return {
        "Name": "Articula",
        "StorageDirectory": str(state / "storage"),
        "IndexDirectory": str(state / "storage"),
        "TemporaryDirectory": str(state / "temporary"),
        "HttpPort": http_port,
        "DicomPort": dicom_port,
        "DicomAet": AET,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "UnknownSopClassAccepted": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": dict(passwords),
        "ExecuteLuaEnabled": False,
        "RestApiWriteToFileSystemEnabled": False,
        "HttpCompressionEnabled": False,
        "OverwriteInstances": False,
        "MaximumStorageCacheSize": 0,
        "StableAge": 5,
        "UserMetadata": {METADATA_NAME: METADATA_NUMBER},
        "Plugins": [
            str(PLUGINS / name) for name in plugins
        ],  # ours first: it answers OHIF's addresses that are no file
        "PythonScript": str(ROOT / "services" / "orthanc_plugin" / "plugin.py"),
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": True, "WadoRoot": "/wado"},
        **(
            {"ServeFolders": {"AllowCache": True, "GenerateETag": True, "Folders": {"/ohif": str(OHIF)}}}
            if ohif
            else {}
        ),
        "Articula": {
            "Python": str(ROOT / ".venv" / "bin" / "python"),
            "Analysis": analysis,
            "OrthancUrl": f"http://127.0.0.1:{http_port}",
            "User": FORWARDER_USER,
            "Password": passwords[FORWARDER_USER],
            "Ledger": str(state / "ledger.sqlite"),
            **({"Ohif": str(OHIF)} if ohif else {}),
            "QuietSeconds": 3,
            "SweepSeconds": 3,
        },
    }
