"""Damage by chance, repeatable: the same number gives the same bytes."""

import random
import struct
from collections.abc import Callable

Damage = Callable[[bytearray, random.Random], None]

_LENGTHS = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
_WORDS = (
    b"\xff\xd8\xff",
    b"\xff\xd9",
    b"\xff\x4f\xff\x51",
    b"\xfe\xff\x00\xe0",
    b"\xfe\xff\x0d\xe0\0\0\0\0",
    b"\xfe\xff\xdd\xe0\0\0\0\0",
    b"SQ\0\0\xff\xff\xff\xff",
    b"UN\0\0\xff\xff\xff\xff",
    b"\xe0\x7f\x10\0",
    b"ISO 2022 IR 87\\",
    b"1e308\\nan\\-inf",
    b"9" * 70,
)
_HEADER_SHARE = 0.6  # of all places; most pixels are as good as any other


def damaged(data: bytes, other: bytes, number: int) -> bytes:
    """``data`` with one to six damages, drawn by ``number``; ``other`` lends pieces."""
    chance = random.Random(number)
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        chance.choice(_DAMAGES)(changed, chance)
    if chance.random() < 0.05:
        start = _place(changed, chance)
        changed[start : start + chance.randrange(200)] = other[start : start + chance.randrange(2000)]
    return bytes(changed)


def _place(data: bytearray, chance: random.Random) -> int:
    reach = min(len(data), 2500) if chance.random() < _HEADER_SHARE else len(data)
    return chance.randrange(max(reach, 1))


def _flip(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    data[place : place + 1] = bytes([(data[place] if place < len(data) else 0) ^ 1 << chance.randrange(8)])


def _overwrite(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    data[place : place + 4] = chance.randbytes(chance.randrange(1, 5))


def _length(data: bytearray, chance: random.Random) -> None:
    form = chance.choice(("<H", ">H", "<I", ">I"))
    value = chance.choice(_LENGTHS) & ((1 << 8 * struct.calcsize(form)) - 1)
    place = _place(data, chance) & ~1
    data[place : place + struct.calcsize(form)] = struct.pack(form, value)


def _word(data: bytearray, chance: random.Random) -> None:
    place, word = _place(data, chance), chance.choice(_WORDS)
    data[place : place + len(word) * chance.randrange(2)] = word


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[_place(data, chance) :]


def _remove(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    del data[place : place + chance.choice((1, 2, 8, 50, 1000))]


def _repeat(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    piece = bytes(data[place : place + chance.choice((8, 60, 400))])
    data[place:place] = piece * chance.choice((1, 2, 30, 300))


def _digits(data: bytearray, chance: random.Random) -> None:
    """A number in text becomes another one."""
    place = _place(data, chance)
    found = next((at for at in range(place, min(place + 300, len(data))) if 0x30 <= data[at] <= 0x39), None)
    if found is not None:
        data[found : found + 1] = chance.choice((b"0", b"9", b"-", b"e", b"99999", b"\\"))


_DAMAGES: tuple[Damage, ...] = (_flip, _flip, _overwrite, _length, _length, _word, _cut, _remove, _repeat, _digits)
