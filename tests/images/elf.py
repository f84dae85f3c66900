"""Which shared libraries a 64-bit little-endian ELF file asks for, read from its dynamic section."""

import struct
from pathlib import Path

_DYNAMIC, _NEEDED = 6, 1


def needed(path: Path) -> list[str]:
    """Names of the libraries a file is linked to; empty for any other file."""
    data = path.read_bytes()
    if data[:5] != b"\x7fELF\x02":
        return []
    (offset,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    headers = [struct.unpack_from("<IIQQQQI", data, offset + index * size) for index in range(count)]
    names = []
    for _, kind, _, _, start, length, link in headers:
        if kind == _DYNAMIC:
            strings = headers[link][4]
            for place in range(start, start + length, 16):
                tag, value = struct.unpack_from("<QQ", data, place)
                if tag == _NEEDED:
                    names.append(data[strings + value : data.index(b"\0", strings + value)].decode())
    return names


def missing(folder: Path) -> set[str]:
    """Libraries that files below a folder ask for and that are not below it themselves."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    present = {path.name for path in files}
    return {name for path in files if ".py" not in path.suffixes for name in needed(path)} - present
