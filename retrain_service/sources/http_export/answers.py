"""Read what an export answers: its JSON, its dates, and where the next page is.

Knows no connection.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import msgspec


def http_date(text: str) -> datetime | None:
    """UTC also where the zone is missing or "-0000", as HTTP's dates are. None: not a date."""
    try:
        at = parsedate_to_datetime(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def next_page(
    url: httpx.URL, answer: Mapping[str, Any], metadata: Mapping[str, Any], response: httpx.Response
) -> httpx.URL | None:
    """A link `next`, in the body, the metadata or the header; else by page or offset."""
    link = answer.get("next") or metadata.get("next") or response.links.get("next", {}).get("url")
    if isinstance(link, str) and link:
        return url.copy_with(raw_path=url.join(link).raw_path)
    page, n_pages = metadata.get("page"), metadata.get("pages", metadata.get("total_pages"))
    if isinstance(page, int) and isinstance(n_pages, int):
        return url.copy_set_param("page", page + 1) if page < n_pages else None
    offset, limit, total = (metadata.get(name) for name in ("offset", "limit", "total"))
    if isinstance(offset, int) and isinstance(limit, int) and isinstance(total, int) and limit > 0:
        behind = offset + limit
        return url.copy_set_param("offset", behind) if behind < total else None
    return None


def decoded(body: bytes) -> Any:
    """JSON, also with the NaN and Infinity that Python's and R's writers put in; they are null."""
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        if not any(word in body for word in (b"NaN", b"Infinity")):
            raise
        try:
            return json.loads(body, parse_constant=lambda _word: None)
        except ValueError:
            raise msgspec.DecodeError("not JSON") from None
