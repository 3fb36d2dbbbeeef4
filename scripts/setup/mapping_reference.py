"""Write the tables of docs/map-your-data.md from the declarations, so that they cannot drift.

    .venv/bin/python scripts/setup/mapping_reference.py            # rewrite the tables in place

Words around the tables are a person's; a table stands between its two marks.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from shared.documents.field_specs import FieldSpec
from shared.mapping.paths import FUNCTIONS
from shared.mapping.shapes import Shape, shapes
from shared.workloads import REGISTRY, open_workload

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "map-your-data.md"
_TABLE = re.compile(
    r"(<!-- table: (?P<name>[\w. :-]+) -->\n)(?P<rows>.*?)(<!-- end of table -->\n)", re.DOTALL
)
_EXAMPLE = {"tabular": {"target": "TARGET", "features": ["FEATURE"], "time": "TIME"}}
"""Parameters for a workload whose fields they name."""


def with_tables(page: str) -> str:
    """The page with every table between marks as the declarations have it now.

    Raises:
        KeyError: a mark names a table that there is not.
    """
    tables = dict(all_tables())
    return _TABLE.sub(lambda found: found[1] + tables[found["name"]] + found[4], page)


def marked(page: str) -> set[str]:
    """Names of the tables that the page has marks for."""
    return {found["name"] for found in _TABLE.finditer(page)}


def all_tables() -> Iterator[tuple[str, str]]:
    """(name of the mark, table): the fields of each stream, the shapes, the functions."""
    for name in sorted(REGISTRY):
        workload = open_workload(name, _EXAMPLE.get(name, {}))
        for stream, specs in workload.read_fields.items():
            rows = "".join(map(_field_row, specs))
            head = "| field | is | needed | also found as |\n| --- | --- | --- | --- |\n"
            yield f"fields: {name} {stream}", head + rows
    head = "| shape | streams | whose records |\n| --- | --- | --- |\n"
    yield (
        "shapes",
        head
        + "".join(
            f"| `{name}` | {_listed(tuple(streams))} | {_linked(streams)} |\n"
            for name, streams in shapes().items()
        ),
    )
    head = "| function | gives |\n| --- | --- |\n"
    yield "functions", head + "".join(f"| `{call}` | {is_} |\n" for call, is_ in FUNCTIONS.items())


def _field_row(spec: FieldSpec) -> str:
    kind = f"{spec.kind} in {spec.unit}" if spec.unit else spec.kind
    is_ = f"{spec.purpose} ({kind})"
    for meaning, words in spec.meanings.items():
        is_ += f"; meaning `{meaning}`: {', '.join(words)}"
    if spec.in_list:
        is_ += f"; in each line of `{spec.in_list}`"
    needed = "yes" if spec.is_needed else "no"
    return f"| `{spec.name}` | {is_} | {needed} | {_listed(spec.usual)} |\n"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "–"


def _linked(streams: Mapping[str, Shape]) -> str:
    shape = next(iter(streams.values()))
    return f"[{shape.about}]({shape.documentation})" if shape.documentation else shape.about


def main() -> None:
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
