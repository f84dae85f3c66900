"""The GPU of this machine, asked of NVIDIA's driver itself, so that no other package is needed."""

import ctypes
from dataclasses import dataclass
from typing import Any

_LIBRARY = "libcuda.so.1"
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of the CUDA driver API
_NAME_BYTES = 256


@dataclass(frozen=True)
class Device:
    """One GPU: ``compute_capability`` such as "8.9"; ``cuda``, the newest CUDA of the driver, such as "12.6"."""

    name: str
    compute_capability: str
    memory_bytes: int
    cuda: str


def device(driver: Any = None) -> Device | None:
    """The first GPU that this process may use; None without a driver or without a GPU.

    ``driver`` answers the calls of the CUDA driver API; the installed one unless given.
    """
    try:
        driver = driver or ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    handle = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(handle), 0):
        return None
    name = ctypes.create_string_buffer(_NAME_BYTES)
    driver.cuDeviceGetName(name, _NAME_BYTES, handle)
    memory = ctypes.c_size_t()
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)
    version = ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    major, minor = (_attribute(driver, number, handle) for number in (_MAJOR, _MINOR))
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return Device(name.value.decode(), f"{major}.{minor}", memory.value, cuda)


def _attribute(driver: Any, number: int, handle: ctypes.c_int) -> int:
    value = ctypes.c_int()
    driver.cuDeviceGetAttribute(ctypes.byref(value), number, handle)
    return value.value
