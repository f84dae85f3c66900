"""The plugin's section of Orthanc's configuration."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.forwarder.settings import ForwarderSettings
from services.forwarder.urgency import read_rules
from services.orthanc_plugin.settings import PluginSettings

ROOT = Path(__file__).resolve().parents[2]
SECTION = {"Python": "p", "Analysis": "a", "OrthancUrl": "u", "User": "n", "Password": "s", "Ledger": "l"}


def test_the_section_becomes_the_forwarders_environment():
    """Every key arrives under its name, secrets among them, and the lifeline is on."""
    settings = PluginSettings.from_configuration({"Articula": {**SECTION, "QuietSeconds": 7, "LogKey": "k"}})
    environment = settings.environment()
    assert environment["ARTICULA_PASSWORD"] == "s"
    assert environment["ARTICULA_QUIET_SECONDS"] == "7"
    assert environment["ARTICULA_LOG_KEY"] == "k"
    assert environment["ARTICULA_LIFELINE"] == "true"


def test_a_missing_or_unknown_key_is_named():
    """A typing error in the configuration is found at the start, with its name."""
    with pytest.raises(ValueError, match="Colour"):
        PluginSettings.from_configuration({"Articula": {**SECTION, "Colour": "red"}})
    with pytest.raises(ValueError, match="incomplete"):
        PluginSettings.from_configuration({"Articula": {"Python": "p"}})
    with pytest.raises(ValueError, match="incomplete"):
        PluginSettings.from_configuration({})


def test_a_socket_that_the_system_can_not_bind_is_named():
    """The ledger may lie deep; its neighbour, the socket, may not."""
    deep = {**SECTION, "Ledger": f"/srv/{'d' * 100}/ledger.sqlite"}
    with pytest.raises(ValueError, match="PagesSocket"):
        PluginSettings.from_configuration({"Articula": deep})
    assert PluginSettings.from_configuration({"Articula": {**deep, "PagesSocket": "/run/pages.sock"}}).desk


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ({"PostgreSQL": {"EnableIndex": True}}, "Serializable"),
        ({"PostgreSQL": {"EnableIndex": True, "TransactionMode": "ReadCommitted"}}, "Serializable"),
        ({"MySQL": {"EnableIndex": True}}, "MySQL"),
        ({"Odbc": {"EnableIndex": True}}, "Odbc"),
    ],
)
def test_an_index_in_which_two_forwarders_could_lead_is_refused(index, words):
    """Measured: with PostgreSQL's default isolation two win, and an event cursor skips studies."""
    with pytest.raises(ValueError, match=words):
        PluginSettings.from_configuration({"Articula": SECTION, **index})


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ({}, "false"),
        ({"PostgreSQL": {"EnableIndex": False}}, "false"),
        ({"PostgreSQL": {"EnableIndex": True, "TransactionMode": "Serializable"}}, "true"),
    ],
)
def test_a_shared_index_makes_the_forwarder_ask_for_the_lead(index, expected):
    """With SQLite there is one Orthanc, which holds its file."""
    settings = PluginSettings.from_configuration({"Articula": SECTION, **index})
    assert settings.environment()["ARTICULA_SHARED_INDEX"] == expected


def test_rules_of_priority_arrive_as_the_forwarder_reads_them():
    """The section's list is the environment's JSON is the forwarder's rules."""
    rules = [{"attribute": "RemoteAET", "matches": "ER_.*", "priority": "stat"}]
    environment = PluginSettings.from_configuration({"Articula": {**SECTION, "Priorities": rules}}).environment()
    os.environ["ARTICULA_PRIORITIES"] = environment["ARTICULA_PRIORITIES"]
    try:
        assert read_rules(ForwarderSettings().priorities)[0].priority == "stat"
    finally:
        del os.environ["ARTICULA_PRIORITIES"]


def test_what_runs_inside_orthanc_needs_the_standard_library_only():
    """Debian's Python has none of our packages; an import that fails there would switch the plugin off."""
    modules = "services.common.status, services.orthanc_plugin.pages, services.orthanc_plugin.settings"
    modules += ", services.orthanc_plugin.site, services.orthanc_plugin.desk"
    code = f"import {modules}, services.orthanc_plugin.supervision"
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"]
    subprocess.run(command, check=True)
