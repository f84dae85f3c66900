"""Whether Triton works: one inference whose values must come back right, and no dead backend process of any model.

``python3 probe.py [http port]``, exit status 0 or 1. Triton's own probes stay green when a backend process is dead;
this one does not. Standard library only, because NVIDIA's image has no client.
"""

import http.client
import json
import struct
import sys
from pathlib import Path

_SECONDS = 10.0
_MAPS, _ATTENTION, _SALIENCY = (1, 3, 32, 12, 32, 32), (1, 3, 32, 12), (1, 3, 32, 256, 256)
_PLANE, _SLICE, _LABEL, _ROW, _COLUMN = 1, 5, 3, 16, 8
_ZOOM = 8
_SERVER = "tritonserver"
_BACKEND = "triton_python_b"  # of triton_python_backend_stub, as far as the kernel keeps a name


def works(port: int) -> bool:
    """One hot cell must come back as heat at its place."""
    try:
        return hottest(infer(port)) == (_PLANE, _SLICE, _ROW, _COLUMN)
    except (OSError, ValueError, LookupError, http.client.HTTPException):
        return False


def has_dead_backend(processes: Path = Path("/proc")) -> bool:
    """Whether a backend process of this container died.

    Triton neither restarts nor reports one, and other instances of its model may answer the inference above; it stays
    behind as a zombie child, which tells for every model and instance at once.
    """
    return any(_is_dead_backend(place) for place in processes.glob("[0-9]*"))


def _is_dead_backend(place: Path) -> bool:
    """Whether it is a zombie child of a server in this container; backend processes have dead children of their own."""
    try:
        name, state, parent = _status(place)
        if state != "Z" or not name.startswith(_BACKEND):
            return False
        server = place.parent / parent
        return _status(server)[0].startswith(_SERVER) and (server / "root").samefile("/")
    except (OSError, ValueError):  # it is gone, or somebody else's
        return False


def _status(place: Path) -> tuple[str, str, str]:
    """Name, state and parent of a process."""
    name, _, rest = (place / "stat").read_text().partition("(")[2].rpartition(")")
    state, parent = rest.split()[:2]
    return name, state, parent


def infer(port: int) -> bytes:
    """The saliency of the hot cell, as bytes in C order; raises ``ValueError`` for an error of Triton's."""
    maps, attention = bytearray(2 * _size(_MAPS)), bytearray(4 * _size(_ATTENTION))
    cell = _index((0, _PLANE, _SLICE, _LABEL, _ROW, _COLUMN), _MAPS)
    struct.pack_into("<e", maps, 2 * cell, 4.0)
    struct.pack_into("<f", attention, 4 * _index((0, _PLANE, _SLICE, _LABEL), _ATTENTION), 1.0)
    tensors = [
        ("class_maps", "FP16", _MAPS, bytes(maps)),
        ("attention", "FP32", _ATTENTION, bytes(attention)),
        ("label", "INT64", (1, 1), struct.pack("<q", _LABEL)),
    ]
    inputs = [
        {"name": name, "datatype": kind, "shape": shape, "parameters": {"binary_data_size": len(data)}}
        for name, kind, shape, data in tensors
    ]
    outputs = [{"name": "saliency", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": inputs, "outputs": outputs}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    body = head + b"".join(data for _, _, _, data in tensors)
    connection.request("POST", "/v2/models/knee_cam/infer", body, headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != http.HTTPStatus.OK:
        message = f"Triton answers {answer.status}"
        raise ValueError(message)
    return content[int(answer.headers["Inference-Header-Content-Length"]) :]


def hottest(saliency: bytes) -> tuple[int, int, int, int]:
    """Plane, slice, and the class map's row and column of the first voxel of full heat; raises ``ValueError``."""
    if len(saliency) != _size(_SALIENCY):
        message = f"{len(saliency)} voxels"
        raise ValueError(message)
    rest, column = divmod(saliency.index(255), _SALIENCY[-1])
    rest, row = divmod(rest, _SALIENCY[-2])
    plane, index = divmod(rest, _SALIENCY[-3])
    return plane, index, row // _ZOOM, column // _ZOOM


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for each in shape:
        size *= each
    return size


def _index(place: tuple[int, ...], shape: tuple[int, ...]) -> int:
    index = 0
    for at, size in zip(place, shape, strict=True):
        index = index * size + at
    return index


if __name__ == "__main__":
    sys.exit(0 if works(int(sys.argv[1]) if len(sys.argv) > 1 else 8000) and not has_dead_backend() else 1)
