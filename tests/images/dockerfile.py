"""A Dockerfile as data: stages of instructions, with what they define."""

import json
import re
import string
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILES = (
    ROOT / "services/preprocessing/Dockerfile",
    ROOT / "services/orthanc_plugin/Dockerfile",
    ROOT / "model_repository/cpu.Dockerfile",
    ROOT / "model_repository/gpu.Dockerfile",
    ROOT / "model_repository/engines.Dockerfile",
)
ENDS = {ROOT / "model_repository/engines.Dockerfile"}  # its status is its health


@dataclass(frozen=True)
class Instruction:
    """One instruction; continued lines are joined and comments are gone."""

    word: str
    text: str

    @property
    def copies(self) -> tuple[str | None, list[str], str]:
        """Of a COPY: the stage it copies from or None, the sources, the target."""
        words = self.text.split()
        stage = words.pop(0).partition("=")[2] if words[0].startswith("--from=") else None
        return stage, words[:-1], words[-1]

    @property
    def assignments(self) -> dict[str, str]:
        """Of an ENV or ARG: names and values."""
        return dict(part.split("=", 1) for part in self.text.split() if "=" in part)

    @property
    def words(self) -> list[str]:
        """Of an ENTRYPOINT, CMD or HEALTHCHECK in exec form: the command."""
        found: list[str] = json.loads(self.text[self.text.index("[") :])
        return found


@dataclass(frozen=True)
class Stage:
    """One FROM and what follows it."""

    base: str
    name: str
    instructions: tuple[Instruction, ...]

    def all(self, word: str) -> list[Instruction]:
        """Every instruction of a kind."""
        return [each for each in self.instructions if each.word == word]

    def last(self, word: str) -> Instruction:
        """The one of its kind that counts; raises ``IndexError`` where there is none."""
        return self.all(word)[-1]

    @property
    def environment(self) -> dict[str, str]:
        """What the ENV instructions set."""
        return {name: value for each in self.all("ENV") for name, value in each.assignments.items()}


def parse(path: Path) -> list[Stage]:
    """The stages, bases with their arguments filled in."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for instruction in _instructions(path.read_text()):
        if instruction.word == "ARG" and not stages:
            arguments |= instruction.assignments
        elif instruction.word == "FROM":
            words = instruction.text.split()
            base = string.Template(words[0]).substitute(arguments)
            stages.append(Stage(base, words[2] if len(words) > 1 else "", ()))
        else:
            last = stages.pop()
            stages.append(Stage(last.base, last.name, (*last.instructions, instruction)))
    return stages


def _instructions(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines()]


def in_context(path: Path) -> bool:
    """Whether .dockerignore lets a file of the checkout into the build."""
    relative = path.relative_to(ROOT)
    allowed = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        if pattern == "*" or relative.match(pattern.removeprefix("**/")) or pattern in _folders(relative):
            allowed = line.startswith("!")
    return allowed and "__pycache__" not in relative.parts


def _folders(relative: Path) -> list[str]:
    return [str(relative), *(str(parent) for parent in relative.parents)]
