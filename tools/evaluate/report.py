"""The report as Markdown with pictures beside it, as one self-contained HTML page, and as ``report.json``."""

import base64
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup

from tools.evaluate.summary import Numbers, targets

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=False,  # noqa: S701 - Markdown out of our own numbers
    keep_trailing_newline=True,
)


def markdown(numbers: Numbers, pictures: Mapping[str, str]) -> str:
    """The report's text; ``pictures`` gives the address of each picture by name."""
    promised = targets(numbers)

    def picture(name: str, title: str) -> str:
        return f"![{title}]({pictures[name]})" if name in pictures else ""

    text = _TEMPLATES.get_template("report.md.jinja").render(
        numbers=numbers,
        targets=promised,
        met=sum(each.met for each in promised),
        number=number,
        signed=signed,
        between=between,
        picture=picture,
    )
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    while "\n\n\n" in lines:
        lines = lines.replace("\n\n\n", "\n\n")
    return lines.strip() + "\n"


def number(value: Any) -> str:
    """Three decimals, scientific where that would show nothing, a dash where there is no number."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "-"
    return f"{value:.1e}" if 0 < abs(value) < 5e-4 else f"{value:.3f}"


def between(pair: Any) -> str:
    """An interval, a dash where there is none."""
    return "-" if "-" in (number(pair[0]), number(pair[1])) else f"{pair[0]:.3f}-{pair[1]:.3f}"


def signed(value: Any) -> str:
    """A change with its sign, four decimals."""
    return f"{value:+.4f}" if isinstance(value, int | float) and math.isfinite(value) else "-"


def write(folder: Path, numbers: Numbers, pictures: Mapping[str, bytes], *, page: bool) -> None:
    """``report.md`` with PNG files, ``report.json``, and where asked ``report.html`` with the pictures inside."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in pictures.items():
        (folder / f"{name}.png").write_bytes(content)
    (folder / "report.md").write_text(markdown(numbers, {name: f"{name}.png" for name in pictures}))
    (folder / "report.json").write_text(json.dumps(_finite(numbers), indent=1) + "\n")
    if not page:
        return
    inside = {name: "data:image/png;base64," + base64.b64encode(each).decode() for name, each in pictures.items()}
    body = _renderer().render(markdown(numbers, inside))
    whole = _TEMPLATES.get_template("report.html.jinja").render(body=Markup(body))  # noqa: S704 - our own numbers
    (folder / "report.html").write_text(whole)


def _renderer() -> MarkdownIt:
    renderer = MarkdownIt("commonmark").enable("table")
    renderer.validateLink = lambda url: url.startswith("data:image/png")  # type: ignore[method-assign]
    return renderer


def _finite(value: Any) -> Any:
    """JSON has no NaN; a number that could not be measured becomes null."""
    if isinstance(value, dict):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
