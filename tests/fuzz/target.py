"""What happens to one damaged study in a process that may die."""

import resource
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from services.common.errors import StudyRefused
from services.preprocessing.explanation import explain
from services.preprocessing.judgement import decode, judge
from services.preprocessing.reading import read_study
from services.preprocessing.stacking import laid
from tests.fuzz.corpus import Seed, seeds
from tests.fuzz.mutation import damaged

MEMORY_BYTES = 4 << 30  # address space, as a worker of the service has it
_CONTROL_EVERY = 200


@dataclass(frozen=True)
class Verdict:
    """The outcome of one case: a refusal's code, ``volume``, or, where it escaped, the error and its place."""

    seed: str
    outcome: str
    escaped: bool
    seconds: float
    peak_bytes: int


def case(number: int) -> tuple[Seed, list[bytes]]:
    """The files of one case, one of them damaged."""
    corpus = _corpus()
    seed = corpus[number % len(corpus)]
    files = list(seed.files)
    index = number // len(corpus) % len(files)
    files[index] = damaged(files[index], corpus[(number * 7 + 1) % len(corpus)].files[0], number)
    return seed, files


def serve(connection: Connection) -> None:
    """Answer case numbers with verdicts until the other end closes."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        control = _volumes(_written(Path(folder), list(_corpus()[0].files)))
        while True:
            try:
                number = connection.recv()
            except EOFError:
                return
            connection.send(_judge(number, Path(folder), control))


@lru_cache(maxsize=1)
def _corpus() -> list[Seed]:
    return seeds()


def _judge(number: int, folder: Path, control: list[np.ndarray]) -> Verdict:
    seed, files = case(number)
    began = time.process_time()
    escaped = False
    try:
        outcome = "volume" if _volumes(_written(folder, files)) else "no series"
    except StudyRefused as refusal:
        outcome = str(refusal.code)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the finding
        where = traceback.extract_tb(error.__traceback__)[-1]
        outcome, escaped = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}", True
    seconds = time.process_time() - began
    if number % _CONTROL_EVERY == 0 and not escaped:
        again = _volumes(_written(folder, list(_corpus()[0].files)))
        if not all(np.array_equal(one, other) for one, other in zip(again, control, strict=True)):
            outcome, escaped = "another study was affected", True
    return Verdict(seed.name, outcome, escaped, seconds, _peak_bytes())


def _peak_bytes() -> int:
    """Most memory that this program has had; ``getrusage`` would count what its parent had when it was forked, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split(maxsplit=1)[0]) * 1024


def _written(folder: Path, files: list[bytes]) -> list[Path]:
    paths = [folder / f"{index}.dcm" for index in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    return paths


def _volumes(paths: list[Path]) -> list[np.ndarray]:
    """Everything a worker does with a study before it asks the models."""
    files = read_study(paths)
    if files.refusal:
        raise StudyRefused(files.refusal)
    judgement = decode(judge(files.instances)[0])
    explain(judgement.selection, judgement.side).as_json()
    if judgement.selection.refusal:
        raise StudyRefused(judgement.selection.refusal)
    return [laid(each, mirrored=False).volume for each in judgement.volumes.values()]
