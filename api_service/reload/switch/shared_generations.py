"""Share the committed generation of each model between the main process and all workers.

The main process writes the number once per switch; a worker reads it only while it holds a version
that waits to serve. Knows no model by name.
"""

from __future__ import annotations

import multiprocessing
from typing import Any

CAPACITY = 65_536
"""Models that can switch together; half a megabyte. The rest switch worker by worker."""


class SharedGenerations:
    """Made by the main process, handed to each worker when it is spawned.

    The mapped file has no name: a run can never meet what an earlier run left behind. All of its
    pages exist from the start, so a full disk cannot kill a reader later.

    A cell is an aligned 8-byte word that is stored and loaded whole by x86 and ARM alike; even a
    machine that stored it in halves would be right, because generations stay below 2**32.
    """

    def __init__(self) -> None:
        self._shared: Any = multiprocessing.get_context("spawn").RawArray("Q", CAPACITY)
        self.entries = _entries_of(self._shared)

    def __getstate__(self) -> Any:
        return self._shared

    def __setstate__(self, shared: Any) -> None:
        self._shared = shared
        self.entries = _entries_of(shared)

    def commit(self, index: int, generation: int) -> None:
        """From now on every worker answers with this generation. Only the main process calls."""
        self.entries[index] = generation


def _entries_of(shared: Any) -> memoryview:
    # A view reads in a third of the time that the array itself takes.
    return memoryview(shared).cast("B").cast("Q")
