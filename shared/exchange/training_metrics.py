"""The retrain daemon's metrics file: its place on disk and the counters in it.

Values and their reading; counts nothing itself. One writer per file: each API worker writes
its own, the API's main process the sum of the dead ones, the retrain daemon `retrain.json`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

FOLDER = "metrics"
TRAINING_METRICS_NAME = "retrain.json"
DURATION_BOUNDS_S = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 24 * 3600.0)


def metrics_dir(reports_dir: Path) -> Path:
    """The folder of metrics files; a folder of its own, so that nobody takes them for reports."""
    return reports_dir / FOLDER


class Distribution(msgspec.Struct):
    """Counts between bounds, and the sum of what was counted.

    counts : (n_bounds + 1,), counts[i] : values in (bounds[i-1], bounds[i]]; the last: above all.
    """

    counts: list[int]
    total: float = 0.0

    @classmethod
    def over(cls, bounds: Sequence[float]) -> Distribution:
        return cls([0] * (len(bounds) + 1))

    def add(self, value: float, bounds: Sequence[float]) -> None:
        self.counts[bisect_left(bounds, value)] += 1
        self.total += value

    def merge(self, other: Distribution) -> None:
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


class ModelTrainings(msgspec.Struct):
    """What became of the runs of one configured model, all its entities together.

    runs : outcome (promoted, rejected, skipped, failed, cancelled, abandoned) -> number.
    seconds : how long runs took that trained, over DURATION_BOUNDS_S.
    refusals : gate -> how often it was the one that stopped a version.
    failures_in_a_row : trained name -> failed runs since the last one that came to a verdict.
    """

    runs: dict[str, int] = {}
    seconds: Distribution = msgspec.field(
        default_factory=lambda: Distribution.over(DURATION_BOUNDS_S)
    )
    refusals: dict[str, int] = {}
    failures_in_a_row: dict[str, int] = {}
    last_success_at: datetime | None = None


class TrainingMetrics(msgspec.Struct):
    """`reports/metrics/retrain.json`: sums over the ordered log up to the event `last_seq`.

    notifications : outcome (sent, failed, dropped) -> messages to people.
    """

    last_seq: int = 0
    models: dict[str, ModelTrainings] = {}
    notifications: dict[str, int] = {}


def read_training_metrics(reports_dir: Path) -> TrainingMetrics:
    """The retrain daemon's counters; empty ones where there are none that can be read."""
    try:
        content = (metrics_dir(reports_dir) / TRAINING_METRICS_NAME).read_bytes()
        return msgspec.json.decode(content, type=TrainingMetrics)
    except (OSError, msgspec.DecodeError):
        return TrainingMetrics()
