"""One self-contained HTML page of a study's result: findings as bars, both pictures, what was missing, who made it."""

import base64
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, PackageLoader

from services.common.status import StudyStatus
from tools.demo.collect import Collected


def write_page(path: Path, collected: Collected, status: StudyStatus, pictures: Mapping[str, Path]) -> None:
    """Render ``report.html``; pictures are embedded, so the file can be mailed or moved."""
    environment = Environment(loader=PackageLoader("tools.demo", "."), autoescape=True)
    embedded = {name: base64.b64encode(picture.read_bytes()).decode() for name, picture in pictures.items()}
    notes = [note for note in collected.notes if not _of_provenance(note) and not note.startswith("Research")]
    html = environment.get_template("report.html.jinja").render(
        findings=sorted(collected.findings, key=lambda each: -each.probability),
        made_by=[note for note in collected.notes if _of_provenance(note)],
        notes=notes,
        conclusion=collected.conclusion,
        status=status,
        pictures=embedded,
        objects=collected.objects,
    )
    path.write_text(html, encoding="utf-8")


def _of_provenance(note: str) -> bool:
    return "sha256" in note or note.startswith(("pipeline", "preprocessing", "input digest"))
