"""What docs/promotion.md claims about the default gate, on a smaller simulation."""

from __future__ import annotations

import pytest

from benchmarks.gate.decisions import bound_errors, decision_rates, first_versions
from benchmarks.gate.many_tries import NO_ANCHOR, lower_error, slow_decay
from benchmarks.gate.recovery import WORLDS, recovery
from benchmarks.gate.world import POLICY, World
from retrain_service.promotion.decide import anchor_after

N = 150


@pytest.mark.parametrize("n_days", [7, 14, 28])
def test_a_model_that_is_a_fifth_worse_is_hardly_ever_promoted(n_days: int) -> None:
    """The plain rule lets one in ten pass where days are few: a year of daily trainings is 365."""
    rates = decision_rates(World(n_days), 0.20, N, seed=1)

    assert rates.promoted <= 0.02
    if n_days == 7:
        assert rates.plain >= 0.05


@pytest.mark.parametrize("n_days", [7, 28])
def test_at_the_limit_one_in_twenty_passes_and_not_one_in_two(n_days: int) -> None:
    """That is what 95 % certainty promises, and what the plain rule does instead."""
    rates = decision_rates(World(n_days), POLICY.max_regression, N, seed=2)

    assert rates.promoted <= 0.11
    assert rates.plain >= 0.35


def test_an_equal_model_is_promoted_once_there_are_four_weeks() -> None:
    """A gate that refuses everything is no gate."""
    assert decision_rates(World(28), 0.0, N, seed=3).promoted >= 0.95
    assert decision_rates(World(14), -0.10, N, seed=3).promoted >= 0.90


def test_a_good_model_that_has_to_wait_waits_and_is_not_called_bad() -> None:
    """`insufficient_data` and `failed` are told apart, for a person acts on the second only."""
    rates = decision_rates(World(7), 0.0, N, seed=4)

    assert rates.insufficient > 10 * rates.rejected


def test_the_end_of_patience_lets_no_worse_model_through() -> None:
    """Asked anew each day: what passes in one of seven tries has passed within a week or two."""
    worse = decision_rates(World(7), 0.20, N, seed=6, champion_age_days=31)
    equal = decision_rates(World(7), 0.0, N, seed=7, champion_age_days=31)
    few = decision_rates(World(3), 0.0, N, seed=8, champion_age_days=31)

    assert worse.promoted <= 0.02
    assert worse.plain >= 0.08
    assert equal.promoted >= 0.70
    assert few.promoted == 0


def test_a_first_version_that_is_as_good_as_the_baseline_is_refused_no_oftener_than_said() -> None:
    """By its mean on three days every second one would be, and the model never begins."""
    ours, plain = first_versions(World(3), 0.0, N, seed=9)
    broken, _ = first_versions(World(7), 1.0, N, seed=10)

    assert ours >= 0.90
    assert plain <= 0.65
    assert broken == 0


def test_few_days_need_the_correction() -> None:
    """The plain percentile of the same bootstrap is wrong about twice as often as it says."""
    ours, plain = bound_errors(World(5), 400, seed=5)

    assert ours <= 0.09
    assert plain >= ours + 0.02


def test_the_anchor_stops_many_small_losses() -> None:
    """Without it a trainer that gets half a percent worse each time goes on for ever."""
    free = POLICY.model_copy(update={"max_total_regression": NO_ANCHOR})

    without = slow_decay(0.01, 60, 2, 1, free, anchor_after)
    by_chance = slow_decay(0.01, 60, 2, 1, POLICY, lower_error)
    ours = slow_decay(0.01, 60, 2, 1, POLICY, anchor_after)

    assert without.median > 1.25
    assert ours.worst < 1.25
    assert ours.median < min(by_chance.median, without.median)


def test_after_a_change_the_served_model_recovers_and_is_never_much_worse_than_a_plain_refit() -> (
    None
):
    """What serves is what clients get, whatever the gates thought of its successors."""
    found = recovery(WORLDS["y = 10 + 2a + b, then y = 10 - a + b"], 46, 3, every_days=15)

    assert found.mean <= 0.85
    assert found.worst <= 1.10
    assert found.regret <= 0.10
    assert found.baseline_days > 0
