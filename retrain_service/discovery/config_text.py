"""Write plans as lines of hotfit.toml, with a comment where a person should look.

Text only; which file it goes to, and whether it may, is decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from retrain_service.discovery.stream_plan import StreamPlan

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def toml_key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else toml_value(name)


def toml_value(value: Any) -> str:
    """A value on one line.

    >>> toml_value(["id", "no"]), toml_value(True), toml_value({"constant": "view"})
    ('["id", "no"]', 'true', '{ constant = "view" }')
    """
    if isinstance(value, Mapping):
        inner = ", ".join(
            f"{toml_key(str(key))} = {toml_value(each)}" for key, each in value.items()
        )
        return f"{{ {inner} }}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, str) and '"' in value and "'" not in value and "\n" not in value:
        return f"'{value}'"  # a literal: names in SQL are quoted
    return msgspec.json.encode(value).decode()


def stream_lines(model: str, plan: StreamPlan) -> Iterator[str]:
    """The sections of one stream."""
    where = f"models.{toml_key(model)}.streams.{toml_key(plan.stream)}"
    yield f"[{where}]"
    yield from place_lines(plan)
    if plan.fields:
        yield f"[{where}.fields]"
        for name, value in plan.fields.items():
            yield from _with_doubt(f"{toml_key(name)} = {toml_value(value)}", plan.doubts.get(name))
    elif doubted := [name for name in plan.doubts if not name.endswith("_field")]:
        for name in doubted:
            yield f"# {name}: {plan.doubts[name]}"
    if plan.words:
        yield f"[{where}.words]"
        for meaning, words in plan.words.items():
            yield f"{toml_key(meaning)} = {toml_value(words)}"


def place_lines(plan: StreamPlan) -> Iterator[str]:
    """Where the stream is, what its ids are, and by which time it is read."""
    if plan.collection.query:
        yield f"query = {toml_value(plan.collection.query)}"
    elif plan.collection.name != plan.stream:
        yield f"collection = {toml_value(plan.collection.name)}"
    for name, setting in plan.collection.settings.items():
        yield from _with_doubt(f"{name} = {toml_value(setting)}", plan.doubts.get(name))
    if plan.shape:
        yield f"shape = {toml_value(plan.shape)}"
    if plan.id_fields and plan.id_fields != ("id",):
        value: Any = plan.id_fields[0] if len(plan.id_fields) == 1 else plan.id_fields
        yield from _with_doubt(f"id_field = {toml_value(value)}", plan.doubts.get("id_field"))
    if plan.updated_at and plan.updated_at != "updated_at":
        doubt = plan.doubts.get("updated_at_field")
        yield from _with_doubt(f"updated_at_field = {toml_value(plan.updated_at)}", doubt)
    if plan.deleted_field:
        yield f"deleted_field = {toml_value(plan.deleted_field)}"


def _with_doubt(line: str, doubt: str | None) -> Iterator[str]:
    if doubt:
        yield f"# {doubt}"
    yield line


def commented(lines: Sequence[str]) -> Iterator[str]:
    """The same lines, out of use."""
    for line in lines:
        yield line if line.startswith("#") else f"# {line}" if line else "#"
