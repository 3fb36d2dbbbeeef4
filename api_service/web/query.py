"""Query parameters of a request: one strict reader for each kind of value, and pages of a list.

A value that cannot be used raises RequestInvalid, whatever it is. Knows no route.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import urlencode

from flask import Request

from shared.errors import RequestInvalid

Kind = TypeVar("Kind", bound=StrEnum)

LARGEST = 2**63 - 1
"""What a database takes for a whole number."""

_DEFAULT = 50
_MOST = 500
_MOST_DIGITS = len(str(LARGEST))
_TRUTH: Mapping[str, bool] = {"true": True, "1": True, "false": False, "0": False}


def only_parameters(query: Iterable[str], *known: str) -> None:
    """Refuse a parameter that the route does not know, so that a misspelt one is not ignored.

    Raises:
        RequestInvalid: names it and those that there are.
    """
    for name in query:
        if name not in known:
            raise RequestInvalid(f"only the query parameters {', '.join(known)}", name, "query")


def as_whole_number(text: str) -> int | None:
    """The number that these ASCII digits are, up to 19 of them; None for every other text."""
    is_one = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if is_one else None


def as_truth(text: str) -> bool | None:
    """true or 1, false or 0, in any case; None for every other text."""
    return _TRUTH.get(text.lower())


def whole_number(
    query: Mapping[str, str], name: str, default: int, low: int, high: int = LARGEST
) -> int:
    """Raises RequestInvalid: not a whole number from `low` to `high`."""
    text = query.get(name)
    if text is None:
        return default
    number = as_whole_number(text)
    if number is None or not low <= number <= high:
        raise RequestInvalid(f"a whole number from {low} to {high}", text, name)
    return number


def flag(query: Mapping[str, str], name: str) -> bool | None:
    """None when it is not there. Raises RequestInvalid: neither true nor false."""
    text = query.get(name)
    if text is None:
        return None
    value = as_truth(text)
    if value is None:
        raise RequestInvalid("true or false", text, name)
    return value


def choice(query: Mapping[str, str], name: str, choices: Sequence[str]) -> str | None:
    """None when it is not there. Raises RequestInvalid: not one of `choices`."""
    text = query.get(name)
    if text is not None and text not in choices:
        raise RequestInvalid(f"one of {', '.join(choices)}", text, name)
    return text


def member(query: Mapping[str, str], name: str, kind: type[Kind]) -> Kind | None:
    """As `choice`, of the values of an enumeration."""
    text = choice(query, name, tuple(kind))
    return None if text is None else kind(text)


def time_utc(query: Mapping[str, str], name: str) -> datetime | None:
    """None when it is not there; without an offset it is UTC.

    Raises:
        RequestInvalid: not a time, or none between the years 1 and 9999 of UTC.
    """
    text = query.get(name)
    if text is None:
        return None
    for written in (text, "+".join(text.rsplit(" ", 1))):  # an unescaped "+00:00" has a space
        try:
            at = datetime.fromisoformat(written)
            return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise RequestInvalid("a time such as 2026-11-21T08:00:00Z", text, name)


@dataclass(frozen=True, slots=True)
class Page:
    """A window on a list, `?limit=&offset=`; `rest` are the other query parameters."""

    path: str
    limit: int
    offset: int
    rest: Mapping[str, str]

    @classmethod
    def of(cls, request: Request, *filters: str) -> Page:
        """Read the window from a request.

        Raises:
            RequestInvalid: a parameter is unknown or out of range.
        """
        query = request.args
        only_parameters(query, "limit", "offset", *filters)
        return cls(
            path=request.script_root + request.path,
            limit=whole_number(query, "limit", _DEFAULT, 1, _MOST),
            offset=whole_number(query, "offset", 0, 0, 2**31),
            rest={name: query[name] for name in filters if name in query},
        )

    def of_items(self, items: Sequence[Any]) -> Sequence[Any]:
        """This page of a whole list."""
        return items[self.offset : self.offset + self.limit]

    def answer(self, name: str, items: Sequence[Any], total: int) -> dict[str, Any]:
        """`{name: items, total, next?}`; `next` is the address of the page after this one."""
        answer: dict[str, Any] = {name: items, "total": total}
        if self.offset + len(items) < total and items:
            query = {**self.rest, "limit": self.limit, "offset": self.offset + self.limit}
            answer["next"] = f"{self.path}?{urlencode(query)}"
        return answer
