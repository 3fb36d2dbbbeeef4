"""Pages of a list: `?limit=&offset=`, and `next` when there is another page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import Request

from shared.errors import RequestInvalid

_DEFAULT = 50
_MOST = 500


@dataclass(frozen=True, slots=True)
class Page:
    """A window on a list; `rest` are the other query parameters, for the link to the next one."""

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
        for name in request.args:
            if name not in ("limit", "offset", *filters):
                known = ", ".join(("limit", "offset", *filters))
                raise RequestInvalid(f"only the query parameters {known}", name, "query")
        return cls(
            path=request.path,
            limit=_whole_number(request, "limit", _DEFAULT, 1, _MOST),
            offset=_whole_number(request, "offset", 0, 0, 2**31),
            rest={name: request.args[name] for name in filters if name in request.args},
        )

    def of_items(self, items: Sequence[Any]) -> Sequence[Any]:
        """This page of a whole list."""
        return items[self.offset : self.offset + self.limit]

    def answer(self, name: str, items: Sequence[Any], total: int) -> dict[str, Any]:
        """`{name: items, total, next?}`."""
        answer: dict[str, Any] = {name: items, "total": total}
        if self.offset + len(items) < total and items:
            query = {**self.rest, "limit": self.limit, "offset": self.offset + self.limit}
            answer["next"] = f"{self.path}?{urlencode(query)}"
        return answer


def _whole_number(request: Request, name: str, default: int, low: int, high: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise RequestInvalid(f"a whole number from {low} to {high}", text, name)
    return int(text)
