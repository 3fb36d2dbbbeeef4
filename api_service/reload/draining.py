"""Track a version that left its slot until its last request has ended.

Ends no request, and holds no reference to the model that it tracks.
"""

from __future__ import annotations

import time
import weakref
from typing import Any

from shared.loading.open_version import LoadedModel


class Draining:
    """One old version on its way out. Only the reload thread asks; any thread may end it."""

    def __init__(self, old: LoadedModel) -> None:
        self.version = old.version
        self.generation = old.generation
        self.started = time.perf_counter()
        self.is_overdue = False
        self._ended: float | None = None
        # The callback runs in whichever thread drops the last reference, maybe in the middle of
        # a garbage collection: it must take no lock, so it notes the time and nothing else.
        self._reference = weakref.ref(old, self._note_end)

    def _note_end(self, _reference: Any) -> None:
        self._ended = time.perf_counter()

    @property
    def is_over(self) -> bool:
        return self._ended is not None

    @property
    def lasted_ms(self) -> float:
        """From the switch to the end of the last request, or until now."""
        return ((self._ended or time.perf_counter()) - self.started) * 1e3
