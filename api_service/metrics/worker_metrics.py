"""What a worker counts and serves, as its file holds it, and the sum over workers.

Knows no file and no exposition format.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import msgspec
import psutil

from api_service.metrics.recorder import BOUNDS_S, Cell, Key
from shared.exchange.training_metrics import Distribution

STAGE_BOUNDS_S = (
    *(1e-5, 1e-4, 1e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)


_CLOCK_SLACK_S = 2.0


class Series(msgspec.Struct, array_like=True):
    """One cell of the recorder."""

    model: str
    version: str
    route: str
    status: int
    cell: list[float]


class Served(msgspec.Struct, array_like=True):
    """What a worker serves of one model; times in seconds since 1970, UTC."""

    version: str
    generation: int
    previous: str | None
    trained_at: float
    watermark: float | None


class SwapWindow(msgspec.Struct):
    """Latencies in the seconds before and after the last swap of a model, by bucket."""

    generation: int
    before: dict[int, int]
    after: dict[int, int] | None = None


class ModelsSeen(msgspec.Struct):
    """All models of a worker, counted; of those in trouble the first few hundred by name.

    oldest_watermark : of every version that serves, seconds since 1970.
    """

    n_registered: int = 0
    n_loaded: int = 0
    n_degraded: int = 0
    n_quarantined: int = 0
    degraded: list[str] = []
    quarantined: list[str] = []
    oldest_watermark: float | None = None


class Counted(msgspec.Struct, kw_only=True):
    """What only ever grows.

    swaps : model -> outcome -> number. stages : stage of a swap -> its durations in seconds.
    n_failed_in_swaps : requests that failed while their model was swapped.
    logged : what became of answers for the prediction log -> their number.
    """

    series: list[Series] = []
    swaps: dict[str, dict[str, int]] = {}
    stages: dict[str, Distribution] = {}
    n_failed_in_swaps: int = 0
    n_starts: int = 0
    n_deaths: int = 0
    logged: dict[str, int] = {}


class WorkerMetrics(msgspec.Struct, kw_only=True):
    """One file of one worker.

    id : host, pid and start, so that no two workers ever share it.
    has_ended : it ended as it was asked to.
    """

    id: str
    host: str
    pid: int
    started_at: datetime
    written_at: datetime
    has_ended: bool = False
    in_flight: int = 0
    memory_bytes: int = 0
    watcher_is_well: bool = True
    watcher_sentence: str = ""
    counted: Counted = msgspec.field(default_factory=Counted)
    served: dict[str, Served] = {}
    windows: dict[str, SwapWindow] = {}
    models: ModelsSeen = msgspec.field(default_factory=ModelsSeen)

    @property
    def is_alive(self) -> bool:
        """Whether the process that wrote it still runs; it is of this host."""
        if self.has_ended:
            return False
        try:
            started = psutil.Process(self.pid).create_time()
        except psutil.Error:
            return False
        # A later process may have got the same number.
        return started <= self.started_at.timestamp() + _CLOCK_SLACK_S


class Past(msgspec.Struct, kw_only=True):
    """What dead workers of this host counted. absorbed : ids of the files that are in it."""

    counted: Counted = msgspec.field(default_factory=Counted)
    absorbed: list[str] = []


@dataclass
class Sum:
    """Counters of all workers that ever were, and the workers that run."""

    cells: dict[Key, Cell] = field(default_factory=dict)
    swaps: dict[tuple[str, str], int] = field(default_factory=dict)
    stages: dict[str, Distribution] = field(default_factory=dict)
    n_failed_in_swaps: int = 0
    n_starts: int = 0
    n_deaths: int = 0
    logged: dict[str, int] = field(default_factory=dict)
    running: list[WorkerMetrics] = field(default_factory=list)

    def add(self, counted: Counted) -> None:
        for each in counted.series:
            key = (each.model, each.version, each.route, each.status)
            known = self.cells.get(key)
            self.cells[key] = (
                [a + b for a, b in zip(known, each.cell, strict=True)] if known else each.cell
            )
        for model, outcomes in counted.swaps.items():
            for outcome, n in outcomes.items():
                self.swaps[model, outcome] = self.swaps.get((model, outcome), 0) + n
        for stage, durations in counted.stages.items():
            self.stages.setdefault(stage, Distribution.over(STAGE_BOUNDS_S)).merge(durations)
        self.n_failed_in_swaps += counted.n_failed_in_swaps
        self.n_starts += counted.n_starts
        self.n_deaths += counted.n_deaths
        for outcome, n in counted.logged.items():
            self.logged[outcome] = self.logged.get(outcome, 0) + n

    def counted(self) -> Counted:
        """The counters as a file holds them."""
        swaps: dict[str, dict[str, int]] = {}
        for (model, outcome), n in self.swaps.items():
            swaps.setdefault(model, {})[outcome] = n
        return Counted(
            series=series_of(self.cells),
            swaps=swaps,
            stages=self.stages,
            n_failed_in_swaps=self.n_failed_in_swaps,
            n_starts=self.n_starts,
            n_deaths=self.n_deaths,
            logged=self.logged,
        )

    @property
    def kept_versions(self) -> dict[str, set[str]]:
        """Model -> the versions that some worker serves, and those they replaced."""
        kept: dict[str, set[str]] = {}
        for worker in self.running:
            for model, served in worker.served.items():
                kept.setdefault(model, set()).update(
                    {served.version} | ({served.previous} if served.previous else set())
                )
        return kept


def series_of(cells: dict[Key, Cell]) -> list[Series]:
    """Cells as a file holds them."""
    return [Series(*key, cell) for key, cell in cells.items()]


def filled(cell: Cell) -> dict[int, int]:
    """Bucket -> requests, where there are any."""
    return {i: int(n) for i, n in enumerate(cell[: len(BOUNDS_S) + 1]) if n}
