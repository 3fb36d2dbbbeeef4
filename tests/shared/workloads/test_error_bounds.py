"""Bounds around a regression's answers: what they hold, and that one row and many agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shared.errors import LoadFailed
from shared.workloads.error_bounds import FILE, ErrorBounds


def _world(kind: str, n: int, seed: int) -> tuple[Any, Any]:
    """(predicted, actual) of a model that knows the mean."""
    dice = np.random.default_rng(seed)
    mean = np.exp(dice.normal(2.0, 0.8, n))
    actual = {
        "grows with the answer": mean * np.exp(dice.normal(0, 0.3, n)),
        "counts": dice.poisson(mean).astype(float),
        "lopsided": mean + dice.exponential(3.0, n),
        "far too low": mean + 5 + dice.normal(0, 1, n),
    }[kind]
    return mean, actual


@pytest.mark.parametrize("interval", [0.8, 0.9])
@pytest.mark.parametrize("kind", ["grows with the answer", "counts", "lopsided", "far too low"])
def test_bounds_hold_what_they_say_for_small_answers_and_for_great_ones(
    kind: str, interval: float
) -> None:
    """A band of one width would hold every small amount and few of the great ones."""
    bounds = ErrorBounds.learn(*_world(kind, 1500, 1), interval, is_positive=True)
    assert bounds is not None
    predicted, actual = _world(kind, 6000, 2)

    low, high = bounds.around(predicted)

    holds = (low <= actual) & (actual <= high)
    assert abs(holds.mean() - interval) < 0.03
    for these in (predicted < 5, predicted > 15):
        assert abs(holds[these].mean() - interval) < 0.08, kind
    assert (low >= 0).all()
    assert ((low <= predicted) & (predicted <= high)).all()


@pytest.mark.parametrize("n", [1, 3, 30, 400])
def test_one_row_is_answered_to_the_last_digit_like_many(n: int) -> None:
    """A client that asks row by row must not find other bounds than one that sends a batch."""
    predicted, actual = _world("counts", n, 3)
    bounds = ErrorBounds.learn(predicted, actual, 0.8, is_positive=True)
    assert bounds is not None
    asked = np.array([-3.0, 0.0, *predicted[:20], *bounds.centres, 1e9, np.nextafter(5, 6)])

    low, high = bounds.around(asked)

    each = [bounds.around(one) for one in asked[:, None]]
    assert [found[0].item() for found in each] == low.tolist()
    assert [found[1].item() for found in each] == high.tolist()
    assert ErrorBounds.read(bounds.save()) == bounds


def test_a_step_between_classes_does_not_make_two_bounds_of_one_answer() -> None:
    """Compiled forms differ from the estimator in the last digit, and must answer alike."""
    bounds = ErrorBounds.learn(*_world("grows with the answer", 900, 4), 0.8)
    assert bounds is not None
    asked = np.linspace(1, 40, 400)

    for low, other in zip(bounds.around(asked), bounds.around(asked * (1 + 1e-9)), strict=True):
        np.testing.assert_allclose(low, other, rtol=1e-6)


def test_bounds_that_cannot_be_read_are_refused_and_no_row_gives_none() -> None:
    """A version with half a file must not serve."""
    assert ErrorBounds.learn(np.array([np.nan]), np.array([1.0]), 0.8) is None
    assert ErrorBounds.read({}) is None
    for content in (b"{", b'{"interval":0.8,"centres":[1.0],"below":[],"above":[1.0]}'):
        with pytest.raises(LoadFailed, match="bounds"):
            ErrorBounds.read({FILE: content})
