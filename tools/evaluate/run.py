"""One run of the evaluation: read what has not been read yet, compute the numbers, write the report."""

import functools
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from rich.progress import Progress

from services.common.tensors import KNEE_CLASSIFICATION, MODELS
from tools.evaluate import ablation, answers, figures, pictures, real, report, summary, testset
from tools.evaluate.answers import Answer
from tools.evaluate.engine import REPOSITORY, Engine


@dataclass(frozen=True)
class Options:
    """How much to read, in how many processes, and where the models and everything already computed lie."""

    studies: int = testset.DEFAULT_STUDIES
    ablation: int = 60
    jobs: int = len(os.sched_getaffinity(0))
    folder: Path = testset.FOLDER
    repository: Path = REPOSITORY
    matrix: int = testset.MATRIX
    failures: int = 8
    real: Path = real.SERIES

    def load(self, seed: int) -> testset.SyntheticStudy:
        """The study of a seed."""
        return testset.load(seed, folder=self.folder, matrix=self.matrix)

    def kept(self, kind: str, engine: Engine) -> Path:
        """Folder of one kind of results of these models on this test set."""
        return self.folder / kind / f"{testset.probe()}-{self.matrix}-{answers.digest(engine)}"


def evaluate(options: Options, *, publish: Path | None = None) -> summary.Numbers:
    """Read the test set and the real series, write the report and give its numbers."""
    engine = Engine(options.repository)
    with Progress() as progress:
        answered = read_studies(engine, options, progress)
        rows = compare(engine, options, progress)
    on_real = real.measure(engine, options.real)
    numbers: summary.Numbers = {
        "studies": len(answered),
        "test_set": testset.probe(),
        "models": {contract.name: engine.parameters(contract)["onnx_sha256"] for contract in MODELS},
        **summary.classification(answered),
        **summary.segmentation(answered),
        "cam": summary.localisation(answered),
        "exactness": {"OpenVINO": max(each.exactness for each in answered)},
        "ablation": rows,
        "real": summary.real(on_real),
    }
    drawn = _draw(engine, options, answered, numbers)
    numbers["exactness"]["ONNX Runtime"] = exactness_in_onnxruntime(engine)
    for folder, with_image in ((options.folder, True), (publish, False)):
        if folder is not None:
            shown = drawn | _draw_real(on_real, with_image=with_image)
            report.write(folder, numbers, shown, page=with_image)
    return numbers


def read_studies(engine: Engine, options: Options, progress: Progress) -> list[Answer]:
    """The answer to every study, read now or before."""
    folder = options.kept("answers", engine)
    paths = [folder / f"{seed}.json" for seed in testset.seeds(options.studies)]
    _make(paths, functools.partial(_read, options), options.jobs, progress, "studies")
    return [answers.load(path) for path in paths]


def compare(engine: Engine, options: Options, progress: Progress) -> list[summary.Numbers]:
    """The ablation table: the first studies read in every other way as well; empty where none is asked for."""
    if not options.ablation:
        return []
    ways = _ways(options)  # before there are other processes, so that only one builds the graphs
    folder = options.kept("ablation", engine)
    paths = [folder / f"{seed}.json" for seed in testset.seeds(options.ablation)]
    _make(paths, functools.partial(_read_in_every_way, options), options.jobs, progress, "ablation")
    measured: dict[str, list[dict[str, Any]]] = {way.name: [] for way in ways}
    for path in paths:
        for name, found in json.loads(path.read_text()).items():
            if found:
                measured[name].append(found)
    return summary.ablation(measured, {way.name: way.note for way in ways})


def _make(paths: Iterable[Path], work: Callable[[Path], None], jobs: int, progress: Progress, what: str) -> None:
    """Let ``work`` write every file that is not there; each process has engines of its own."""
    missing = [path for path in paths if not path.exists()]
    # spawned, not forked: a fork beside OpenVINO's threads may never come to itself
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for _ in progress.track(pool.map(work, missing), total=len(missing), description=what):
            pass


def _read(options: Options, path: Path) -> None:
    answers.save(path, answers.answer(_engine(options.repository), options.load(int(path.stem))))


def _read_in_every_way(options: Options, path: Path) -> None:
    study = options.load(int(path.stem))
    sources = answers.sources_of(study)
    ablation.save(path, {way.name: ablation.measure(way, study, sources) for way in _ways(options)})


@functools.cache
def _engine(repository: Path) -> Engine:
    return Engine(repository)


@functools.cache
def _ways(options: Options) -> list[ablation.Variant]:
    return ablation.variants(options.folder / "graphs", options.repository, options.load)


def exactness_in_onnxruntime(engine: Engine) -> float:
    """The exactness test on the study that the engine read last, in the other runtime."""
    session = onnxruntime.InferenceSession(engine.path(KNEE_CLASSIFICATION), providers=["CPUExecutionProvider"])
    names = [spec.name for spec in KNEE_CLASSIFICATION.outputs]
    batch = {name: array[None] for name, array in engine.asked[KNEE_CLASSIFICATION.name].items()}
    found = session.run(names, batch)
    return answers.exactness({name: np.asarray(array)[0] for name, array in zip(names, found, strict=True)})


def _draw(engine: Engine, options: Options, answered: list[Answer], numbers: summary.Numbers) -> dict[str, bytes]:
    return {
        "roc": figures.roc_curves(answered, numbers),
        "calibration": figures.calibration(answered, numbers),
        "structures": figures.structures(numbers),
        "heat": figures.heat(numbers),
        "gallery": pictures.gallery(engine, pictures.failures(answered, most=options.failures), options.load),
        "example": pictures.example(engine, options.load(answered[0].seed)),
    }


def _draw_real(on_real: real.RealReport | None, *, with_image: bool) -> dict[str, bytes]:
    if on_real is None:
        return {}
    return {"real": pictures.real_slices(on_real, on_real.readings[1], with_image=with_image)}
