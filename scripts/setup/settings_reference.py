"""Write the tables of docs/settings.md from the code, so that they cannot drift from it.

    .venv/bin/python scripts/setup/settings_reference.py           # rewrite the tables in place
    .venv/bin/python scripts/setup/settings_reference.py --check   # exit code 1 when they differ

Words around the tables are a person's; a table stands between its two marks. Starts no daemon
and reads no configuration.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

import msgspec
from pydantic import BaseModel, TypeAdapter

from shared.settings.root import Settings
from shared.workloads import REGISTRY, workload_class

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "settings.md"
NAMES = {"sources": "NAME", "models": "NAME", "streams": "STREAM", "fields": "FIELD"}
"""What stands in a section's path for a name that the user gives."""

_TABLE = re.compile(
    r"(<!-- table: (?P<name>[\w. :-]+) -->\n)(?P<rows>.*?)(<!-- end of table -->\n)", re.DOTALL
)
_HEAD = "| setting | takes | default | meaning |\n| --- | --- | --- | --- |\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the tables of docs/settings.md.")
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    wanted = parser.parse_args(arguments)
    before = PAGE.read_text(encoding="utf-8")
    after = with_tables(before)
    if after == before:
        return 0
    if wanted.check:
        print(f"{PAGE.name} differs from the code; run {Path(__file__).name}.", file=sys.stderr)
        return 1
    PAGE.write_text(after, encoding="utf-8", newline="\n")
    return 0


def with_tables(page: str) -> str:
    """The page with every table between marks as the code has it now.

    A section without marks is put at the end, under its own words, for a person to move.

    Raises:
        KeyError: a mark names a section or a workload that does not exist.
    """
    tables = dict(all_tables())
    page = _TABLE.sub(lambda found: found[1] + tables[found["name"]] + found[4], page)
    words = {path: (section.__doc__ or "").splitlines()[0] for path, section in sections(Settings)}
    for name in tables.keys() - marked(page):
        intro = words.get(name, "").partition(": ")[2]
        is_workload = name.startswith("workload: ")
        title = f"Parameters of {name[10:]}" if is_workload else f"[{name}]"
        page += f"\n## {title}\n\n{intro[:1].upper()}{intro[1:]}\n\n"
        page += f"<!-- table: {name} -->\n{tables[name]}<!-- end of table -->\n"
    return page


def marked(page: str) -> set[str]:
    """Names of the tables that the page has marks for."""
    return {found["name"] for found in _TABLE.finditer(page)}


def all_tables() -> Iterator[tuple[str, str]]:
    """(name of the mark, table) for every section and every workload's parameters."""
    for path, section in sections(Settings):
        rows = "".join(_section_rows(section))
        if rows:  # a section may hold nothing but sections
            yield path or "top", _HEAD + rows
    for workload in sorted(REGISTRY):
        yield f"workload: {workload}", _HEAD + "".join(_parameter_rows(workload))


def sections(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section with its path in the file: "", "api", "models.NAME.triggers", …"""
    yield path, model
    for name, field in model.model_fields.items():
        inner = _inner(field.annotation)
        if inner is None:
            continue
        below = f"{path}.{name}".lstrip(".")
        is_named = get_origin(field.annotation) is dict
        yield from sections(inner, f"{below}.{NAMES.get(name, 'NAME')}" if is_named else below)


def _inner(annotation: Any) -> type[BaseModel] | None:
    """The section behind a field, whether it is one or a table of them."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _section_rows(section: type[BaseModel]) -> Iterator[str]:
    schema = TypeAdapter(section).json_schema()
    for name, field in section.model_fields.items():
        if _inner(field.annotation) is not None:
            continue
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        shown = "required" if field.is_required() else _shown(default)
        yield _row(name, _takes(schema["properties"][name]), shown, field.description or "")


def _parameter_rows(workload: str) -> Iterator[str]:
    parameters = workload_class(workload).Parameters
    meanings = dict(re.findall(r"^ +(\w+) : (.+)$", parameters.__doc__ or "", re.MULTILINE))
    types = get_type_hints(parameters)
    kind = {bool: "true or false", int: "whole number", float: "number", str: "text"}
    for field in msgspec.structs.fields(parameters):
        name, has_factory = field.name, field.default_factory is not msgspec.NODEFAULT
        default = field.default_factory() if has_factory else field.default
        shown = "required" if field.required else _shown(default)
        type_ = types[name] if field.required else type(default)
        yield _row(name, kind.get(type_, "value"), shown, meanings.get(name, "").rstrip("."))


def _row(name: str, takes: str, default: str, meaning: str) -> str:
    # A bare < would begin an HTML tag.
    cells = (f"`{name}`", takes, default, meaning.replace("|", "\\|").replace("<", "\\<"))
    return f"| {' | '.join(cells)} |\n"


def _takes(schema: Mapping[str, Any]) -> str:
    """The allowed values in words, from the JSON schema of one setting."""
    options = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    one = options[0]
    if "enum" in one:
        return _listed(one["enum"])
    if "enum" in one.get("items", {}):
        return f"list of {_listed(one['items']['enum'])}"
    if one.get("format") == "duration":
        return "duration"
    if one.get("format") == "path":
        return "path"
    kind = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "true or false",
        "array": "list of texts",
        "object": "table",
    }.get(str(one.get("type")), "value")
    return kind + _bounds(one)


def _listed(values: Sequence[str]) -> str:
    return ", ".join(f'`"{value}"`' for value in values)


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    found = [
        f"from {low:,.15g}" if low is not None else "",
        f"above {above:,.15g}" if above is not None else "",
        f"to {high:,.15g}" if high is not None else "",
        f"below {below:,.15g}" if below is not None else "",
    ]
    words = [word for word in found if word]
    return f", {' '.join(words)}" if words else ""


def _shown(value: object) -> str:
    """A default as it would stand in the file."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, timedelta):
        return f'`"{_spoken(value)}"`'
    if isinstance(value, str | Path):
        text = value.as_posix() if isinstance(value, Path) else value
        return f'`"{text}"`'
    if isinstance(value, list | tuple):
        return f"`{json.dumps(list(value))}`"
    return "`{}`" if value == {} else f"`{value}`"


def _spoken(span: timedelta) -> str:
    seconds = span.total_seconds()
    for unit_s, unit, from_s in ((86400, "d", 2 * 86400), (3600, "h", 3600), (60, "m", 60)):
        if seconds >= from_s and seconds % unit_s == 0:
            return f"{seconds / unit_s:.0f}{unit}"
    return f"{seconds:g}s"


if __name__ == "__main__":
    sys.exit(main())
