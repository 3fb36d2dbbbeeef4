"""How long a served model stays bad after the world has changed, by the engine's own steps.

A table of two numbers and a target that follows from them, one training a day: windows, twin,
gates, refit, and the naive baseline where it is best, as a run does them. Beside it a system that
simply refits on everything each day and asks no gate. True errors are measured on rows of the
day's own world that nobody learns from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from retrain_service.evaluation.scores import Evaluation, Reference, unseen
from retrain_service.evaluation.selection import Selection, select_window
from retrain_service.promotion.decide import Promote, anchor_after, check_data, check_refit, decide
from retrain_service.promotion.newest_days import check_newest_days
from retrain_service.trainer.fit import fit_candidate
from shared.records import Table
from shared.settings.per_model import GateSettings, TrainingSettings
from shared.versions.manifest import BASELINE
from shared.workloads.tabular.workload import Tabular
from shared.workloads.training import TrainingSet

BEFORE_DAYS, ROWS_PER_DAY, N_TRUTH = 60, 10, 400
FIRST_DAY = np.datetime64("2026-01-01", "D")
POLICY = GateSettings()
WINDOWS_DAYS = TrainingSettings().windows_days
TOLERATED = 1.15

Floats = NDArray[np.float64]
Rule = Callable[[Floats, Floats, Floats], tuple[Floats, Floats]]
"""(a, b, days since the change) -> (what is expected of the target, how much it spreads)."""


def _concept(a: Floats, b: Floats, since: Floats) -> tuple[Floats, Floats]:
    return 10 + np.where(since < 0, 2.0, -1.0) * a + b, np.ones_like(a)


def _level(a: Floats, b: Floats, since: Floats) -> tuple[Floats, Floats]:
    return 10 + np.where(since < 0, 0.0, 5.0) + 2 * a + b, np.ones_like(a)


def _drift(a: Floats, b: Floats, since: Floats) -> tuple[Floats, Floats]:
    return 10 + (2 - 3 * np.clip(since / 60, 0, 1)) * a + b, np.ones_like(a)


def _bad_week(a: Floats, b: Floats, since: Floats) -> tuple[Floats, Floats]:
    is_bad = (since >= 0) & (since < 7)
    return 10 + 2 * a + b + np.where(is_bad, 8.0, 0.0), np.where(is_bad, 6.0, 1.0)


def _still(a: Floats, b: Floats, since: Floats) -> tuple[Floats, Floats]:
    return 10 + 2 * a + b, np.ones_like(a)


WORLDS: dict[str, Rule] = {
    "nothing changes": _still,
    "y = 10 + 2a + b, then y = 10 - a + b": _concept,
    "the level rises by 5": _level,
    "the effect of a turns round over 60 days": _drift,
    "one week of bad records": _bad_week,
}


@dataclass(frozen=True, slots=True)
class Recovery:
    """Of the days from the change on; errors are true mean absolute errors.

    ours_days, refit_days : until the served error stays within 15 % of what the best possible
        model of the day's world has, by the engine and by refitting; None: never.
    mean, worst : the served error over that of refitting, on average and on the worst day.
    regret : how much greater the error of a promoted version was than that of what served, worst.
    baseline_days : days on which the naive baseline served.
    """

    ours_days: int | None
    refit_days: int | None
    mean: float
    worst: float
    regret: float
    baseline_days: int


@dataclass(frozen=True, slots=True)
class _Version:
    name: str
    twin: Any
    judged_until: np.datetime64
    served: Any
    trained_on: int


class _Engine:
    """What a run does each day, on rows that were prepared once."""

    def __init__(self, workload: Tabular, rows: TrainingSet) -> None:
        self._workload, self._rows = workload, rows
        self._day = (rows.day - FIRST_DAY).astype(np.int64)
        self.version: _Version | None = None
        self._anchor: _Version | None = None

    def known(self, day: int) -> TrainingSet:
        return self._rows.where(self._day < day)

    def train(self, day: int) -> bool:
        """One run on all that is known before the day; whether it published something."""
        workload, rows = self._workload, self.known(day)
        rows, fine = check_data(
            rows,
            POLICY,
            features=workload.features_of(rows),
            n_records=rows.n_rows,
            now=datetime.fromisoformat(f"{FIRST_DAY + day}T00:00:00+00:00"),
        )
        if isinstance(fine, Promote):
            fine = check_newest_days(rows, workload, POLICY, fine.gates)
        if not isinstance(fine, Promote):
            return False
        train, holdout = workload.split(rows)
        champion, anchor = self.version, self._anchor
        seen_until = train.day.max()
        for rival in (champion, anchor):
            if rival is not None:
                seen_until = max(seen_until, rival.judged_until)
        holdout = unseen(holdout, seen_until)
        if not holdout.n_rows:
            return False
        name = select_window(
            workload,
            Selection("default", ""),
            train,
            0,
            _nobody,
            lengths_days=WINDOWS_DAYS,
            budget_s=600.0,
        ).chosen
        twin = fit_candidate(workload, name, train, 0, _nobody).estimator
        evaluation = Evaluation(
            workload.score(twin, holdout),
            workload.score_baseline(holdout),
            self._reference(champion, "champion", holdout, day),
            self._reference(anchor, "anchor", holdout, day),
            can_serve_baseline=True,
        )
        verdict = decide(evaluation, POLICY)
        if not isinstance(verdict, Promote):
            return False
        if verdict.serves_baseline:
            name, evaluation = BASELINE, evaluation.of_baseline
            twin = fit_candidate(workload, name, train, 0, _nobody).estimator
        served = fit_candidate(workload, name, rows, 0, _nobody).estimator
        seen = workload.score(served, holdout)
        if not isinstance(check_refit(holdout, evaluation, seen, POLICY, ()), Promote):
            return False
        self.version = _Version(name, twin, train.day.max(), served, day)
        if anchor is None or anchor_after(evaluation, POLICY) == evaluation.version:
            self._anchor = self.version
        return True

    def _reference(
        self, version: _Version | None, role: str, holdout: TrainingSet, day: int
    ) -> Reference | None:
        if version is None:
            return None
        return Reference(
            role,
            self._workload.score(version.twin, holdout),
            age_days=float(day - version.trained_on),
            is_baseline=version.name == BASELINE,
        )


def recovery(rule: Rule, n_days: int, seed: int, every_days: int = 1) -> Recovery:
    """Let a world change after 60 days and train each day, or each `every_days`, for `n_days`."""
    rng = np.random.default_rng(seed)
    workload = Tabular(
        {"target": "y", "time": "at", "estimator": "linear", "features": {"a": {}, "b": {}}}
    )
    rows = workload.training_set({"records": _records(rule, BEFORE_DAYS + n_days, rng)})
    a, b = rng.normal(size=(2, N_TRUTH))
    engine = _Engine(workload, rows)
    engine.train(BEFORE_DAYS)
    ours, refits, best, regret, n_baseline = [], [], [], 0.0, 0
    for since in range(1, n_days + 1, every_days):
        day = BEFORE_DAYS + since
        truth = _truth(rule, rows, a, b, since if rule is not _bad_week else max(since, 7), rng)
        before = engine.version
        if engine.train(day) and before is not None and engine.version is not None:
            old, new = (
                workload.score(version.served, truth).metrics["mae"]
                for version in (before, engine.version)
            )
            regret = max(regret, new / old - 1)
        assert engine.version is not None
        simple = fit_candidate(workload, "default", engine.known(day), 0, _nobody).estimator
        ours.append(workload.score(engine.version.served, truth).metrics["mae"])
        refits.append(workload.score(simple, truth).metrics["mae"])
        best.append(np.sqrt(2 / np.pi))  # of normal errors of variance 1
        n_baseline += engine.version.name == BASELINE
    ratio = np.array(ours) / np.array(refits)
    return Recovery(
        _until(np.array(ours), np.array(best), every_days),
        _until(np.array(refits), np.array(best), every_days),
        float(ratio.mean()),
        float(ratio.max()),
        regret,
        n_baseline * every_days,
    )


def _records(rule: Rule, n_days: int, rng: np.random.Generator) -> Table:
    a, b = rng.normal(size=(2, n_days * ROWS_PER_DAY))
    day = np.repeat(np.arange(n_days), ROWS_PER_DAY)
    expected, spread = rule(a, b, (day - BEFORE_DAYS).astype(np.float64))
    y = expected + spread * rng.normal(size=a.size)
    at = FIRST_DAY.astype("datetime64[m]") + day * 1440 + np.arange(day.size) % ROWS_PER_DAY
    columns = zip(at.tolist(), a.tolist(), b.tolist(), y.tolist(), strict=True)
    bodies = [
        msgspec.json.encode({"at": f"{moment.isoformat()}Z", "a": one, "b": other, "y": target})
        for moment, one, other, target in columns
    ]
    us = at.astype("datetime64[us]").astype(np.int64).tolist()
    return Table("records", [str(i) for i in range(day.size)], us, bodies)


def _truth(
    rule: Rule, rows: TrainingSet, a: Floats, b: Floats, since: int, rng: np.random.Generator
) -> TrainingSet:
    expected, spread = rule(a, b, np.full(a.size, float(since)))
    day = np.full(a.size, FIRST_DAY + BEFORE_DAYS + since)
    return replace(
        rows,
        features=np.stack([a, b], axis=1),
        target=expected + spread * rng.normal(size=a.size),
        day=day,
        slices=np.full(a.size, "all", dtype=np.str_),
        key=None,
    )


def _until(error: Floats, best: Floats, every_days: int) -> int | None:
    """Days until it stays within what is tolerated; single days of noise do not count."""
    smooth = np.convolve(error / best, np.ones(3) / 3, "valid")
    bad = np.flatnonzero(smooth > TOLERATED)
    if bad.size and bad[-1] == smooth.size - 1:
        return None
    return int(bad[-1] + 2) * every_days if bad.size else 0


def _nobody(_share: float, _stage: str) -> None:
    return None
