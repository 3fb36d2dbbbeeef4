"""How long a history is learnt from, where the world has changed and where it has not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrain_service.evaluation.selection import Selection, select_window
from retrain_service.trainer.fit import fit_candidate
from retrain_service.trainer.windows import cut, newest_origins, windowed
from shared.workloads.training import TrainingSet
from tests.support.mean_workload import MeanWorkload

FIRST = np.datetime64("2026-01-01", "D")


def rows(n_days: int, change: int, step: float, rows_per_day: int = 4) -> TrainingSet:
    """Values around 10 that are higher by `step` from day `change` on."""
    day = np.repeat(np.arange(n_days), rows_per_day)
    noise = np.random.default_rng(3).normal(size=day.size)
    value = 10.0 + noise + np.where(day >= change, step, 0.0)
    return TrainingSet(value[:, None], value, FIRST + day, np.full(day.size, "all", dtype=np.str_))


def chosen(found: TrainingSet, **options: Any) -> str:
    return select_window(
        MeanWorkload({}),
        Selection("default", "the only candidate."),
        found,
        0,
        lambda *_: None,
        **{"lengths_days": (14, 30, 90), "budget_s": 60.0, **options},
    ).chosen


@pytest.mark.parametrize(
    ("n_days", "change", "step", "options", "expected"),
    [
        (120, 60, 5.0, {}, {"default@14d", "default@30d"}),
        (120, 60, 0.0, {}, {"default"}),
        (120, 60, 5.0, {"lengths_days": ()}, {"default"}),
        (120, 60, 5.0, {"lengths_days": (100,)}, {"default"}),  # leaves hardly anything out
        (20, 10, 5.0, {}, {"default"}),  # too short to tell
    ],
)
def test_a_window_is_taken_where_the_world_has_changed_and_nowhere_else(
    n_days: int, change: int, step: float, options: dict[str, Any], expected: set[str]
) -> None:
    """What was true once teaches what is wrong now; in a still world more rows teach more."""
    assert chosen(rows(n_days, change, step), **options) in expected


def test_a_windowed_candidate_is_fitted_on_the_newest_days_alone() -> None:
    """Under its name the refit takes the newest days of all rows, and so does each later run."""
    found = rows(60, 40, 5.0)
    base, newest = cut("default@14d", found)

    fitted = fit_candidate(MeanWorkload({}), "default@14d", found, 0, lambda *_: None)

    assert (base, newest.n_days, str(newest.day.min())) == ("default", 14, "2026-02-16")
    assert fitted.name == "default@14d"
    assert fitted.estimator["mean"] == pytest.approx(float(newest.target.mean()))
    assert cut("default", found)[1] is found


def test_origins_are_the_newest_two_weeks_and_windows_are_shorter_than_the_history() -> None:
    """Only the newest days tell of a change."""
    found = rows(60, 40, 0.0)

    assert [(past.n_days, following.n_days) for past, following in newest_origins(found)] == [
        (46, 7),
        (53, 7),
    ]
    assert newest_origins(rows(27, 1, 0.0)) == []
    assert windowed("ridge", found, (365, 30, 14, 41)) == ["ridge@14d", "ridge@30d"]
