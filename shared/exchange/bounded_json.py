"""Decode untrusted JSON of bounded depth."""

from __future__ import annotations

from typing import Any

import msgspec

MOST_LEVELS = 64
"""Deeper than anything we write, and far from where a recursive reader gives up."""


def decode_bounded(content: bytes) -> Any:
    """Decode JSON.

    Raises:
        msgspec.DecodeError: it is none, or nested deeper than MOST_LEVELS.
    """
    try:
        found = msgspec.json.decode(content)
    except RecursionError:
        found = None
        is_deeper = True
    else:
        is_deeper = _is_deeper(found, MOST_LEVELS)
    if is_deeper:
        raise msgspec.DecodeError(f"it is nested deeper than {MOST_LEVELS} levels")
    return found


def _is_deeper(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return False
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in value)
