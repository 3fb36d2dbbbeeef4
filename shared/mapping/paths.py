"""Find a value in a record by a JMESPath expression, or by the plain name of a field.

Knows no workload. Errors in an expression are found when it is compiled, never at a record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import jmespath
import jmespath.exceptions
import jmespath.functions
from jmespath.functions import signature
from jmespath.visitor import TreeInterpreter

from shared.errors import SettingsInvalid

_ANY: Any = {"types": []}
_PLAIN_NAME = re.compile(r"[^\[\]{}()|&<>=!*`'\"?,]+")
_NAME_WITH_UNIT = re.compile(r"[^\[\]{}()|&<>=!*`'\"?,]+ \([^()\[\]|,]*\)")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Functions(jmespath.functions.Functions):
    """What JMESPath lacks for measurements and texts; null where the values are not fit."""

    @signature(_ANY, _ANY)
    def _func_times(self, left: Any, right: Any) -> float | None:
        numbers = _numbers(left, right)
        return numbers[0] * numbers[1] if numbers else None

    @signature(_ANY, _ANY)
    def _func_minus(self, left: Any, right: Any) -> float | None:
        numbers = _numbers(left, right)
        return numbers[0] - numbers[1] if numbers else None

    @signature(_ANY, _ANY)
    def _func_percent(self, part: Any, whole: Any) -> float | None:
        numbers = _numbers(part, whole)
        return 100.0 * numbers[0] / numbers[1] if numbers and numbers[1] else None

    @signature(_ANY, _ANY)
    def _func_split(self, text: Any, separator: Any) -> list[str] | None:
        if not isinstance(text, str) or not isinstance(separator, str) or not separator:
            return None
        return [part.strip() for part in text.split(separator) if part.strip()]


FUNCTIONS: Mapping[str, str] = {
    "times(a, b)": "a multiplied by b",
    "minus(a, b)": "b subtracted from a",
    "percent(part, whole)": "the part as a percentage of the whole",
    "split(text, separator)": "the parts of a text, as a list",
}
"""Functions beside those of JMESPath; null where an argument is not of that kind."""

# One for all: what `search` makes for each call looks every kind of node up again.
_interpreter = TreeInterpreter(jmespath.Options(custom_functions=_Functions()))
_ARITIES: Mapping[str, Any] = _Functions.FUNCTION_TABLE


class Path:
    """A compiled expression. Immutable; any thread may use it."""

    __slots__ = ("_expression", "_names", "_plain", "text")

    def __init__(self, text: str, where: str) -> None:
        """Compile `text`.

        where : the setting, for the message.

        Raises:
            SettingsInvalid: it is neither an expression nor the name of a field.
        """
        self.text = text
        self._plain = text.strip()
        if _NAME_WITH_UNIT.fullmatch(self._plain):  # "Power (W)" is no call of a function
            text = f'"{self._plain}"'
        try:
            self._expression = jmespath.compile(text)
        except jmespath.exceptions.JMESPathError as error:
            if not _PLAIN_NAME.fullmatch(self._plain):
                raise SettingsInvalid(
                    f"{where}: expected a JMESPath expression or the name of a field,"
                    f" found {text!r}: {_first_line(error)}"
                ) from None
            self._expression = jmespath.compile(_quoted(self._plain))
        for name, n_given in _calls(self._expression.parsed):
            _check_call(name, n_given, where)
        self._names = _plain_path(self._expression.parsed)

    def find(self, record: Any) -> Any:
        """The value at this place of a record; None where there is none.

        A field whose name is the whole text comes first: "cpu.total" may be one column.
        """
        if isinstance(record, dict) and self._plain in record:
            return record[self._plain]
        if self._names is not None:  # as most are, and the library takes ten times as long
            found = record
            for name in self._names:
                found = found.get(name) if isinstance(found, dict) else None
            return found
        try:
            return _interpreter.visit(self._expression.parsed, record)
        except (jmespath.exceptions.JMESPathError, TypeError, ValueError, OverflowError):
            return None  # a function met a value that it does not take


def _numbers(*values: Any) -> tuple[float, ...] | None:
    found = []
    for value in values:
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        found.append(float(value))
    return tuple(found)


def _quoted(name: str) -> str:
    """A name with spaces or dashes, or a path of such names, as JMESPath writes it."""
    parts = [part.strip() for part in name.split(".")]
    return ".".join(part if _IDENTIFIER.fullmatch(part) else f'"{part}"' for part in parts if part)


def _plain_path(node: Any) -> tuple[str, ...] | None:
    """The names of a path that leads through objects alone; None for any other expression."""
    if node["type"] == "field":
        return (node["value"],)
    if node["type"] != "subexpression":
        return None
    parts = [_plain_path(child) for child in node["children"]]
    if any(part is None for part in parts):
        return None
    return tuple(name for part in parts if part is not None for name in part)


def _calls(node: Any) -> Iterator[tuple[str, int]]:
    """(name of the function, number of arguments) of every call in a parsed expression."""
    if node["type"] == "function_expression":
        yield node["value"], len(node["children"])
    for child in node.get("children", ()):
        yield from _calls(child)


def _check_call(name: str, n_given: int, where: str) -> None:
    if name not in _ARITIES:
        raise SettingsInvalid(
            f"{where}: there is no function {name}(); there are {', '.join(sorted(_ARITIES))}."
        )
    expected = _ARITIES[name]["signature"]
    is_open = bool(expected) and expected[-1].get("variadic", False)
    if n_given < len(expected) or (n_given > len(expected) and not is_open):
        raise SettingsInvalid(
            f"{where}: {name}() takes {len(expected)} values{' or more' if is_open else ''},"
            f" found {n_given}."
        )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(": ")
