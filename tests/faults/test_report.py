"""The report has the keys that others read; the table counts what each kind of fault touched."""

import json

from rich.console import Console

from tests.faults import report

KEYS = [
    "studies",
    "faults",
    "kinds",
    "lost",
    "doubled",
    "leaked",
    "byte_differences",
    "recovery_p50_s",
    "recovery_p95_s",
    "seed",
    "safeguards_caught",
]


def injection(kind: str, recovery: float, *touched: int) -> dict[str, object]:
    return {"kind": kind, "recovery_seconds": recovery, "touched": touched}


def record(seed: int, *injections, leaks=(), **broken) -> dict[str, object]:
    """One round of ten studies."""
    rest = {"refusals": [], "in_vain": 1, "compared": 9, "settle_seconds": 2.0, "seconds": 60, "clean": not broken}
    return {"seed": seed, "studies": 10, "injections": injections, "leaks": list(leaks), "broken": broken, **rest}


RECORDS = [
    record(1, injection("kill orthanc", 1.0, 1, 2), injection("stall triton", 3.0, 2)),
    record(2, injection("kill orthanc", 2.0, 2, 3), leaks=["log"], lost=[2], doubled=[7], orphaned=[4]),
]


def test_a_report_has_these_keys_and_no_others():
    """In this order, as numbers of all rounds together."""
    made = report.report(RECORDS, seed=1, safeguards=None)
    assert list(made) == KEYS
    assert (made["studies"], made["faults"], made["kinds"]) == (20, 3, {"kill orthanc": 2, "stall triton": 1})
    assert (made["lost"], made["doubled"], made["leaked"], made["byte_differences"]) == (1, 1, 2, 0)
    assert (made["recovery_p50_s"], made["recovery_p95_s"]) == (2.0, 2.9)
    assert made["safeguards_caught"] is None


def test_the_report_counts_and_names_the_safeguards_that_were_caught():
    """As 1/2, with the names of both kinds."""
    made = report.report([], seed=1, safeguards={"(no false alarm)": True, "no sweep": True, "no retry": False})
    assert made["safeguards_caught"] == {"count": "1/2", "caught": ["no sweep"], "missed": ["no retry"]}


def test_a_false_alarm_is_a_miss():
    """An oracle that always complains catches nothing."""
    made = report.report([], seed=1, safeguards={"(no false alarm)": False, "no sweep": True})
    assert made["safeguards_caught"]["missed"] == ["(no false alarm)"]


def test_a_study_counts_for_every_fault_that_touched_it():
    """Study 2 of one round is not study 2 of another."""
    with (console := Console(width=200)).capture() as shown:
        console.print(report.table(RECORDS, "seed 1"))
    rows = {cells[1].strip(): cells[2:8] for line in shown.get().splitlines() if len(cells := line.split("│")) > 8}
    assert [each.strip() for each in rows["kill orthanc"]] == ["2", "4", "1.5", "1.9", "1", "0"]
    assert [each.strip() for each in rows["stall triton"]] == ["1", "1", "3.0", "3.0", "0", "0"]
    assert [each.strip() for each in rows["all"]] == ["3", "4", "2.0", "2.9", "1", "0"]


def test_details_name_what_was_left_out():
    """With the reason, and every round with its seed."""
    made = report.details(RECORDS, {"clock goes back": "libfaketime is not installed"})
    assert made["skipped"] == {"clock goes back": "libfaketime is not installed"}
    assert made["rounds"] == [{"seed": 1, "clean": True}, {"seed": 2, "clean": False}]
    assert made["broken"] == {"doubled": 1, "lost": 1, "orphaned": 1}


def test_a_file_is_replaced_in_one_step(tmp_path):
    """Who reads it while it is written reads the old one."""
    path = tmp_path / "new" / "report.json"
    report.write(path, {"a": 1})
    report.write(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 2}
    assert [each.name for each in path.parent.iterdir()] == ["report.json"]
