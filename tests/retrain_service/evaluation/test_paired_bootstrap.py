"""The comparison that the gates rest on: its laws, and the distribution it leans on."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain_service.evaluation.paired_bootstrap import compare, fewest_days, students_t
from retrain_service.promotion.decide import Promote, decide
from shared.settings.per_model import GateSettings
from shared.workloads.training import Score
from tests.support.scores import a_score, an_evaluation, noisy

POLICY = GateSettings()
seeds = st.integers(0, 2**32 - 1)
day_counts = st.integers(7, 40)
rows_a_day = st.integers(1, 6)


def two(n_days: int, rows: int, seed: int) -> tuple[Score, Score]:
    return (
        a_score(noisy(5.0, n_days, rows, seed), n_days, rows_per_day=rows),
        a_score(noisy(5.2, n_days, rows, seed + 1), n_days, rows_per_day=rows),
    )


def reordered(score: Score, order: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Score:
    return Score(score.loss[order], score.day[order], score.slices[order], {}, "pieces")


@given(day_counts, rows_a_day, seeds)
@settings(max_examples=50, deadline=None)
def test_a_model_that_is_equal_to_the_champion_is_promoted(
    n_days: int, rows: int, seed: int
) -> None:
    """However noisy the days are: the noise is the same for both."""
    n_rows = n_days * rows
    score = a_score(noisy(5.0, n_days, rows, seed), n_days, rows_per_day=rows)

    decided = decide(an_evaluation(score, champion=score, anchor=score), POLICY, seed=seed)

    assert isinstance(decided, Promote) == (n_rows >= POLICY.min_holdout_rows)


@given(day_counts, rows_a_day, seeds)
@settings(max_examples=50, deadline=None)
def test_the_order_of_rows_does_not_matter(n_days: int, rows: int, seed: int) -> None:
    """Rows have no order within a day, and a database none at all."""
    candidate, champion = two(n_days, rows, seed)
    order = np.random.default_rng(seed).permutation(n_days * rows)

    one = compare(candidate, champion, confidence=0.95, seed=seed)
    other = compare(
        reordered(candidate, order), reordered(champion, order), confidence=0.95, seed=seed
    )

    assert (one.ratio, one.upper) == pytest.approx((other.ratio, other.upper))


@given(day_counts, rows_a_day, seeds, st.floats(1e-6, 1e6))
@settings(max_examples=50, deadline=None)
def test_the_unit_of_the_error_does_not_matter(
    n_days: int, rows: int, seed: int, factor: float
) -> None:
    """Watts or kilowatts: the same verdict."""
    candidate, champion = two(n_days, rows, seed)
    scaled = [
        Score(score.loss * factor, score.day, score.slices, {}, "other")
        for score in (candidate, champion)
    ]

    one = compare(candidate, champion, confidence=0.95, seed=seed)
    other = compare(scaled[0], scaled[1], confidence=0.95, seed=seed)

    assert (one.ratio, one.upper) == pytest.approx((other.ratio, other.upper))


@given(day_counts, rows_a_day, seeds)
@settings(max_examples=50, deadline=None)
def test_more_certainty_never_lowers_the_bound(n_days: int, rows: int, seed: int) -> None:
    """And the bound is never below what was measured, for a confidence worth the name."""
    candidate, champion = two(n_days, rows, seed)

    bounds = [
        compare(candidate, champion, confidence=confidence, seed=seed).upper
        for confidence in (0.8, 0.9, 0.95, 0.99)
    ]

    assert bounds == sorted(bounds)
    assert bounds[0] >= compare(candidate, champion, confidence=0.8, seed=seed).ratio * 0.97


def test_the_same_seed_gives_the_same_bound() -> None:
    """A verdict that changes when it is asked again is no verdict."""
    candidate, champion = two(20, 3, 1)

    bounds = {compare(candidate, champion, confidence=0.95, seed=5).upper for _ in range(3)}

    assert len(bounds) == 1


def test_blocks_of_days_that_go_together_give_a_wider_bound() -> None:
    """Ten bad days in a row are closer to one observation than to ten."""
    waves = 1 + 0.8 * np.sin(np.arange(60) / 5)
    candidate, champion = a_score(5 * waves, 60), a_score(5.0, 60)

    single = compare(candidate, champion, confidence=0.95, block_days=1).upper
    blocks = compare(candidate, champion, confidence=0.95, block_days=7).upper

    assert blocks > single


def on_days(score: Score, days: list[int]) -> Score:
    return Score(score.loss, score.day[0] + np.array(days), score.slices, {}, "pieces")


def test_blocks_are_of_the_calendar_and_not_of_the_array() -> None:
    """Deliveries once a week, errors that last for days: each delivery stands for itself."""
    daily = [a_score(noisy(mean, 12, seed=seed), 12) for mean, seed in ((5.0, 1), (5.2, 2))]
    weekly = [on_days(score, list(range(0, 84, 7))) for score in daily]

    singly = compare(*daily, confidence=0.95, block_days=1)
    by_week = compare(*weekly, confidence=0.95, block_days=7)

    assert by_week.n_days_missing == 0
    assert by_week.upper == pytest.approx(singly.upper, rel=0.05)


def test_a_block_does_not_reach_across_a_gap() -> None:
    """A good day of April makes no bad one of January harmless by standing next to it."""
    candidate, champion = a_score(np.array([8.0, 4.0] * 10), 20), a_score(6.0, 20)
    days = list(range(0, 600, 30))

    daily = compare(candidate, champion, confidence=0.95, block_days=2)
    monthly = compare(
        *(on_days(score, days) for score in (candidate, champion)), confidence=0.95, block_days=2
    )

    assert daily.upper == pytest.approx(1.0, abs=0.01)  # each block has a good and a bad day
    assert monthly.upper > 1.1


@pytest.mark.parametrize(
    ("confidence", "block_days", "days"), [(0.5, 1, 2), (0.9, 1, 4), (0.95, 1, 5), (0.95, 7, 35)]
)
def test_a_bound_needs_enough_days_to_be_one(confidence: float, block_days: int, days: int) -> None:
    """Below that the bound is infinite, not a guess."""
    scores = [a_score(5.0, n) for n in (days - 1, days)]

    bounds = [
        compare(score, score, confidence=confidence, block_days=block_days).upper
        for score in scores
    ]

    assert fewest_days(confidence, block_days) == days
    assert bounds == [math.inf, 1.0]


def test_a_hundred_thousand_rows_take_well_under_a_second() -> None:
    """The gate must not be what people wait for."""
    candidate, champion = two(100, 1000, 1)

    started = time.perf_counter()
    compare(candidate, champion, confidence=0.95)

    assert time.perf_counter() - started < 1.0


@pytest.mark.parametrize(
    ("df", "t_95", "t_99"),
    # Student's t, one-sided, as every book prints it.
    [
        (1, 6.314, 31.821),
        (2, 2.920, 6.965),
        (4, 2.132, 3.747),
        (9, 1.833, 2.821),
        (30, 1.697, 2.457),
    ],
)
def test_students_t_is_as_printed(df: int, t_95: float, t_99: float) -> None:
    """The correction for few days stands on it."""
    assert students_t(0.95, df) == pytest.approx(t_95, abs=5e-4)
    assert students_t(0.99, df) == pytest.approx(t_99, abs=5e-4)
