"""Measure the swaps of this worker: outcomes, time per stage, latency before and after.

Derives them from the reports of the reload manager; writes nothing. The reload thread calls
`look_at`, the metrics thread the other methods.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from api_service.metrics.recorder import BOUNDS_S, MAX_MODELS, Cell, Key, Recorder
from api_service.metrics.worker_metrics import (
    STAGE_BOUNDS_S,
    ModelsSeen,
    Served,
    SwapWindow,
    filled,
)
from api_service.serving_slot import ServingTable
from shared.exchange.training_metrics import Distribution
from shared.exchange.worker_report import Receipt, ServingReport
from shared.versions.model_version import VersionState

WINDOW_S = 10.0
SNAPSHOT_EVERY_S = 1.0
_NAMED = 200
_N_BUCKETS = len(BOUNDS_S) + 1

Cells = dict[Key, Cell]


@dataclass(frozen=True, slots=True)
class SwapCounters:
    """Everything that is known at one moment, as the worker's file holds it."""

    swaps: dict[str, dict[str, int]]
    stages: dict[str, Distribution]
    n_failed: int
    served: dict[str, Served]
    windows: dict[str, SwapWindow]
    models: ModelsSeen


@dataclass(slots=True)
class _OpenWindow:
    """A swap whose ten seconds after are not over."""

    swapped: float
    at_swap: Cells
    window: SwapWindow


