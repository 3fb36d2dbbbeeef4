"""Wait for something to become true, and say what it was when it does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(predicate: Callable[[], T], timeout_s: float, what: str, every_s: float = 0.05) -> T:
    """Call `predicate` until it returns something true and return that.

    Raises:
        AssertionError: it did not within `timeout_s`; the message names `what` and the last value.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s for {what}; last value: {value!r}")
        time.sleep(every_s)
