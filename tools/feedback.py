"""Opinions on findings as structured reports on their studies: ``python -m tools.feedback``.

Reads what the result pages kept and stores, for each report that somebody said something about, one SR on the study.
Doing it twice changes nothing; a new opinion makes a new SR. The same opinions leave as CSV at
``/articula/api/feedback.csv``.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from io import BytesIO
from pathlib import Path

import pydicom

from services.common.uids import result_uid
from services.results import feedback as sr
from services.results.part10 import to_bytes
from services.viewer.feedback import Feedback, Opinion
from tools.demo.orthanc import Orthanc
from tools.stack.state import STACK, StackState


def main() -> int:
    """Export from the running stack into its Orthanc."""
    parser = argparse.ArgumentParser(prog="python -m tools.feedback", description=__doc__)
    parser.add_argument("--folder", type=Path, default=STACK, help="where the stack keeps its state")
    folder = parser.parse_args().folder
    state = StackState.read(folder)
    if state is None:
        print("Nothing is running. Start it with: make up")
        return 1
    kept = Feedback(folder / "orthanc" / "feedback.sqlite")
    stored = export(kept.everything(), Orthanc(state))
    kept.close()
    print(f"{stored} structured reports of feedback are on their studies.")
    return 0


def export(opinions: Iterable[Opinion], orthanc: Orthanc) -> int:
    """Store one SR for each report that has opinions and is still stored; how many there are."""
    by_input: dict[str, list[Opinion]] = defaultdict(list)
    for each in opinions:
        by_input[each.input_digest].append(each)
    stored = 0
    for digest, about in by_input.items():
        report_id = orthanc.find_instance(result_uid(digest, "report"))
        if report_id is not None:
            report = pydicom.dcmread(BytesIO(orthanc.content(f"/instances/{report_id}/file")))
            orthanc.store(to_bytes(sr.feedback_object(report, [_opinion(each) for each in about])))
            stored += 1
    return stored


def _opinion(kept: Opinion) -> sr.Opinion:
    return sr.Opinion(
        label=kept.label,
        verdict=sr.Verdict(kept.verdict),
        observer=kept.observer,
        said_at=datetime.fromisoformat(kept.said_at),
        software_version=kept.software_version,
        comment=kept.comment,
    )


if __name__ == "__main__":
    sys.exit(main())
