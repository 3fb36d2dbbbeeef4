"""No part, device or class may get much worse while the mean improves."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from retrain_service.evaluation.day_blocks import totals
from retrain_service.promotion.slice_gate import judge_slices
from shared.settings.per_model import GateSettings
from shared.workloads.training import Score
from tests.support.scores import a_score, noisy

POLICY = GateSettings()
PARTS = tuple(f"part {i}" for i in range(10))
N_DAYS = 40


def with_one_part(factor: float, *, n_parts: int = 10, seed: int = 0) -> tuple[Score, Score]:
    """Candidate and champion; part 3's errors are `factor` times the champion's."""
    parts = PARTS[:n_parts]
    champion = noisy(5.0, N_DAYS, n_parts, seed)
    candidate = champion * 0.95 * noisy(1.0, N_DAYS, n_parts, seed + 1) ** 0.1
    scores = [
        a_score(loss, N_DAYS, rows_per_day=n_parts, slices=parts) for loss in (candidate, champion)
    ]
    worse = scores[0].slices == "part 3"
    scores[0].loss[worse] = champion[worse] * factor
    return scores[0], scores[1]


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1.0, "passed"), (1.4, "passed"), (1.5, "passed"), (2.0, "failed")]
)
def test_a_part_that_is_surely_much_worse_stops_a_better_mean(factor: float, verdict: str) -> None:
    """Nobody who needs that part is consoled by the others."""
    found = judge_slices(*with_one_part(factor), POLICY)

    assert found.verdict == verdict


def test_the_sentence_names_the_worst_slice() -> None:
    """The first question is: which one?"""
    found = judge_slices(*with_one_part(2.0), POLICY)

    assert "of 10 slices the worst is 'part 3'" in found.sentence.lower()
    assert "(+100 %) on 40 rows" in found.sentence
    assert found.value == pytest.approx(2.0)
    assert found.bound == 1.5


def test_chance_among_many_slices_stops_nothing() -> None:
    """Of 400 parts with few rows each some always look much worse; none of them is."""
    parts = [f"part {i}" for i in range(400)]
    strict = GateSettings(slice_tolerance=0.01)
    n_stopped = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        champion, candidate = (
            a_score(rng.exponential(5.0, 8000), 20, rows_per_day=400, slices=parts)
            for _ in range(2)
        )
        ratios = [
            candidate.loss[candidate.slices == part].mean()
            / champion.loss[champion.slices == part].mean()
            for part in parts
        ]
        assert max(ratios) > 1.8
        n_stopped += judge_slices(candidate, champion, strict).verdict == "failed"

    assert n_stopped <= 2


def test_a_slice_with_few_rows_has_no_say() -> None:
    """Three bad days of a part that is used three times a year prove nothing."""
    candidate, champion = with_one_part(5.0)
    few = (candidate.slices != "part 3") | (np.arange(candidate.loss.shape[0]) < 190)

    def only(score: Score) -> Score:
        return Score(score.loss[few], score.day[few], score.slices[few], {}, "pieces")

    assert judge_slices(only(candidate), only(champion), POLICY).verdict == "passed"


def test_from_almost_nothing_to_a_little_is_not_many_times_worse() -> None:
    """An error of 0.01 pieces where there was none matters to nobody."""
    candidate, champion = with_one_part(1.0)
    candidate.loss[candidate.slices == "part 3"] = 0.01
    champion.loss[champion.slices == "part 3"] = 0.0

    assert judge_slices(candidate, champion, POLICY).verdict == "passed"


@pytest.mark.parametrize(
    ("settings", "n_parts"), [({"slice_tolerance": 0}, 10), ({}, 1), ({"min_slice_rows": 999}, 10)]
)
def test_nothing_to_look_at_is_said(settings: dict[str, float], n_parts: int) -> None:
    """Skipped is not passed: the log tells them apart."""
    score = a_score(5.0, N_DAYS, rows_per_day=n_parts, slices=PARTS[:n_parts])

    found = judge_slices(score, score, GateSettings.model_validate(settings))

    assert found.verdict == "skipped"


def test_bad_days_in_a_row_count_as_few_when_errors_last() -> None:
    """Without blocks one bad week of a part passes for seven proofs; `block_days` is set where
    errors come in waves, and it holds for slices as well."""
    wave = np.tile([1.0] * 14 + [4.0] * 6, 2)[:, None] * np.array([1.0, 0.25])
    candidate = a_score(wave.ravel() * 5.0, N_DAYS, rows_per_day=2, slices=("a", "b"))
    champion = a_score(5.0, N_DAYS, rows_per_day=2, slices=("a", "b"))
    policy = {"slice_tolerance": 0.2, "min_slice_rows": 20}

    verdicts = [
        judge_slices(
            candidate, champion, GateSettings.model_validate({**policy, "block_days": days})
        ).verdict
        for days in (1, 10)
    ]

    assert verdicts == ["failed", "passed"]


def test_the_test_of_one_day_blocks_is_students_t_test_of_the_days() -> None:
    """The figures of docs/promotion.md were measured with it."""
    values = noisy(1.0, N_DAYS, seed=3) - 0.9
    group = np.zeros(N_DAYS, dtype=np.int64)

    found = totals(group, a_score(values, N_DAYS).day, values, 1)

    expected = scipy.stats.ttest_1samp(values, 0.0, alternative="greater").pvalue
    assert found.p_positive()[0] == pytest.approx(expected)
