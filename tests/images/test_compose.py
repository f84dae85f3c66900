"""compose.yaml is what it says: the same wiring as on a cluster, locked down, no variable that nobody reads."""

import json
import re

import pytest
import yaml

from services.forwarder.settings import ForwarderSettings
from services.orthanc_plugin.settings import PluginSettings
from services.preprocessing.settings import PreprocessingSettings
from tests.images.dockerfile import ROOT, parse
from tools.secrets.__main__ import make_secrets

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
_KEYS = {
    "image", "build", "depends_on", "networks", "ports", "environment", "env_file", "volumes", "tmpfs", "shm_size",
    "stop_grace_period", "deploy", "restart", "read_only", "cap_drop", "security_opt", "logging",
}  # fmt: skip
every = pytest.mark.parametrize("name", SERVICES)


def dockerfile(name):
    return ROOT / SERVICES[name]["build"]["dockerfile"]


def variables_read_by(name) -> set[str]:
    """The variables that a container's own program looks at."""
    if name == "triton":
        return set(re.findall(r"ARTICULA_[A-Z_]+", (ROOT / "model_repository/serve.sh").read_text()))
    settings = {"preprocessing": PreprocessingSettings, "orthanc": ForwarderSettings}[name]
    return {f"ARTICULA_{field.upper()}" for field in settings.model_fields}


@every
def test_a_service_uses_only_keys_of_the_compose_specification(name):
    """A misspelt key is silently ignored by some engines."""
    assert set(SERVICES[name]) <= _KEYS
    assert set(COMPOSE) <= {"name", "services", "networks", "volumes", "x-hardened"}


@every
def test_a_service_is_locked_down_and_bounded(name):
    """Read-only root, no privileges, no capabilities, limits on processors, memory and processes."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"cpus", "memory", "pids"} == set(service["deploy"]["resources"]["limits"])
    assert not service["image"].endswith("latest")
    assert parse(dockerfile(name))[-1].all("HEALTHCHECK")


@every
def test_each_variable_is_one_the_service_reads(name):
    """A variable nobody reads is a wish; this goes for the image's own, too."""
    given = set(SERVICES[name].get("environment", {})) | set(parse(dockerfile(name))[-1].environment)
    ours = {variable for variable in given if variable.startswith("ARTICULA_")}
    assert ours
    assert ours <= variables_read_by(name)


def test_each_value_is_accepted_by_the_settings(monkeypatch):
    """Types and bounds."""
    stage = parse(dockerfile("preprocessing"))[-1]
    for key, value in {**stage.environment, **SERVICES["preprocessing"]["environment"]}.items():
        monkeypatch.setenv(key, value)
    settings = PreprocessingSettings()
    assert settings.listen == "0.0.0.0:50051"
    assert settings.triton == "triton:8001"
    assert settings.drain_seconds < _seconds(SERVICES["preprocessing"]["stop_grace_period"])


def test_triton_may_finish_what_it_began():
    """The engine waits longer than the server does."""
    triton = SERVICES["triton"]
    assert int(triton["environment"]["ARTICULA_EXIT_SECONDS"]) < _seconds(triton["stop_grace_period"])


def test_ports_are_on_loopback_unless_somebody_says_otherwise():
    """And only Orthanc has any."""
    assert [name for name in SERVICES if "ports" in SERVICES[name]] == ["orthanc"]
    for port in SERVICES["orthanc"]["ports"]:
        assert re.match(r"(127\.0\.0\.1|\$\{ARTICULA_DICOM_ADDRESS:-127\.0\.0\.1\}):", port)


def test_only_the_arrows_of_the_architecture_are_open():
    """Orthanc reaches preprocessing, preprocessing reaches Triton, nobody else meets, and those two have no way out."""
    meets = {(a, b) for a in SERVICES for b in SERVICES if a < b and _networks(a) & _networks(b)}
    assert meets == {("orthanc", "preprocessing"), ("preprocessing", "triton")}
    assert all(COMPOSE["networks"][each]["internal"] for each in ("analysis", "models"))


def test_every_mounted_secret_is_one_that_the_command_makes(tmp_path):
    """And the addresses in it are the services' names and ports."""
    make_secrets(tmp_path / "build/secrets", days=1)
    mounted = [each.split(":")[0] for name in SERVICES for each in SERVICES[name]["volumes"] if each.startswith("./")]
    mounted += SERVICES["preprocessing"]["env_file"]
    assert len(mounted) == 5
    assert all((tmp_path / each).exists() for each in mounted)
    assert (tmp_path / "build/secrets").stat().st_mode & 0o077 == 0
    plugin = PluginSettings.from_configuration(json.loads((tmp_path / "build/secrets/orthanc.json").read_text()))
    assert plugin.analysis == "preprocessing:50051"
    assert set(plugin.environment()) <= variables_read_by("orthanc")
    data = next(each for each in SERVICES["orthanc"]["volumes"] if each.startswith("orthanc:"))
    assert plugin.ledger.startswith(data.partition(":")[2])


def test_every_volume_and_network_is_declared():
    """Both ways."""
    named = {each.split(":")[0] for name in SERVICES for each in SERVICES[name]["volumes"] if not each.startswith(".")}
    assert named == set(COMPOSE["volumes"])
    assert set.union(*map(_networks, SERVICES)) == set(COMPOSE["networks"])


def _networks(name) -> set[str]:
    return set(SERVICES[name]["networks"])


def _seconds(text: str) -> int:
    return int(text.removesuffix("s"))
