"""What the images install is what the tests ran with, and covers what the code asks for."""

import re
import tomllib

import pytest

from tests.images.dockerfile import ROOT

INSTALL = ROOT / "tools/install"
OF_A_GPU = {"tensorrt-cu12-bindings"}  # its libraries are in NVIDIA's image alone


def locked(name: str) -> dict[str, set[str]]:
    """Versions by package; a package may have one for each version of Python."""
    versions: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", (INSTALL / name).read_text(), re.MULTILINE):
        versions.setdefault(package, set()).add(version)
    return versions


@pytest.mark.parametrize("name", ["services.lock.txt", "forwarder.lock.txt", "engines.lock.txt"])
def test_an_image_installs_the_versions_that_were_tested(name):
    """One version of a package in the whole project."""
    tested = locked("articula.lock.txt")
    image = {package: versions for package, versions in locked(name).items() if package not in OF_A_GPU}
    assert {package: versions for package, versions in image.items() if versions != tested.get(package)} == {}


def test_the_services_lock_covers_every_dependency_of_the_project():
    """And the forwarder's is a part of it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.match(r"[A-Za-z0-9_-]+", each)[0].lower() for each in project["dependencies"]}
    services = locked("services.lock.txt")
    assert names <= set(services)
    assert set(locked("forwarder.lock.txt")) <= set(services)
    asked = {line for line in (INSTALL / "forwarder.in").read_text().split("\n") if line and not line.startswith("#")}
    assert asked <= names | {"pydantic-settings"}


@pytest.mark.parametrize(
    "name", ["services.lock.txt", "forwarder.lock.txt", "triton.lock.txt", "engines.lock.txt", "tensorrt.lock.txt"]
)
def test_every_locked_package_has_hashes_and_no_index(name):
    """A mirror need not be trusted."""
    text = (INSTALL / name).read_text()
    blocks = re.split(r"^(?=[a-z0-9._-]+==)", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text
