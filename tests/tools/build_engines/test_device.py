"""Which GPU this is, as the driver says it."""

import pytest

from tools.build_engines.device import Device, device
from tools.build_engines.engines import GpuMismatch, must_be_here


class Driver:
    """Answers as the CUDA driver API does: results through pointers, zero for success."""

    def __init__(self, gpus: int = 1) -> None:
        self.gpus = gpus

    def cuInit(self, _):  # noqa: N802
        """There is a driver."""
        return 0

    def cuDeviceGet(self, handle, number):  # noqa: N802
        """A handle, or CUDA_ERROR_INVALID_DEVICE."""
        handle._obj.value = 7
        return 0 if number < self.gpus else 101

    def cuDeviceGetName(self, name, _, handle):  # noqa: N802
        """As text with a zero at its end."""
        name.value = b"NVIDIA L4"
        return 0 if handle.value == 7 else 101

    def cuDeviceTotalMem_v2(self, memory, _):  # noqa: N802
        """In bytes."""
        memory._obj.value = 23_000_000_000
        return 0

    def cuDriverGetVersion(self, version):  # noqa: N802
        """1000 times the major version and 10 times the minor one."""
        version._obj.value = 12060
        return 0

    def cuDeviceGetAttribute(self, value, number, _):  # noqa: N802
        """Both parts of the compute capability."""
        value._obj.value = {75: 8, 76: 9}[number]
        return 0


def test_the_first_gpu_is_described():
    """Name, compute capability, memory and CUDA."""
    assert device(Driver()) == Device("NVIDIA L4", "8.9", 23_000_000_000, "12.6")


def test_no_gpu_is_none():
    """A driver without a GPU is the same as no driver."""
    assert device(Driver(gpus=0)) is None


def test_engines_are_built_only_on_the_gpu_they_are_for():
    """An engine of another GPU, or of none, would be published under a name that lies."""
    must_be_here("8.9", device(Driver()))
    with pytest.raises(GpuMismatch, match=r"engines for 9\.0 .* NVIDIA L4, 8\.9"):
        must_be_here("9.0", device(Driver()))
    with pytest.raises(GpuMismatch, match="none"):
        must_be_here("8.9", device(Driver(gpus=0)))
