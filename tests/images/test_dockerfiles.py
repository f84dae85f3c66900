"""What every Dockerfile keeps to, without a container engine."""

import json
import re

import pytest

from services.common.status import METADATA_NAME, METADATA_NUMBER
from tests.images.dockerfile import DOCKERFILES, ENDS, ROOT, in_context, parse
from tools.stack.orthanc_config import orthanc_configuration

_FULL_VERSION = re.compile(r"[\w./-]+:\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?")
every = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: str(path.relative_to(ROOT)))


@every
def test_bases_are_named_by_full_version_and_no_digest_is_made_up(path):
    """No floating tag; a digest has to come from whoever looked it up."""
    for stage in parse(path):
        assert _FULL_VERSION.fullmatch(stage.base), stage.base
        assert "latest" not in stage.base
    assert "imagetools inspect" in path.read_text(), "it says how to pin by digest"


@every
def test_the_last_stage_runs_as_a_numbered_user_in_exec_form_with_a_health_check(path):
    """Kubernetes can check a number against runAsNonRoot; only exec form hands signals on."""
    last = parse(path)[-1]
    user, group = last.last("USER").text.split(":")
    assert int(user) >= 10000
    assert int(group) >= 10000
    assert last.last("ENTRYPOINT").text.startswith("[")
    assert last.last("HEALTHCHECK").text == "NONE" if path in ENDS else last.last("HEALTHCHECK").words
    after_user = [each.word for each in last.instructions[last.instructions.index(last.last("USER")) :]]
    assert not {"RUN", "COPY", "USER"} & set(after_user[1:])


@every
def test_nothing_is_fetched_unchecked(path):
    """Pip checks hashes and compiles nothing; no ADD, no download in a RUN, no apt without versions and cleaning."""
    for stage in parse(path):
        assert not stage.all("ADD")
        for run in stage.all("RUN"):
            assert not re.search(r"\b(curl|wget|git clone)\b", run.text)
            if "pip" in run.text and " install " in run.text:
                for option in ("--require-hashes", "--no-deps", "--only-binary :all:", "--no-cache-dir"):
                    assert option in run.text
            if "apt-get install" in run.text:
                assert "--no-install-recommends" in run.text
                assert "rm -rf /var/lib/apt/lists" in run.text


@every
def test_no_secret_is_baked_in(path):
    """Neither as argument nor as variable."""
    text = path.read_text()
    assert not re.search(r"^(ARG|ENV).*(PASSWORD|SECRET|TOKEN|_KEY)", text, re.MULTILINE)


@every
def test_every_copied_path_exists_and_is_let_into_the_build(path):
    """A path outside the checkout or kept out by .dockerignore fails a build only on the builder's machine."""
    for stage in parse(path):
        for copy in stage.all("COPY"):
            source_stage, sources, target = copy.copies
            assert target.startswith("/")
            for source in sources:
                if source_stage:
                    assert source_stage in {each.name for each in parse(path)}
                elif (ROOT / source).is_dir():
                    assert any(in_context(each) for each in (ROOT / source).rglob("*") if each.is_file())
                else:
                    assert in_context(ROOT / source), source


def test_the_build_context_holds_no_secret_no_data_and_no_environment():
    """The allow-list of .dockerignore."""
    for path in (
        "build/secrets/orthanc.json",
        ".venv/bin/python",
        ".git/config",
        "docs/install.md",
        "tests/studies.py",
    ):
        assert not in_context(ROOT / path), path
    assert in_context(ROOT / "services/preprocessing/pipelines/knee.toml")


def test_orthancs_image_is_configured_as_the_stack_of_one_machine(tmp_path):
    """One set of keys for both; only places, ports and remote access differ."""
    image = json.loads((ROOT / "services/orthanc_plugin/image/orthanc.json").read_text())
    passwords = {"demo": "x", "articula": "y"}
    machine = orthanc_configuration(tmp_path, http_port=8042, dicom_port=4242, analysis="", passwords=passwords)
    differ = {"StorageDirectory", "IndexDirectory", "TemporaryDirectory", "Plugins", "PythonScript", "ServeFolders"}
    differ |= {"RemoteAccessAllowed", "RegisteredUsers", "Articula"}
    assert {key: image[key] for key in image if key not in differ} == {
        key: machine[key] for key in machine if key not in differ
    }
    assert image["UserMetadata"] == {METADATA_NAME: METADATA_NUMBER}
    assert [name.rpartition("/")[2] for name in image["Plugins"]][:2] == [
        "libOrthancPython.so",
        "libOrthancDicomWeb.so",
    ]
    assert "RegisteredUsers" not in image
    assert "Password" not in json.dumps(image)
