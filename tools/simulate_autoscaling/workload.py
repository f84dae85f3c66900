"""What a study costs a Triton pod, and what else its result waits for."""

from dataclasses import dataclass

import numpy as np

from tools.simulate_autoscaling.replicas import Lanes
from tools.sizing.__main__ import read

_CORES_PER_POD = 2
MOST_IN_A_BATCH = 4  # max_batch_size of the models
REQUESTS = 5  # of a study: three planes segmented, one classification, one activation map
# throughput by batch over that of single requests: a T4 serving a 3-D U-Net on Triton (NVIDIA DeepLearningExamples,
# PyTorch/Segmentation/nnUNet/triton: 9.1 volumes a second singly, 9.6 in fours); a CPU gains nothing
_BATCHES, _GAINS = (1.0, 4.0), (1.0, 9.6 / 9.1)


def gain(batch: Lanes) -> Lanes:
    """Throughput with so many requests in one execution over that with one."""
    return np.interp(batch, _BATCHES, _GAINS)


@dataclass(frozen=True)
class Workload:
    """Times in seconds; the defaults are measured (``tools/sizing/measured.json``, two cores a pod) or the chart's own.

    ``study`` is what one pod needs for one study, alone; ``before`` is from a study's last slice to its first request
    (quiet time, sweep, decoding), ``after`` from the last answer to the result being visible.
    """

    study: float
    before: float
    after: float
    cold_start: float = 60.0
    preprocessing_start: float = 20.0  # image there, two worker processes import their libraries
    objective: float = 60.0  # the chart's own: the share of later results is alerted on

    def unit_seconds(self, batch: float) -> float:
        """Seconds of a pod for one study of a full batch."""
        return self.study / float(gain(np.asarray(batch)))


def measured(quiet: float, sweep: float, heavier: float = 1.0) -> Workload:
    """This project's models on the pods that were measured, or models so many times as heavy."""
    seconds = read()
    before = quiet + sweep / 2 + seconds.preprocessing
    return Workload(heavier * seconds.triton_cpu / _CORES_PER_POD, before, seconds.orthanc)
