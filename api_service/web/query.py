"""Query parameters of a request, decoded into the type that a route declares; pages of a list.

A value that cannot be used raises RequestInvalid, whatever it is. Knows no route.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

import msgspec
from flask import Request, request
from msgspec import Meta

from api_service.web.json_body import decoded
from api_service.web.public_path import public_path
from shared.errors import RequestInvalid

T = TypeVar("T", bound=msgspec.Struct)
B = TypeVar("B", bound=msgspec.Struct)

LARGEST = 2**63 - 1
"""What a database takes for a whole number."""

_MOST_DIGITS = len(str(LARGEST))


def query_as(request: Request, kind: type[T], *others: str) -> T:
    """The query as a value of `kind`; of a parameter that is repeated the first counts.

    Args:
        others: parameters that the route reads itself.

    Raises:
        RequestInvalid: a parameter is unknown, or not what it should be.
    """
    query = {name: text for name, text in request.args.items() if name not in others}
    found = decoded(query, kind, is_query=True)
    for name, text in query.items():
        if getattr(found, name, text) is None:  # "null" is no value
            raise RequestInvalid("a value", text, name)
    return found


def with_query(request: Request, body: B, kind: type[T]) -> B:
    """The body with the query's parameters over the fields of the same name.

    Raises:
        As `query_as`.
    """
    query = query_as(request, kind)
    shared = {name: getattr(query, name) for name in request.args if hasattr(body, name)}
    return msgspec.structs.replace(body, **shared)


def as_whole_number(text: str) -> int | None:
    """The number that these ASCII digits are, up to 19 of them; None for every other text."""
    is_one = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if is_one else None


def as_time_utc(text: str, name: str) -> datetime:
    """The time of the parameter `name`; without an offset it is UTC.

    Raises:
        RequestInvalid: not a time, or none between the years 1 and 9999 of UTC.
    """
    for written in (text, "+".join(text.rsplit(" ", 1))):  # an unescaped "+00:00" has a space
        try:
            at = datetime.fromisoformat(written)
            return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise RequestInvalid("a time such as 2026-11-21T08:00:00Z", text, name)


Limit = Annotated[int, Meta(ge=1, le=500, description="how many at most; 50 by default")]
Offset = Annotated[int, Meta(ge=0, le=2**31, description="how many to pass over")]


class Page(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A window on a list, `?limit=&offset=`; a route with filters adds them."""

    limit: Limit = 50
    offset: Offset = 0

    def of_items(self, items: Sequence[Any]) -> Sequence[Any]:
        """This page of a whole list."""
        return items[self.offset : self.offset + self.limit]

    def answer(self, name: str, items: Sequence[Any], total: int) -> dict[str, Any]:
        """`{name: items, total, next?}`; `next` is the address of the page after this one."""
        answer: dict[str, Any] = {name: items, "total": total}
        if self.offset + len(items) < total and items:
            place = {"limit": self.limit, "offset": self.offset + self.limit}
            answer["next"] = public_path(
                f"{request.path}?{urlencode({**request.args.to_dict(), **place})}"
            )
        return answer
