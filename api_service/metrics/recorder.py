"""Count requests by model, version, route and status, without a lock and without I/O.

Any thread of the worker may call `count`; the metrics thread takes copies. Knows no file and no
exposition format: `flush` writes the counters.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping

# Ten steps a decade (R10), so that a quantile is known to about a tenth of its value.
_DECADE = (1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0)
BOUNDS_S = tuple(float(f"{step * 10.0**power:.6g}") for power in range(-5, 2) for step in _DECADE)
"""Upper bounds of the latency buckets in seconds: 10 µs to 80 s."""

SUM_S, ROWS = len(BOUNDS_S) + 1, len(BOUNDS_S) + 2
"""Where a cell keeps the sum of its latencies and its predicted rows, after the buckets."""

MAX_MODELS = 200
"""Models with series of their own in one worker; the others are counted together."""

OTHER = "other"
NO_MODEL = NO_VERSION = ""
KEPT_VERSIONS = 3

Key = tuple[str, str, str, int]
"""(model, version, route, status)."""

Cell = list[float]
"""Requests by bucket, then the sum of seconds, then rows. Only additions to it."""


class Recorder:
    """What one worker has counted since it started.

    in_flight : requests that were begun and not answered; `+= 1` and `-= 1` by whoever serves.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self._cells: dict[Key, Cell] = {}
        self._found: dict[Key, Cell] = {}  # also names that are counted under another name
        self._models: dict[str, None] = {NO_MODEL: None, OTHER: None}
        self._adding = threading.Lock()

    def count(
        self, model: str, version: str, route: str, status: int, seconds: float, rows: int = 0
    ) -> None:
        """Count one answered request.

        Args:
            model: full name of a model that exists, or "": names that clients make up would
                become series.
            version: the version that answered, "" where none did.
            route: the rule, not the path: "/models/<model>/predict".
            seconds: from taking the request to its answer.
            rows: how many predictions the answer holds.
        """
        bucket = bisect_left(BOUNDS_S, seconds)
        try:
            cell = self._found[model, version, route, status]
        except KeyError:
            cell = self._new_cell((model, version, route, status))
        # No call between reading and writing a value: the interpreter does not switch threads.
        cell[bucket] += 1
        cell[SUM_S] += seconds
        cell[ROWS] += rows

    def admit(self, models: Iterable[str]) -> None:
        """Give these models series of their own, as long as there is room."""
        with self._adding:
            for model in models:
                self._label(model)

    def shown_as(self, model: str) -> str:
        """The name under which a model is counted now: its own, or OTHER."""
        return model if model in self._models else OTHER

    @property
    def models(self) -> frozenset[str]:
        """Models with series of their own."""
        return frozenset(list(self._models)) - {NO_MODEL, OTHER}

    def cells(self) -> dict[Key, Cell]:
        """A copy of everything that was counted."""
        return {key: cell.copy() for key, cell in list(self._cells.items())}

    def cells_of(self, model: str) -> dict[Key, Cell]:
        """A copy of what was counted of one model."""
        return {key: cell.copy() for key, cell in list(self._cells.items()) if key[0] == model}

    def forget_old_versions(self, kept: Mapping[str, Collection[str]]) -> None:
        """Drop versions that answered long ago, except those kept; kept: model -> versions."""
        for model, version in old_versions(list(self._cells), kept):
            for table in (self._cells, self._found):
                for key in [key for key in list(table) if key[:2] == (model, version)]:
                    table.pop(key, None)

    def _new_cell(self, key: Key) -> Cell:
        model, _, route, status = key
        with self._adding:
            label = self._label(model)
            counted = key if label == model else (label, NO_VERSION, route, status)
            cell = self._cells.setdefault(counted, [0] * (len(BOUNDS_S) + 1) + [0.0, 0])
            return self._found.setdefault(key, cell)

    def _label(self, model: str) -> str:
        if model in self._models:
            return model
        if len(self._models) >= MAX_MODELS + 2:
            return OTHER
        self._models[model] = None
        return model


def old_versions(keys: Iterable[Key], kept: Mapping[str, Collection[str]]) -> list[tuple[str, str]]:
    """(model, version) of those that need not be counted on: neither kept nor among the newest."""
    seen: dict[str, set[str]] = {}
    for model, version, _, _ in keys:
        if version != NO_VERSION and version not in kept.get(model, ()):
            seen.setdefault(model, set()).add(version)
    return [
        (model, version)
        for model, versions in seen.items()
        for version in sorted(versions)[:-KEPT_VERSIONS]
    ]
