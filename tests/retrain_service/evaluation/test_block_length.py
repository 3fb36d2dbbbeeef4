"""How long a block of days is, learnt from losses whose dependence is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from retrain_service.evaluation.block_length import block_length, learnt_block_days
from tests.support.scores import a_score


def lasting(n_days: int, memory: float, seed: int) -> NDArray[np.float64]:
    """Positive errors of a day that are correlated with the day before's by `memory`."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=n_days)
    for day in range(1, n_days):
        values[day] = memory * values[day - 1] + np.sqrt(1 - memory**2) * values[day]
    found: NDArray[np.float64] = 10.0 + values
    return found


def test_what_lasts_for_days_is_resampled_in_longer_blocks_than_what_does_not() -> None:
    """By the day, a model at the limit passes three times as often as the confidence says."""
    lengths = {
        memory: np.mean([learnt_block_days(lasting(56, memory, seed)) for seed in range(40)])
        for memory in (0.0, 0.8)
    }

    assert lengths[0.0] < 8.5
    assert lengths[0.8] > lengths[0.0] + 2


@pytest.mark.parametrize(
    ("n_days", "set_days", "span_days", "shortest", "longest"),
    [
        (28, 3, 1, 3, 3),  # as it is set
        (28, 0, 7, 5, 5),  # sums of a week overlap; five blocks are left
        (28, 0, 1, 1, 5),
        (7, 0, 7, 1, 1),
        (3, 0, 1, 1, 1),
        (1, 0, 1, 1, 1),
    ],
)
def test_blocks_reach_as_far_as_a_loss_and_leave_enough_of_them(
    n_days: int, set_days: int, span_days: int, shortest: int, longest: int
) -> None:
    """A bound at 95 % takes five blocks; a setting is somebody's word and is not touched."""
    candidate, rival = (
        a_score(lasting(n_days, 0.9, seed), n_days, span_days=span_days) for seed in (1, 2)
    )

    assert shortest <= block_length(candidate, rival, set_days) <= longest


@pytest.mark.parametrize(
    "value",
    [np.zeros(20), np.full(20, 3.0), 1.0 + 1e-16 * np.arange(20), np.array([1.0, -1.0] * 10)],
)
def test_what_does_not_vary_or_swings_to_and_fro_is_not_said_to_last(
    value: NDArray[np.float64],
) -> None:
    """Two equal models leave nothing but rounding; a saw-tooth would make a mean look surer."""
    assert learnt_block_days(value) in (1, 2)
