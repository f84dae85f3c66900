"""Every model has a card that says what it is for, what it learnt from, what was measured and where it fails."""

import json
import shutil

import pytest

from services.common.finding import LABELS
from services.common.tensors import MODELS
from tools.model_cards import BEGIN, END, REPORT, ReportOfOtherModels, write_cards
from tools.pin_models import REPOSITORY

PARTS = (
    "**Research use only, not for diagnosis",
    "**Intended use.**",
    "**Data.**",
    "**Numbers.**",
    "**Known failures.**",
)


@pytest.fixture
def repository(tmp_path):
    for contract in MODELS:
        (tmp_path / contract.name).mkdir()
        for name in ("README.md", "config.pbtxt"):
            shutil.copy(REPOSITORY / contract.name / name, tmp_path / contract.name / name)
    return tmp_path


@pytest.mark.parametrize("contract", MODELS, ids=lambda contract: contract.name)
def test_a_card_has_all_its_parts_in_order(contract):
    """From what it is for to where it fails, and every tensor between."""
    card = (REPOSITORY / contract.name / "README.md").read_text()
    places = [card.index(part) for part in PARTS]
    assert places == sorted(places)
    assert all(f"`{spec.name}`" in card for spec in (*contract.inputs, *contract.outputs))


def test_the_cards_show_the_numbers_of_the_report(repository):
    """Writing them again changes nothing."""
    write_cards(repository)
    for contract in MODELS:
        written = (repository / contract.name / "README.md").read_text()
        assert written == (REPOSITORY / contract.name / "README.md").read_text()


def test_a_new_report_replaces_the_old_numbers_and_nothing_else(repository, tmp_path):
    """Each label with its interval, between the markers."""
    numbers = json.loads(REPORT.read_text())
    for label in LABELS:
        numbers["auc"][label] |= {"value": 0.123, "ci": [0.1, 0.2]}
    report = tmp_path / "report.json"
    report.write_text(json.dumps(numbers))
    path = repository / "knee_classification/README.md"
    before = path.read_text()
    write_cards(repository, report)
    after = path.read_text()
    assert after.count("| 0.123 | 0.100-0.200 |") == len(LABELS)
    assert after.partition(BEGIN)[0] == before.partition(BEGIN)[0]
    assert after.partition(END)[2] == before.partition(END)[2]


def test_the_numbers_of_another_model_are_refused(repository, tmp_path):
    """A card never shows what another file achieved."""
    numbers = json.loads(REPORT.read_text())
    numbers["models"]["knee_segmentation"] = "0" * 64
    report = tmp_path / "report.json"
    report.write_text(json.dumps(numbers))
    with pytest.raises(ReportOfOtherModels, match="knee_segmentation"):
        write_cards(repository, report)


def test_a_card_without_markers_is_refused(repository):
    """Nobody's text is overwritten."""
    path = repository / "knee_classification/README.md"
    path.write_text("mine")
    with pytest.raises(ValueError, match="must have the lines"):
        write_cards(repository)
    assert path.read_text() == "mine"
