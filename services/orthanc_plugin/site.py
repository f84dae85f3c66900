"""The pages' files and the headers that go with every answer. Standard library only.

The policy allows nothing but our own files: no inline script, no other host, no frame of somebody else around a page.
"""

import base64
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "viewer" / "page"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# a page of another site can make a browser send a request with the user's password, but not with this header
OWN_HEADER = "x-articula"


def page_file(name: str) -> tuple[bytes, str] | None:
    """Content and media type of one file of the pages, None where there is none of this name."""
    path = FOLDER / name
    if path.parent != FOLDER or path.suffix not in _TYPES or not path.is_file():
        return None
    return path.read_bytes(), _TYPES[path.suffix]


def user_of(headers: Mapping[str, str]) -> str:
    """The user name of HTTP basic authentication, which Orthanc has already checked; '' without."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value).decode().partition(":")[0]
    except ValueError:
        return ""


def is_ours(headers: Mapping[str, str]) -> bool:
    """Whether a request that changes something comes from our own page."""
    return OWN_HEADER in headers
