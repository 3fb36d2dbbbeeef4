"""The candidates of solar power: the device's own day, trees as arrays, and what bounds hold."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from shared.workloads.solar_power.power_model import Forest, PowerModel, _answers
from shared.workloads.solar_power.workload import NO_TARGET, SolarPower
from shared.workloads.training import TrainingSet
from tests.shared.workloads.roof import COLOMBO, START, days_of_sun, no_progress, reading, rows_of


def cloudy(n_days: int, every_min: float = 15, lost: float = 0.0, scale: float = 1.0) -> Any:
    """Days under a sky that changes slowly, so that what is left of the sun now tells of later."""
    dice = random.Random(3)
    mood, found = 0.0, []
    stays = 0.96 ** (every_min / 15)
    for i in range(round(n_days * 1440 / every_min)):
        hour = (i * every_min / 60) % 24
        sun = max(0.0, np.sin(np.pi * (hour - 6) / 12))
        mood = stays * mood + dice.gauss(0, np.sqrt(1 - stays**2))
        clear = 0.6 + 0.35 * np.tanh(mood)
        if dice.random() >= lost:
            at = START - timedelta(days=24) + timedelta(minutes=i * every_min)
            found.append(reading(at, round(float(scale * sun * clear), 4), lux=None))
    return found


def halves(rows: TrainingSet) -> tuple[TrainingSet, TrainingSet]:
    border = np.unique(rows.day)[-10]
    return rows.where(rows.day < border), rows.where(rows.day >= border)


@pytest.mark.parametrize(
    ("horizon_min", "every_min", "lost", "scale"),
    [(15, 15, 0.0, 300.0), (60, 15, 0.3, 5e5), (15, 10, 0.3, 0.4), (60, 5, 0.0, 300.0)],
)
def test_learning_is_not_worse_than_the_device_staying_as_far_below_a_clear_sky(
    horizon_min: float, every_min: float, lost: float, scale: float
) -> None:
    """Whatever the device's size and spacing, with a third of its readings lost on the way."""
    parameters = {**COLOMBO, "horizon_min": horizon_min}
    workload = SolarPower(parameters)
    rows = rows_of(cloudy(28, every_min, lost, scale), parameters)
    train, newest = halves(rows)
    naive = workload.score_baseline(newest)

    for name in ("linear",):
        model = workload.fit_candidate(name, train, 0, no_progress)
        score = workload.score(model, newest)
        assert score.error <= 1.06 * naive.error, name
        assert score.loss.shape == naive.loss.shape


def test_a_baseline_is_better_than_the_power_staying_what_it_is() -> None:
    """In the morning and the evening the sun moves, and no model is needed to know that."""
    parameters = {**COLOMBO, "horizon_min": 60}
    train, newest = halves(rows_of(cloudy(28, scale=300.0), parameters))
    workload = SolarPower(parameters)
    stays = np.abs(newest.target - newest.features[:, 9])

    baseline = workload.score_baseline(newest)

    assert baseline.rows is not None
    assert np.abs(baseline.rows.predicted - newest.target).mean() < 0.7 * stays.mean()
    fitted = workload.score(workload.fit_baseline(train), newest)
    assert np.allclose(fitted.loss, baseline.loss)


def test_trees_as_arrays_answer_as_scikit_learn_does() -> None:
    """The prediction daemon opens them without scikit-learn."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    from shared.workloads.solar_power.power_model import _as_arrays

    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 4))
    x[rng.random((600, 4)) < 0.1] = np.nan
    y = np.nan_to_num(x[:, 0]) * 3 + (np.nan_to_num(x[:, 1]) > 0)
    trees = HistGradientBoostingRegressor(max_iter=20, loss="absolute_error").fit(x, y)

    forest: Forest = _as_arrays(trees)

    assert np.allclose(_answers(forest, x), trees.predict(x))


def test_bounds_hold_what_they_say_and_hold_the_forecast() -> None:
    """A battery is sized by the bound, not by the middle."""
    parameters = {**COLOMBO, "horizon_min": 60}
    workload = SolarPower(parameters)
    train, newest = halves(rows_of(cloudy(40, scale=300.0), parameters))
    model: PowerModel = workload.fit(train, 0, no_progress)
    is_day = newest.features[:, 9] > 60
    x, came = newest.features[is_day], newest.target[is_day]
    forecast = x[:, 9] + model.predict(x)

    low, high = model.bounds(x, forecast, 0.8)

    assert ((low <= forecast) & (forecast <= high)).all()
    assert float(np.mean((came >= low) & (came <= high))) == pytest.approx(0.8, abs=0.15)


def test_a_reading_of_which_nobody_knows_what_came_is_counted() -> None:
    """A logger that was off for an afternoon must show in the run, not only in fewer rows."""
    documents = days_of_sun(2)
    whole = rows_of(documents)
    holed = rows_of(documents[:300] + documents[330:])

    assert NO_TARGET not in whole.rejected
    assert holed.rejected[NO_TARGET] == 3
