"""The tables of the chart's README, made from the schema of its values and their defaults."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[2] / "charts" / "articula"
BEGIN, END = "<!-- tables from values.schema.json -->\n", "<!-- end of the tables -->\n"


@dataclass(frozen=True)
class Value:
    """One value that a user may set."""

    name: str
    default: Any
    description: str

    @property
    def row(self) -> str:
        """A line of a Markdown table."""
        default = "" if self.default is None else f"`{json.dumps(self.default)}`"
        return f"| `{self.name}` | {default} | {self.description} |"


def values(schema: Mapping[str, Any], defaults: Mapping[str, Any], prefix: str = "") -> Iterator[Value]:
    """Every value with a description, in the schema's order; raises ``KeyError`` where one has none."""
    for name, each in schema["properties"].items():
        default = (defaults or {}).get(name)
        if "properties" in each:
            yield from values(each, default or {}, f"{prefix}{name}.")
        else:
            yield Value(f"{prefix}{name}", default, each["description"])


def tables(chart: Path = CHART) -> str:
    """Both tables: the values, and what a GPU pool is made of."""
    schema = json.loads((chart / "values.schema.json").read_text())
    defaults = yaml.safe_load((chart / "values.yaml").read_text())
    pool = values(schema["definitions"]["gpuPool"], {}, "triton.gpuPools[].")
    head = "| value | default | meaning |\n| --- | --- | --- |\n"
    parts = (head + "".join(f"{each.row}\n" for each in rows) for rows in (values(schema, defaults), pool))
    return "\n".join(parts)


def readme(text: str, chart: Path = CHART) -> str:
    """A README with the tables between its two marks renewed; raises ``ValueError`` where a mark is missing."""
    before, after = text.index(BEGIN) + len(BEGIN), text.index(END)
    return f"{text[:before]}\n{tables(chart)}\n{text[after:]}"
