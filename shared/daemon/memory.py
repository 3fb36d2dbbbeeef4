"""Measure the memory of this process and return freed memory to the system. Knows no model."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

import psutil


def rss_bytes() -> int:
    """Resident memory of this process."""
    return int(psutil.Process().memory_info().rss)


def _find_trim() -> Callable[[int], int] | None:
    if sys.platform != "linux":
        return None
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # a C library without it
        return None


_malloc_trim = _find_trim()


def trim() -> None:
    """Return freed memory to the system; glibc keeps the arrays of a dead model otherwise."""
    if _malloc_trim is not None:
        _malloc_trim(0)
