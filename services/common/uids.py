"""Deterministic UIDs of everything Articula stores; standard library only, because the plugin uses them too.

The root is an arc under 2.25, where any UUID is a valid arc of its own (PS3.5 B.2). It is a version 8 UUID (RFC 9562)
whose free bits are 62 random ones behind zeros, so that the root stays short and a result's UID keeps more than 100
bits of its content's digest within DICOM's 64 characters.
"""

import hashlib
import uuid

_PROJECT = uuid.UUID("00000000-0000-8000-a7c1-5d3e9b04f268")
UID_ROOT = f"2.25.{_PROJECT.int}"
_SUFFIX_DIGITS = 64 - len(UID_ROOT) - 1


def result_uid(input_digest: str, kind: str, index: int = 0) -> str:
    """UID of one result object or series: the same digest, kind and index give the same UID everywhere."""
    content = hashlib.sha256(f"{input_digest}/{kind}/{index}".encode()).digest()
    suffix = int.from_bytes(content, "big") % 10 ** (_SUFFIX_DIGITS - 1) + 10 ** (_SUFFIX_DIGITS - 1)
    return f"{UID_ROOT}.{suffix}"


def is_result_uid(uid: str) -> bool:
    """Whether Articula made the object; the guard that keeps it from analysing its own results."""
    return uid.startswith(f"{UID_ROOT}.")
