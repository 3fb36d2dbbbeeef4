"""Options of the chosen candidate are searched within a budget; a search goes on where it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrain_service.evaluation.selection import Selection, select, select_mean
from retrain_service.evaluation.tuning import tune
from shared.errors import SettingsInvalid
from shared.workloads.search_space import Choice, options_of, parts_of, with_options
from shared.workloads.tabular.workload import Tabular
from shared.workloads.training import Progress, TrainingSet
from tests.support.mean_workload import MeanWorkload


class Shifted(MeanWorkload):
    """A mean that is off by the option `off`, best at 0; above 2 it cannot be fitted."""

    candidate_names = ("shifted", "above", "below")
    can_be_averaged = True

    def __init__(self) -> None:
        super().__init__({})
        self.fitted: list[str] = []

    def search_space(self, name: str) -> Mapping[str, Choice]:
        return {"off": Choice(low=-3.0, high=3.0)} if name == "shifted" else {}

    def fit_candidate(self, name: str, train: TrainingSet, seed: int, progress: Progress) -> Any:
        self.fitted.append(name)
        offs = []
        for part in parts_of(name):
            base, options = options_of(part)
            offs.append(options.get("off", {"above": 0.4, "below": -0.4}.get(base, 2.5)))
        assert options_of(name)[1].get("off", 0.0) <= 2.0, "on purpose"
        return {"mean": float(train.target.mean()) + float(np.mean(offs))}


def rows() -> TrainingSet:
    rng = np.random.default_rng(0)
    day = np.repeat(np.datetime64("2026-01-01") + np.arange(60), 4)
    return TrainingSet(np.zeros((240, 1)), rng.normal(10, 0.2, 240), day, np.full(240, "all"), None)


def search(
    workload: Shifted,
    journal: Path,
    *,
    trials: int = 20,
    study: str = "these rows",
    budget_s: float = 1e9,
    chosen: str = "shifted",
    ticks: Iterator[int] | None = None,
) -> Selection:
    ticks = ticks or count()
    return tune(
        workload,
        Selection(chosen, "One candidate.", []),
        rows(),
        0,
        lambda _share, _name: None,
        trials=trials,
        budget_s=budget_s,
        journal=journal,
        study=study,
        clock=lambda: float(next(ticks)),
    )


def test_better_options_are_found_and_what_cannot_be_fitted_is_told(tmp_path: Path) -> None:
    found = search(Shifted(), tmp_path / "m" / "tuning.jsonl")

    base, options = options_of(found.chosen)
    assert base == "shifted"
    assert abs(options["off"]) < 0.7
    assert "Of 20 trials the best:" in found.sentence
    assert any(each.left_out for each in found.scores), "some were above 2"


def test_a_search_that_was_stopped_goes_on(tmp_path: Path) -> None:
    """Trials cost minutes; a daemon that is restarted each day would never come to an end."""
    journal, first, second = tmp_path / "tuning.jsonl", Shifted(), Shifted()
    whole = search(Shifted(), tmp_path / "whole.jsonl", trials=12)

    search(first, journal, trials=7)
    with journal.open("ab") as file:
        file.write(b'{"study": "these ro')
    resumed = search(second, journal, trials=12)

    assert "12 trials, 7 of them by a run before" in resumed.sentence
    assert len({*first.fitted, *second.fitted}) <= 12
    assert options_of(resumed.chosen)[0] == options_of(whole.chosen)[0]


def test_other_rows_begin_a_search_anew_with_the_best_of_before(tmp_path: Path) -> None:
    journal, again = tmp_path / "tuning.jsonl", Shifted()
    before = search(Shifted(), journal)

    found = search(again, journal, trials=1, study="other rows")

    assert again.fitted[0] == before.chosen
    assert "run before" not in found.sentence
    assert len(journal.read_bytes().splitlines()) == 1


def test_the_budget_ends_a_search_and_the_comparison_after_it(tmp_path: Path) -> None:
    """The whole run has a limit of its own, which ends it without any model."""
    workload, ticks = Shifted(), count()

    found = search(workload, tmp_path / "tuning.jsonl", trials=10_000, budget_s=60, ticks=ticks)

    assert next(ticks) <= 65
    assert "the best: shifted" in found.sentence
    assert "no time" not in str(found.scores)


def test_what_has_no_options_stays(tmp_path: Path) -> None:
    found = search(Shifted(), tmp_path / "tuning.jsonl", chosen="above")

    assert found.chosen == "above"
    assert "above has no options to search" in found.sentence


def test_the_mean_of_two_is_taken_where_it_is_surely_better() -> None:
    """One errs above, the other below."""
    workload, train = Shifted(), rows()
    scores = search_scores(workload, ("above", "below"), train)

    found = select_mean(
        workload,
        Selection("above", "Two candidates.", scores),
        train,
        0,
        lambda _share, _name: None,
        budget_s=1e9,
    )

    assert found.chosen == "above + below"


def search_scores(workload: Shifted, names: Sequence[str], train: TrainingSet) -> list[Any]:
    found = select(workload, names, train, 0, lambda _share, _name: None, budget_s=1e9)
    return list(found.scores)


def test_names_say_all_about_a_candidate() -> None:
    name = with_options("ridge", {"b": 1, "alpha": 0.25})

    assert name == 'ridge{"alpha":0.25,"b":1}'
    assert options_of(name) == ("ridge", {"alpha": 0.25, "b": 1})
    assert parts_of(f"{name} + knn") == [name, "knn"]
    with pytest.raises(SettingsInvalid, match="alpha: expected low < high"):
        Tabular(
            {
                "target": "y",
                "features": ["a"],
                "estimator": "ridge",
                "search_space": {"alpha": {"low": 2.0, "high": 1.0}},
            }
        )
