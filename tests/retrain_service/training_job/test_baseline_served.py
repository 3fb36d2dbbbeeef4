"""When the world changes, the best of what there is serves, be it the naive baseline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.loading.open_version import load_estimator, read_state
from shared.versions.manifest import BASELINE
from shared.versions.verified_versions import VerifiedVersions
from shared.workloads import open_workload
from tests.support.training_runs import Trainings

FIRST = datetime(2026, 1, 1, 9, tzinfo=UTC)
CHANGE = 60
PARAMETERS = {"target": "y", "time": "at", "estimator": "linear", "features": {"a": {}, "b": {}}}


def records(n_days: int, rows_per_day: int = 10) -> list[dict[str, Any]]:
    """y = 10 + 2a + b for sixty days, then y = 10 - a + b."""
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=(2, n_days * rows_per_day))
    day = np.repeat(np.arange(n_days), rows_per_day)
    y = 10 + np.where(day < CHANGE, 2.0, -1.0) * a + b + 0.1 * rng.normal(size=a.size)
    return [
        {
            "id": str(i),
            "at": (FIRST + timedelta(days=int(day[i]), minutes=i % rows_per_day)).isoformat(),
            "a": float(a[i]),
            "b": float(b[i]),
            "y": float(y[i]),
        }
        for i in range(a.size)
    ]


def test_the_baseline_serves_when_it_is_surely_the_best_until_a_model_surely_beats_it(
    tmp_path: Path,
) -> None:
    """Refusing each successor because it is worse than guessing kept what was worse than both."""
    trainings = Trainings(tmp_path, "tabular", PARAMETERS, "records")

    def train(n_days: int, **options: Any) -> Any:
        return trainings.train(records(n_days), FIRST + timedelta(days=n_days), **options)

    assert train(CHANGE).outcome == "promote"
    changed = train(CHANGE + 20)

    assert changed.outcome == "promote", changed.reason
    assert changed.reason.startswith("The naive baseline is served: its error ")
    assert changed.details["candidate"] == BASELINE
    manifest = trainings.manifest()
    assert manifest.is_baseline
    assert manifest.metrics["candidate"] == manifest.metrics["baseline"]
    versions = VerifiedVersions(trainings.store, trainings.key.verify_key)
    files = versions.verify("m", manifest.version).files
    workload = open_workload("tabular", PARAMETERS)
    answerer = workload.open(load_estimator(files), read_state(files))
    now = FIRST + timedelta(days=90)
    answer = answerer.answer("predict", {"instances": [{"a": 3.0, "b": 0.0}]}, now)
    mean = float(np.mean([record["y"] for record in records(CHANGE + 20)]))
    assert answer["predictions"] == pytest.approx([mean])
    assert answer["low"][0] < mean < answer["high"][0], "its errors are known like any other's"

    recovered = train(CHANGE + 60, days=50)

    assert recovered.outcome == "promote", recovered.reason
    assert not trainings.manifest().is_baseline
    assert "it must be better" in recovered.reason