class SwapMetrics:
    """See the module docstring."""

    def __init__(self, recorder: Recorder, table: ServingTable) -> None:
        self._recorder = recorder
        self._table = table
        self._lock = threading.Lock()
        self._past: deque[tuple[float, Cells]] = deque(maxlen=round(WINDOW_S) + 2)
        self._reports: Mapping[str, ServingReport] = {}
        self._surveyed: Mapping[str, ServingReport] | None = None
        self._swaps: dict[str, dict[str, int]] = {}
        self._stages: dict[str, Distribution] = {}
        self._n_failed = 0
        self._windows: dict[str, SwapWindow] = {}
        self._open: dict[str, _OpenWindow] = {}
        self._models = ModelsSeen()

    def look_at(self, reports: Mapping[str, ServingReport]) -> None:
        """Count what is new since the reports before. The reload thread calls at every change."""
        with self._lock:
            before, self._reports = self._reports, reports
            if before is reports:
                return
            if len(reports) <= MAX_MODELS:
                self._recorder.admit(reports)
            for name, report in reports.items():
                earlier = before.get(name)
                if earlier is not report and earlier != report:
                    self._compare(name, earlier, report)

    def seen(self, cells: Cells) -> SwapCounters:
        """What is known now; cells : what the recorder has counted by now."""
        with self._lock:
            now = time.monotonic()
            if not self._past or now - self._past[-1][0] >= SNAPSHOT_EVERY_S * 0.9:
                self._past.append((now, cells))
            self._close_windows(now)
            if self._surveyed is not self._reports:
                # Not at every change: of thousands of models it takes milliseconds.
                self._surveyed, self._models = self._reports, self._survey(self._reports)
            return SwapCounters(
                swaps={label: dict(each) for label, each in self._swaps.items()},
                stages={
                    stage: Distribution(each.counts.copy(), each.total)
                    for stage, each in self._stages.items()
                },
                n_failed=self._n_failed,
                served={
                    name: served
                    for name in self._recorder.models
                    if (served := self._served_of(name)) is not None
                },
                windows={
                    name: msgspec.structs.replace(each) for name, each in self._windows.items()
                },
                models=self._models,
            )

    def _compare(self, name: str, earlier: ServingReport | None, report: ServingReport) -> None:
        label = self._recorder.shown_as(name)
        known = earlier.quarantined if earlier is not None else {}
        for _ in report.quarantined.keys() - known.keys():
            self._count(label, "quarantined")
        is_new_fault = report.error is not None and (
            earlier is None or report.error != earlier.error
        )
        if is_new_fault and report.error not in report.quarantined.values():
            self._count(label, "try_later")
        receipt, last = report.receipt, earlier.receipt if earlier is not None else None
        if receipt is not None:
            self._look_at_receipt(name, label, receipt, last)

    def _served_of(self, name: str) -> Served | None:
        live = self._table.slot(name).live if name in self._table else None
        if live is None:
            return None
        newest = live.manifest.watermark.newest_record_at
        report = self._reports.get(name)
        receipt = report.receipt if report is not None else None
        is_of_live = receipt is not None and receipt.version == live.version
        return Served(
            version=live.version,
            generation=live.generation,
            previous=receipt.previous if receipt is not None and is_of_live else None,
            trained_at=live.manifest.trained_at.timestamp(),
            watermark=newest.timestamp() if newest is not None else None,
        )

    def _look_at_receipt(
        self, name: str, label: str, receipt: Receipt, last: Receipt | None
    ) -> None:
        is_new = last is None or (last.generation, last.swapped_at) != (
            receipt.generation,
            receipt.swapped_at,
        )
        is_swap = receipt.previous is not None
        if is_new:
            self._count(label, "switched" if is_swap else "opened")
            if is_swap and label == name:
                self._open_window(name, receipt.generation)
        if not is_swap:
            return
        if is_new:
            for stage in _stages(receipt):
                if stage != "drain":
                    self._time(stage, getattr(receipt, f"{stage}_ms"))
        is_drained_now = receipt.drain_ms is not None and (
            is_new or last is None or last.drain_ms is None
        )
        if is_drained_now and receipt.drain_ms is not None:
            self._time("drain", receipt.drain_ms)
            self._n_failed += receipt.requests_failed

    def _count(self, label: str, outcome: str) -> None:
        outcomes = self._swaps.setdefault(label, {})
        outcomes[outcome] = outcomes.get(outcome, 0) + 1

    def _time(self, stage: str, took_ms: float) -> None:
        durations = self._stages.setdefault(stage, Distribution.over(STAGE_BOUNDS_S))
        durations.add(took_ms / 1e3, STAGE_BOUNDS_S)

    def _open_window(self, name: str, generation: int) -> None:
        now, cells = time.monotonic(), self._recorder.cells_of(name)
        older = [each for at, each in self._past if at <= now - WINDOW_S]
        # Younger than the window: everything it has counted lies in it.
        before = _difference(cells, older[-1] if older else {}, name)
        self._windows[name] = window = SwapWindow(generation, before)
        self._open[name] = _OpenWindow(now, cells, window)

    def _survey(self, reports: Mapping[str, ServingReport]) -> ModelsSeen:
        quarantined = [
            name for name, each in reports.items() if each.state == VersionState.QUARANTINED
        ]
        degraded = [name for name, each in reports.items() if each.degraded is not None]
        watermarks = [
            live.manifest.watermark.newest_record_at.timestamp()
            for slot in self._table
            if (live := slot.live) is not None
            and live.manifest.watermark.newest_record_at is not None
        ]
        return ModelsSeen(
            n_registered=len(reports),
            n_loaded=sum(each.version is not None for each in reports.values()),
            n_degraded=len(degraded),
            n_quarantined=len(quarantined),
            degraded=degraded[:_NAMED],
            quarantined=quarantined[:_NAMED],
            oldest_watermark=min(watermarks, default=None),
        )

    def _close_windows(self, now: float) -> None:
        for name, each in list(self._open.items()):
            cells = self._recorder.cells_of(name)
            each.window.after = _difference(cells, each.at_swap, name)
            if now - each.swapped >= WINDOW_S:
                del self._open[name]


def _stages(receipt: Receipt) -> list[str]:
    fields = receipt.__struct_fields__
    return [
        name.removesuffix("_ms")
        for name in fields
        if name.endswith("_ms") and getattr(receipt, name) is not None
    ]


def _difference(cells: Cells, earlier: Cells, model: str) -> dict[int, int]:
    """Requests by bucket that a version of the model answered in between."""
    sums: Cell = [0] * _N_BUCKETS
    for key, cell in cells.items():
        if key[0] == model and key[1]:
            old = earlier.get(key)
            for i in range(_N_BUCKETS):
                sums[i] += cell[i] - (old[i] if old is not None else 0)
    return filled(sums)
