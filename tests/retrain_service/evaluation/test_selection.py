"""Which of a workload's candidates a run sends through the gates, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
import pytest

from retrain_service.evaluation.selection import Selection, select
from retrain_service.trainer.candidates import candidates_for
from shared.errors import SettingsInvalid
from shared.workloads.training import Progress, TrainingSet
from tests.support.mean_workload import MeanWorkload

_MEMORY_MB = 300


class FourMeans(MeanWorkload):
    """Means that are off by so much; one that fails, and one that costs memory."""

    candidate_names = ("off_by_2", "broken", "heavy", "exact", "off_by_1")

    def fit_candidate(self, name: str, train: TrainingSet, seed: int, progress: Progress) -> Any:
        assert name != "broken", "on purpose"
        progress(0.5, name)
        held = np.ones(_MEMORY_MB * 125_000) if name == "heavy" else np.zeros(1)
        off = {"off_by_2": 2.0, "off_by_1": 1.0, "heavy": -0.0001}.get(name, 0.0)
        return {"mean": float(train.target.mean()) + off * held[-1 if off < 0 else 0] + off}


def rows(n_days: int = 60, per_day: int = 4) -> TrainingSet:
    rng = np.random.default_rng(0)
    day = np.repeat(np.datetime64("2026-01-01") + np.arange(n_days), per_day)
    n = day.size
    return TrainingSet(np.zeros((n, 1)), rng.normal(10, 1, n), day, np.full(n, "all"))


def choose(
    names: Sequence[str], train: TrainingSet, budget_s: float = 1e9, clock: Any = None
) -> Selection:
    ticks: Iterator[int] = count()
    return select(
        FourMeans({}),
        names,
        train,
        0,
        lambda _share, _name: None,
        budget_s=budget_s,
        clock=clock or (lambda: float(next(ticks))),
    )


@pytest.mark.parametrize(
    ("names", "n_days", "budget_s", "chosen", "left_out"),
    [
        (["off_by_2", "exact", "off_by_1"], 60, 1e9, "exact", []),
        (["off_by_2", "broken", "exact"], 60, 1e9, "exact", ["broken"]),
        (["off_by_2", "exact"], 9, 1e9, "off_by_2", []),  # too short to compare on
        (["off_by_2", "off_by_1", "exact"], 60, 18, "off_by_2", ["off_by_1", "exact"]),
        (["broken", "exact"], 60, 1, "broken", ["broken", "exact"]),  # its fit says why it failed
        (["exact", "heavy"], 60, 1e9, "exact", []),
        (["off_by_1", "heavy"], 60, 1e9, "heavy", []),  # costly, but surely better
        (["off_by_2"], 60, 1e9, "off_by_2", []),
    ],
)
def test_the_best_candidate_is_chosen_unless_it_costs_much_more(
    names: list[str], n_days: int, budget_s: float, chosen: str, left_out: list[str]
) -> None:
    """A run never ends for lack of a choice: the first candidate is always there."""
    selection = choose(names, rows(n_days), budget_s)

    assert selection.chosen == chosen
    assert [each.name for each in selection.scores if each.left_out] == left_out
    assert chosen in selection.sentence


@pytest.mark.parametrize(("slow_s", "chosen"), [(1.0, "exact"), (100.0, "off_by_1")])
def test_what_takes_much_longer_has_to_be_better_by_more(slow_s: float, chosen: str) -> None:
    """An hour of fitting for a thousandth is no bargain."""
    now_s = 0.0

    class OneIsSlow(FourMeans):
        def fit_candidate(self, name: str, train: TrainingSet, *_: Any) -> Any:
            nonlocal now_s
            now_s += slow_s if name == "exact" else 1.0
            return {"mean": float(train.target.mean()) + (0.03 if name == "exact" else 0.05)}

    found = select(
        OneIsSlow({}),
        ["off_by_1", "exact"],
        rows(),
        0,
        lambda _share, _name: None,
        budget_s=1e9,
        clock=lambda: now_s,
    )

    assert found.chosen == chosen, found.sentence


def test_candidates_are_compared_on_days_that_their_fit_has_not_seen() -> None:
    """Else the one that learns by heart would win."""
    train = rows()
    origins = FourMeans({}).origins(train)

    assert len(origins) == 3
    for past, following in origins:
        assert past.day.max() < following.day.min()
        assert past.n_days >= train.n_days // 2 - 1
    assert max(following.day.max() for _, following in origins) == train.day.max()


def test_a_candidate_that_the_workload_does_not_have_is_refused_by_name() -> None:
    """A misspelt name must not mean that something else is served."""
    with pytest.raises(SettingsInvalid, match=r"off_by_2, broken.*found exakt"):
        candidates_for(FourMeans({}), rows(), ["exact", "exakt"])

    assert candidates_for(FourMeans({}), rows(), ["off_by_1", "exact"]) == ["exact", "off_by_1"]
