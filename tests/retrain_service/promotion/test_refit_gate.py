"""How far the refit may be from its twin, with real estimators on a world that changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from retrain_service.promotion.gate_result import GateResult
from retrain_service.promotion.refit_gate import judge_refit
from shared.settings.per_model import GateSettings
from shared.workloads import open_workload
from shared.workloads.training import Score, TrainingSet
from tests.shared.workloads.tabular.flats import no_progress, tables

N_DAYS, N_HELD_OUT = 112, 28


def world(factor: float, n_changed: int, *, label: bool = False) -> list[dict[str, Any]]:
    """A target of 100 with some noise, and of `factor` times that in the newest days; the number
    of the day is a column, so that an estimator can learn that something has changed."""
    dice = np.random.default_rng(5)
    found = []
    for i in range(N_DAYS * 5):
        day = i // 5
        value = (100 + dice.normal(0, 5)) * (factor if day >= N_DAYS - n_changed else 1)
        at = str(np.datetime64("2026-01-01") + day)
        target = ("high" if value > 100 else "low") if label else round(float(value), 2)
        found.append({"at": at, "day": day, "x": float(dice.normal()), "y": target})
    return found


def judged(
    records: list[dict[str, Any]],
    *,
    task: str | None = "regression",
    changes: Mapping[str, Any] = MappingProxyType({}),
    **gate: Any,
) -> GateResult:
    parameters = {
        "target": "y",
        "features": ["day", "x"],
        "time": "at",
        "task": task,
        "estimator": "random_forest",
        "estimator_options": {"n_estimators": 10, "n_jobs": 1, "min_samples_leaf": 5},
        **changes,
    }
    workload = open_workload("tabular", parameters)
    rows = workload.training_set(tables(records))
    is_held_out = rows.day > rows.day.max() - np.timedelta64(N_HELD_OUT, "D")
    holdout = rows.where(is_held_out)
    twin = workload.fit(rows.where(~is_held_out), 1, no_progress)
    refit = workload.fit(rows, 1, no_progress)
    return judge_refit(
        holdout,
        workload.score(twin, holdout),
        workload.score(refit, holdout),
        GateSettings.model_validate(gate),
        workload.score_baseline(holdout).error,
    )


@pytest.mark.parametrize(
    ("factor", "n_changed", "verdict"),
    [
        (1.0, 0, "passed"),
        (1.3, 7, "passed"),
        (0.7, 28, "passed"),
        (1.45, 28, "passed"),
        (10.0, 7, "failed"),
        (10.0, 28, "failed"),
        (0.0, 7, "failed"),
    ],
)
def test_a_level_may_shift_but_not_become_another_thing(
    factor: float, n_changed: int, verdict: str
) -> None:
    """It is the second lock: the first one, before the fit, may have been opened by a setting."""
    found = judged(world(factor, n_changed))

    assert found.verdict == verdict, found.sentence
    assert "differs from its twin by" in found.sentence
    assert ("max_refit_change once" in found.sentence) == (verdict == "failed")


def test_a_classifier_may_not_turn_over_either() -> None:
    """Of a classifier the probability of what was true is compared."""
    as_ever = judged(world(1.0, 0, label=True), task="classification")
    turned = judged(world(9.0, 7, label=True), task="classification", max_refit_change=0.2)

    assert (as_ever.verdict, turned.verdict) == ("passed", "failed")


def test_what_is_worse_on_rows_that_it_has_seen_was_not_fitted_well() -> None:
    """A fit that ran into nothing, or was stopped half way, answers worse than its twin."""
    day = np.arange("2026-01-01", "2026-01-15", dtype="datetime64[D]")
    rows = TrainingSet(np.zeros((14, 1)), np.full(14, 10.0), day, np.full(14, "all"))

    def score(predicted: float) -> Score:
        loss = np.full(14, abs(predicted - 10))
        return Score(loss, day, rows.slices, {}, "m", np.full(14, predicted), scale=10.0)

    def verdict(twin: float, refit: float, **gate: Any) -> str:
        policy = GateSettings.model_validate(gate)
        return judge_refit(rows, score(twin), score(refit), policy).verdict

    assert verdict(9.0, 8.95) == "passed"
    assert verdict(9.0, 8.8) == "failed"
    assert verdict(9.0, 8.8, max_regression=0.5) == "passed"
    assert verdict(9.0, float("nan")) == "failed"
    assert verdict(9.0, 1.0, max_refit_change=0) == "skipped"
    no_numbers = replace(score(9.0), prediction=None)
    assert judge_refit(rows, no_numbers, no_numbers, GateSettings()).verdict == "passed"


def _noisy(kind: str, seed: int) -> list[dict[str, Any]]:
    """120 rows of 60 days: labels that a line separates, labels by chance, numbers around 0."""
    dice = np.random.default_rng(seed)
    found = []
    for i in range(120):
        a, b = dice.normal(size=2).tolist()
        target = {
            "separable": "yes" if a + b > 0 else "no",
            "chance of two": "yes" if dice.random() < 0.5 else "no",
            "chance of eight": "abcdefgh"[int(dice.integers(8))],
            "around 0": float(dice.normal() + 0.3 * a),
        }[kind]
        at = str(np.datetime64("2026-01-01") + i // 2)
        found.append({"at": at, "day": a, "x": b, "y": target})
    return found


@pytest.mark.parametrize(
    ("kind", "estimator", "options"),
    [
        ("separable", "logistic_regression", {"C": 1e9}),
        ("separable", "mlp", {"early_stopping": False, "alpha": 0.0}),
        ("chance of two", "knn", {"n_neighbors": 1}),
        ("chance of eight", "decision_tree", {}),
        ("around 0", "decision_tree", {}),
        ("around 0", "knn", {"n_neighbors": 1}),
    ],
)
def test_a_refit_that_knows_rows_by_heart_is_no_other_thing(
    kind: str, estimator: str, options: dict[str, Any]
) -> None:
    """The nearest row of a row that was learnt is itself: its answer is right where the twin's was
    by chance. And of two that are nearly always right, one errs ten times more."""
    changes = {"estimator": estimator, "estimator_options": options}

    found = [judged(_noisy(kind, seed), task=None, changes=changes) for seed in range(3)]

    assert [each.verdict for each in found] == ["passed"] * 3, found[0].sentence
