"""Console examples of the documentation: find them, read their shortened answers, compare.

An example is a command after "$ " and, below it, what it prints. In printed JSON a bare … stands
for whatever else there is: further fields of an object, further items of a list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIXED_FIELDS = frozenset(
    {"status", "state", "type", "title", "detail", "expected", "where", "name", "model", "unit"}
)
"""Text that must be printed word for word; other values change from run to run."""

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MORE = "…"


@dataclass(frozen=True, slots=True)
class Example:
    """One command and what is printed below it."""

    page: str
    command: str
    printed: str

    def __str__(self) -> str:
        return f"{self.page}: {self.command.splitlines()[0]}"


def examples(path: Path) -> Iterator[Example]:
    """The examples of one page, in order."""
    for block in _BLOCK.findall(path.read_text(encoding="utf-8")):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            # A quoted argument may go on over several lines.
            n = next(n for n in range(1, len(lines) + 1) if _is_whole("\n".join(lines[:n])))
            yield Example(path.name, "\n".join(lines[:n]), "\n".join(lines[n:]).strip())


def _is_whole(command: str) -> bool:
    return command.count("'") % 2 == 0


def read_shortened(printed: str) -> Any:
    """Shortened JSON as a value, in which … is a key or an item of its own."""
    return json.loads("".join(_with_marks(printed)))


def _with_marks(printed: str) -> Iterator[str]:
    inside: list[str] = []
    is_text = is_escaped = False
    for letter in printed:
        if is_text:
            is_text = letter != '"' or is_escaped
            is_escaped = letter == "\\" and not is_escaped
        elif letter == '"':
            is_text = True
        elif letter in "{[":
            inside.append(letter)
        elif letter in "}]":
            inside.pop()
        elif letter == _MORE:
            yield f'"{_MORE}": 0' if inside[-1] == "{" else f'"{_MORE}"'
            continue
        yield letter


def differences(printed: Any, found: Any, where: str = "answer") -> Iterator[str]:
    """How an answer differs in kind from the printed one; nothing when it does not."""
    if isinstance(printed, dict) and isinstance(found, dict):
        yield from _field_differences(printed, found, where)
    elif isinstance(printed, list) and isinstance(found, list):
        yield from _item_differences(printed, found, where)
    elif _kind(printed) != _kind(found):
        yield f"{where}: printed {printed!r}, found {found!r}"


def _field_differences(printed: dict[str, Any], found: dict[str, Any], where: str) -> Iterator[str]:
    named = printed.keys() - {_MORE}
    if missing := named - found.keys():
        yield f"{where}: printed but not there: {sorted(missing)}"
    if _MORE not in printed and (more := found.keys() - named):
        yield f"{where}: there but not printed: {sorted(more)}"
    for name in sorted(named & found.keys()):
        one, other = printed[name], found[name]
        if name in FIXED_FIELDS and isinstance(one, str) and one != other:
            yield f"{where}.{name}: printed {one!r}, found {other!r}"
        yield from differences(one, other, f"{where}.{name}")


def _item_differences(printed: Sequence[Any], found: Sequence[Any], where: str) -> Iterator[str]:
    shown = [item for item in printed if item != _MORE]
    if len(found) < len(shown) or (len(shown) == len(printed) and len(found) != len(shown)):
        yield f"{where}: printed {len(printed)} items, found {len(found)}"
    for i, (one, other) in enumerate(zip(shown, found, strict=False)):
        yield from differences(one, other, f"{where}[{i}]")


def _kind(value: object) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return "number" if is_number else type(value).__name__
