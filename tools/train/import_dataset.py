"""``python -m tools.train.import_dataset mrnet <folder>``: turn a data set of real knees into training examples.

Examples go to ``imported/training`` and ``imported/held-out`` below ``--out``; training finds them below the default.
What is there already stays as it is, unless ``--again`` asks for labels that were corrected, and where it is: a person
who was held out once is never trained on. A study that can't be used is left out and counted by its code; a folder of
another layout ends the command with a code and what was expected. Names of files are hashes, so nothing of a patient is
in them.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table

from services.common.errors import StudyRefused
from services.common.finding import LABELS
from services.common.tensors import KNEE_SEGMENTATION
from tools.evaluate.engine import Engine
from tools.train import dataset, imported
from tools.train.imported import FINDINGS, HELD_OUT, STRUCTURES, TRAINING
from tools.train.sources import fastmri, hospital, kneemri, mrnet, oai, skmtea
from tools.train.sources.example import Segmentation, example_of, knows_findings, knows_structures
from tools.train.sources.record import Study
from tools.train.sources.refusal import DataCode, DataRefused

DATA_SETS: dict[str, Callable[[Path, Path | None], list[Study]]] = {
    "mrnet": mrnet.find,
    "kneemri": kneemri.find,
    "skmtea": skmtea.find,
    "fastmri": fastmri.find,
    "oai": oai.find,
    "hospital": hospital.find,
}


KEPT = "there already"


@dataclass(frozen=True)
class Summary:
    """How many studies went where (``KEPT`` of them earlier), which findings they show, why others were left out."""

    studies: Counter[str]
    present: Counter[str]
    absent: Counter[str]
    left_out: Counter[str]


@dataclass(frozen=True, eq=False)
class Import:
    """How the studies of a data set become examples below ``out``.

    ``held_out`` is the share of people to hold out where the data set has no split; ``again`` reads what is there anew;
    ``segmentation`` finds the joint where nobody drew it.
    """

    name: str
    out: Path
    held_out: float
    again: bool = False
    segmentation: Segmentation | None = None

    def run(self, studies: list[Study]) -> Summary:
        """Write the example of every study that can be used."""
        summary, under = Summary(Counter(), Counter(), Counter(), Counter()), imported.secret(self.out)
        for study in track(studies, description=self.name):
            person = f"{self.name}-{imported.digest(self.name, study.person or study.key, under=under)}"
            folder = imported.folder(self.out, held_out=self._is_held_out(study, person))
            stem = f"{person}-{imported.digest(self.name, study.key, under=under)}"
            there = [] if self.again else imported.placed(self.out, f"{stem}.*npz")
            try:
                example = dataset.load(there[0]) if there else self._written(study, folder / stem)
            except (DataRefused, StudyRefused) as refused:
                if refused.code is DataCode.READER_MISSING:
                    raise
                summary.left_out[str(refused.code)] += 1
                continue
            summary.studies[folder.name] += 1
            summary.studies[KEPT] += bool(there)
            summary.present.update(label for label, value in zip(LABELS, example.findings, strict=True) if value == 1)
            summary.absent.update(label for label, value in zip(LABELS, example.findings, strict=True) if value == 0)
            summary.studies[STRUCTURES] += knows_structures(example)
        if not summary.studies:
            show(summary, Console())
            raise DataRefused(DataCode.NOTHING_USABLE)
        return summary

    def _is_held_out(self, study: Study, person: str) -> bool:
        """As the data set says; else with the person's other studies; else by chance."""
        if study.held_out is not None:
            return study.held_out
        for path in imported.placed(self.out, f"{person}-*npz"):
            return path.parent == imported.folder(self.out, held_out=True)
        return int(person.split("-")[1], 16) % 10_000 < self.held_out * 10_000

    def _written(self, study: Study, stem: Path) -> dataset.Example:
        """The example of a study, written in place of what was there."""
        example = example_of(study.read(), segmentation=self.segmentation)
        known = [FINDINGS] * knows_findings(example) + [STRUCTURES] * knows_structures(example)
        path = stem.with_name(f"{stem.name}.{'.'.join(known)}.npz")
        dataset.save(path, example)
        for old in set(imported.placed(self.out, f"{stem.name}.*npz")) - {path}:
            old.unlink()
        return example


def show(summary: Summary, console: Console) -> None:
    """Tables of what was made and what was left out."""
    table = Table("finding", "present", "absent", "unknown", box=SIMPLE)
    total = summary.studies[TRAINING] + summary.studies[HELD_OUT]
    for label in LABELS:
        present, absent = summary.present[label], summary.absent[label]
        table.add_row(label, str(present), str(absent), str(total - present - absent))
    console.print(table)
    console.print(", ".join(_lines(summary.studies)) or "no study")
    if summary.left_out:
        console.print(f"[yellow]left out: {', '.join(_lines(summary.left_out))}")


def _lines(counts: Counter[str]) -> Iterator[str]:
    return (f"{count} {name}" for name, count in sorted(counts.items()) if count)


def published_segmentation() -> Segmentation:
    """Labels of a plane from the published model."""
    engine = Engine()
    return lambda volume: engine.infer(KNEE_SEGMENTATION, {"volume": volume})["labels"]


def main() -> int:
    """Import one data set."""
    parser = argparse.ArgumentParser(prog="python -m tools.train.import_dataset", description=__doc__)
    parser.add_argument("name", choices=DATA_SETS)
    parser.add_argument("folder", type=Path, help="the data set as it was published, unpacked")
    parser.add_argument("--labels", type=Path, help="file or folder of labels, where they lie elsewhere")
    parser.add_argument("--out", type=Path, default=dataset.DATA)
    parser.add_argument(
        "--held-out", type=float, default=0.1, help="share kept for evaluation, where the data set has no split"
    )
    parser.add_argument("--again", action="store_true", help="read what is there anew, where labels were corrected")
    options = parser.parse_args()
    try:
        studies = DATA_SETS[options.name](options.folder, options.labels)
        one = Import(options.name, options.out, options.held_out, options.again, published_segmentation())
        summary = one.run(studies)
    except DataRefused as refused:
        print(refused, file=sys.stderr)
        return 1
    show(summary, Console())
    print(f"{options.out / 'imported'}: {summary.studies[TRAINING]} to train, {summary.studies[HELD_OUT]} held out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
