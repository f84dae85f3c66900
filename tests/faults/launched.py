"""Our services as this harness starts them: ``python -m tests.faults.launched -m services.forwarder``.

They are what they are, but for three things. A study that carries the deadly mark kills its worker, as a decoder with a
defect would. ``FAULTS_SABOTAGE`` names a safeguard that is broken. ``FAULTS_TRACE`` is a folder in which every durable
write is written down, and in which the harness arms the one that shall be the last. Spawned workers import this module
again, so all of it holds for them, too.
"""

import multiprocessing
import os
import signal
import sys
from pathlib import Path

from services.forwarder import __main__ as forwarder
from services.preprocessing import __main__ as preprocessing
from services.preprocessing import pipeline
from tests.faults.durable import watch_writes
from tests.faults.sabotages import SABOTAGES

DEADLY_MARK = b"DEADLY-MARK"
SABOTAGE, TRACE = "FAULTS_SABOTAGE", "FAULTS_TRACE"
_MAINS = {"services.forwarder": forwarder.main, "services.preprocessing": preprocessing.main}


def _deadly() -> None:
    original = pipeline.Pipeline.analyze

    def analyze(self, job, on_stage):
        if any(DEADLY_MARK in path.read_bytes() for path in job.instances):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, job, on_stage)

    pipeline.Pipeline.analyze = analyze


def _name() -> str:
    main = multiprocessing.current_process().name == "MainProcess"  # a spawned one is named before it imports this
    return sys.argv[2].rpartition(".")[2] if main else "worker"


_deadly()
if broken := os.environ.get(SABOTAGE):
    SABOTAGES[broken]()
if folder := os.environ.get(TRACE):
    watch_writes(Path(folder), _name())

if __name__ == "__main__":
    _MAINS[sys.argv[2]]()
