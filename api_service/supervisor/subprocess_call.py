"""Call a function in a process of its own, so that the memory of its imports is freed afterwards.

Where processes cannot be forked the function is called in this process.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class SubprocessCall(Generic[Result]):
    """A call under way. Made while this process has one thread.

    Args:
        call: called once more, here, when its process fails in any way. So what it raises is
            raised as if it had always been called here.
    """

    def __init__(self, call: Callable[[], Result]) -> None:
        self._call = call
        if sys.platform != "linux":
            return
        self._answer, theirs = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _answer_and_end(call, theirs)
        os.close(theirs)

    def result(self) -> Result:
        """Wait for it. To be called once."""
        if sys.platform != "linux":
            return self._call()
        with os.fdopen(self._answer, "rb") as answer:
            content = answer.read()
        os.waitpid(self._pid, 0)
        if not content:
            return self._call()
        result: Result = pickle.loads(content)  # noqa: S301 - from our own child
        return result


def _answer_and_end(call: Callable[[], object], descriptor: int) -> None:
    code = 1
    try:
        content = pickle.dumps(call())
        with os.fdopen(descriptor, "wb") as answer:
            answer.write(content)
        code = 0
    finally:
        os._exit(code)
