"""A backup restores every study with exactly one result, and a drill sees when it does not."""

import json
import os
import shutil

import pytest

from tests.fakes.analysis_server import FakeAnalysis
from tests.fakes.analysis_thread import analysis_in_thread
from tests.fakes.result_objects import result_objects
from tests.real.orthanc import real_orthanc, wait_for
from tests.studies import STUDY, study, write
from tools.demo.send import dcmsend
from tools.drill.backup import BackupDamaged, restore, save
from tools.drill.results import ResultSet, differences, result_sets, wait_final
from tools.stack.plan import free_port
from tools.stack.state import AlreadyRunning, claimed


def a_stopped_stack(folder):
    (folder / "orthanc" / "storage").mkdir(parents=True)
    (folder / "orthanc" / "temporary").mkdir()
    (folder / "orthanc" / "storage" / "index").write_text("index")
    (folder / "orthanc" / "ledger.sqlite").write_text("ledger")
    (folder / "credentials.json").write_text(json.dumps({"demo": "password"}))
    return folder


def test_what_was_saved_comes_back_and_what_came_later_is_gone(tmp_path):
    """A restore is the state of the backup, whole."""
    stack = a_stopped_stack(tmp_path / "stack")
    save(stack, tmp_path / "backup.tar")
    assert (tmp_path / "backup.tar").stat().st_mode & 0o077 == 0
    (stack / "orthanc" / "storage" / "later").touch()
    (stack / "orthanc" / "ledger.sqlite").unlink()
    restore(tmp_path / "backup.tar", stack)
    assert sorted(path.name for path in (stack / "orthanc").iterdir()) == ["ledger.sqlite", "storage"]
    assert [path.name for path in (stack / "orthanc" / "storage").iterdir()] == ["index"]
    assert json.loads((stack / "credentials.json").read_text()) == {"demo": "password"}


def test_a_running_stack_is_neither_saved_nor_overwritten(tmp_path):
    """Its index is locked, so a copy would be torn."""
    stack = a_stopped_stack(tmp_path / "stack")
    save(stack, tmp_path / "backup.tar")
    with claimed(stack):
        with pytest.raises(AlreadyRunning):
            save(stack, tmp_path / "second.tar")
        with pytest.raises(AlreadyRunning):
            restore(tmp_path / "backup.tar", stack)


def test_a_damaged_backup_leaves_everything_as_it_is(tmp_path):
    """Half a restore would be a second disaster."""
    stack = a_stopped_stack(tmp_path / "stack")
    save(stack, tmp_path / "backup.tar")
    with (tmp_path / "backup.tar").open("r+b") as file:
        file.seek(1500)
        file.write(b"x")
    with pytest.raises(BackupDamaged):
        restore(tmp_path / "backup.tar", stack)
    assert (stack / "orthanc" / "ledger.sqlite").read_text() == "ledger"


def test_the_drill_names_what_is_missing_doubled_or_changed():
    """Three ways in which a restore can be wrong."""
    good = ResultSet(frozenset({"m", "o"}), frozenset({"m"}))
    doubled = ResultSet(frozenset({"m", "n", "o"}), frozenset({"m", "n"}))
    other = ResultSet(frozenset({"k", "o"}), frozenset({"k"}))
    assert differences({"1": good}, {"1": good}) == []
    wrong = differences({"1": good, "2": good, "3": good}, {"2": doubled, "3": other})
    assert wrong == ["study 1 is gone", "study 2 has 2 manifests", "study 3 has other results than before"]


def object_and_manifest(header, instances):
    """A result set whose second object says that it is the manifest."""
    return [result_objects(header, instances)[0], result_objects(header, instances, Modality="KO")[1]]


@pytest.mark.orthanc
@pytest.mark.skipif(not shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin"), reason="no Orthanc")
def test_a_real_orthanc_comes_back_with_each_study_analysed_once(tmp_path):
    """Saved, destroyed and restored, with its ledger and, worse, without it: no second result, no other result."""
    stack = tmp_path / "stack"
    stack.mkdir()
    (stack / "credentials.json").write_text("{}")
    port = free_port()
    analysis = f"127.0.0.1:{port}"
    with analysis_in_thread(FakeAnalysis(make_objects=object_and_manifest), port):
        with real_orthanc(stack / "orthanc", analysis) as orthanc:
            write(tmp_path / "study", study())
            dcmsend(tmp_path / "study", orthanc.state)
            wait_final(orthanc.rest, [STUDY], seconds=60)
            before = result_sets(orthanc.rest)
        assert len(before[STUDY].manifests) == 1
        save(stack, tmp_path / "backup.tar")
        for lost in (None, "ledger.sqlite"):
            shutil.rmtree(stack / "orthanc")
            restore(tmp_path / "backup.tar", stack)
            if lost:
                (stack / "orthanc" / lost).unlink()
            with real_orthanc(stack / "orthanc", analysis) as orthanc:
                dcmsend(tmp_path / "study", orthanc.state)
                wait_for(lambda: STUDY in result_sets(orthanc.rest))
                wait_final(orthanc.rest, [STUDY], seconds=60)
                assert differences(before, result_sets(orthanc.rest)) == []
