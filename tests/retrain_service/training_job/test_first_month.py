"""An application that is two weeks old: its second version follows the day after the first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.training_runs import Trainings

FIRST = datetime(2026, 1, 1, 9, tzinfo=UTC)


def records(n_days: int, rows_per_day: int = 6) -> list[dict[str, Any]]:
    rng = np.random.default_rng(5)
    a, noise = rng.normal(size=(2, 40 * rows_per_day))
    return [
        {
            "id": str(i),
            "at": (FIRST + timedelta(days=i // rows_per_day, minutes=i % rows_per_day)).isoformat(),
            "a": float(a[i]),
            "y": float(10 + 2 * a[i] + noise[i]),
        }
        for i in range(n_days * rows_per_day)
    ]


def test_each_day_of_the_first_month_brings_a_version_that_knows_that_day(tmp_path: Path) -> None:
    """With a fifth held out, of fourteen days three, nothing was promoted after the first version
    until there were five weeks."""
    parameters = {"target": "y", "time": "at", "estimator": "linear", "features": {"a": {}}}
    trainings = Trainings(tmp_path, "tabular", parameters, "records")

    until = []
    for n_days in (14, 15):
        result = trainings.train(records(n_days), FIRST + timedelta(days=n_days))
        assert result.outcome == "promote", result.reason
        until.append(str(trainings.manifest().fitted_until)[:10])

    assert until == ["2026-01-14", "2026-01-15"]
