"""Read lists and objects that a column keeps as a text. Knows no field and no workload."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import msgspec

_OPENS = re.compile(r'\s*(?:[\[{]|"\s*[\[{])')
_OF_A_PROGRAM = re.compile(
    r'\s*(?:[\[{](?:\s*[\[{"\']|[^\]}]*$)|"\s*[\[{]|a:\d+:\{|O:\d+:"|<[A-Za-z!?]|---\s|array\s*\()',
    re.IGNORECASE,
)
_LONGEST_REPR = 100_000
_DEEPEST = 3


def read_json_text(value: Any) -> Any:
    """The list or object that a text holds; every other value as it is.

    Takes JSON, also with NaN, JSON that was written as a text into JSON, and what Python prints.

    >>> [read_json_text(v) for v in ('[1]', '"[1]"', "[{'a': None}]", "[1", "plain")]
    [[1], [1], [{'a': None}], '[1', 'plain']
    """
    found = value
    for _ in range(_DEEPEST):
        if not isinstance(found, str) or not _OPENS.match(found):
            break
        found = _decoded(found)
    return found if isinstance(found, list | dict) else value


def is_of_a_program(text: str) -> bool:
    """Whether a text is a structure in some program's own form (PHP, XML, YAML, broken JSON), so
    no word of a person.

    >>> [is_of_a_program(v) for v in ('a:1:{i:0;s:3:"Oil";}', "<part/>", '[{"a', "[OEM] filter")]
    [True, True, True, False]
    """
    return _OF_A_PROGRAM.match(text) is not None


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        return json.loads(text, parse_constant=lambda _word: None)
    except (ValueError, RecursionError):
        pass
    if len(text) > _LONGEST_REPR:
        return None
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
