"""What a model of demand knows about seasons, single bulk orders, slow parts and its own error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.workloads.spare_parts.history import DemandHistory, is_open_day
from shared.workloads.spare_parts.model import CANDIDATES, DemandModel
from shared.workloads.spare_parts.rows import feature_rows, forecast
from shared.workloads.spare_parts.season import Season, without_bulk
from shared.workloads.spare_parts.workload import SpareParts
from tests.shared.workloads.garage import demand, no_progress, rows_of

Floats = NDArray[np.float64]


def history(pieces: NDArray[Any]) -> DemandHistory:
    first_day = np.datetime64("2024-01-01", "D")
    first_use = first_day + np.argmax(pieces > 0, axis=0)
    names = tuple(f"part {i}" for i in range(pieces.shape[1]))
    return DemandHistory(first_day, names, np.asarray(pieces, dtype=np.float64), first_use)


def fitted(past: DemandHistory, name: str = CANDIDATES[0]) -> Any:
    workload = SpareParts({})
    features, target, day, part = feature_rows(past)
    rows = rows_of(demand(30), workload)
    rows = type(rows)(
        features, target, day, np.array(past.parts)[part], type(rows.context)(past, ())
    )
    return workload.fit_candidate(name, rows, 0, no_progress)


def week(past: DemandHistory, name: str = CANDIDATES[0]) -> Floats:
    return np.asarray(forecast(past, fitted(past, name), 7).sum(axis=0))


@pytest.mark.parametrize("name", CANDIDATES)
def test_totals_are_without_bias_at_any_speed(name: str) -> None:
    """Parts that are used once a month would be forecast a third too low beside fast ones."""
    rng = np.random.default_rng(1)
    rate = np.repeat([0.03, 0.3, 3.0, 30.0], [150, 40, 10, 5])
    past = history(rng.poisson(rate, (250, len(rate))))

    said = week(past, name)

    for speed, within in ((0.03, 0.15), (0.3, 0.12), (3.0, 0.06), (30.0, 0.03)):
        chosen = np.array([past.pieces[:, i].any() for i in range(len(rate))]) & (rate == speed)
        expected = 7 * past.pieces[:, chosen].mean(axis=0).sum()
        assert said[chosen].sum() == pytest.approx(expected, rel=within), speed


def test_a_single_bulk_order_does_not_move_the_level_and_repeated_ones_do() -> None:
    """A fleet bought 300 filters once; the shelf must not be filled with them for half a year."""
    rng = np.random.default_rng(0)
    usual = rng.poisson(2.0, (300, 5)).astype(np.float64)
    once, often = usual.copy(), usual.copy()
    once[280, 0] = 300
    often[[160, 190, 220, 250, 280], 0] = 300

    assert week(history(once))[0] == pytest.approx(week(history(usual))[0], rel=0.05)
    assert week(history(often))[0] > 2 * week(history(usual))[0]
    assert np.array_equal(without_bulk(usual), usual)


def test_what_last_year_tells_counts_as_far_as_it_told_the_truth() -> None:
    """Winter tyres are bought in November each year, and two years of noise have no season."""
    rng = np.random.default_rng(0)
    day = np.arange(800)
    yearly = 100 * (1 + 0.5 * np.sin(2 * np.pi * day / 364))
    turn = 800 - 28  # a month on, the season has moved by much

    rising = [Season(yearly[:n], 0).ratio(n) for n in (728, 700)]
    level = Season(rng.poisson(100.0, 800).astype(np.float64), 0).ratio(800)

    assert rising[0] > 1.2
    assert level == pytest.approx(1.0, abs=0.02)
    assert Season(yearly[:300], 0).ratio(300) == 1.0, "no year, no season"
    assert Season(yearly, 0).ratio(turn) == Season(yearly[:turn], 0).ratio(turn)


def test_a_cut_history_gives_the_rows_of_the_whole_one() -> None:
    """A version carries the newest days; what it answers must rest on what it was trained on."""
    rng = np.random.default_rng(3)
    season = 1 + 0.5 * np.sin(np.arange(1000) / 58.0)
    pieces = rng.poisson(3.0 * season[:, None], (1000, 4)).astype(np.float64)
    pieces[rng.random(1000) < 0.1] = 0  # orders come in batches
    whole = history(pieces)
    model = fitted(whole, "ridge")

    assert np.allclose(forecast(whole.newest(400), model, 14), forecast(whole, model, 14))


def test_days_without_orders_are_closures_only_where_they_are_rare() -> None:
    """Where orders come in batches, a forecast for busy days alone is a third too high."""
    totals = np.full(200, 20.0)
    totals[150:164] = 0
    batches = np.where(np.arange(200) % 3 == 0, 0.0, 30.0)

    assert not is_open_day(totals)[150:164].any()
    assert is_open_day(batches)[120:].all()


def test_slow_parts_follow_the_pace_of_all_of_them() -> None:
    """A shop that sells half as much since ten weeks must not be told to restock as before."""
    rng = np.random.default_rng(7)
    rate = np.full((300, 150), 0.15)
    rate[-70:] /= 2

    said = week(history(rng.poisson(rate)))

    assert said.sum() == pytest.approx(7 * 150 * 0.075, rel=0.2)


@pytest.mark.parametrize("usual", [4.0, 0.1])
@pytest.mark.parametrize("level", [0.8, 0.9])
def test_intervals_hold_what_they_say(level: float, usual: float) -> None:
    """An interval that is wrong twice as often as it says is worse than none, also where most
    weeks of most parts are without any demand."""
    rng = np.random.default_rng(5)
    rate = rng.gamma(1.0, usual, 30 if usual > 1 else 60) + usual / 4
    # Weeks differ more than counts do by themselves: a usual garage.
    mood = rng.gamma(20.0, 1 / 20.0, (480, 1))
    pieces = rng.poisson(rate * mood).astype(np.float64)
    model: DemandModel = fitted(history(pieces[:340]))

    inside = []
    for start in range(340, 473, 7):
        total = forecast(history(pieces[:start]), model, 7).sum(axis=0)
        came = pieces[start : start + 7].sum(axis=0)
        low, high = model.bounds(total, level, 7)
        inside.append((came >= low) & (came <= high))

    assert float(np.mean(inside)) == pytest.approx(level, abs=0.03)


def test_bounds_are_whole_pieces_only_where_nothing_else_is_used() -> None:
    """Filters come one by one, oil by the half litre."""
    rng = np.random.default_rng(2)
    filters = rng.poisson(0.2, (200, 8)).astype(np.float64)
    total = np.array([0.03, 0.4, 1.2, 8.0])

    of_filters, of_oil = fitted(history(filters)), fitted(history(filters / 2))

    for model, is_whole in ((of_filters, True), (of_oil, False)):
        low, high = model.bounds(total, 0.8, 7)
        assert bool((np.concatenate([low, high]) % 1 == 0).all()) is is_whole
        assert ((low >= 0) & (low <= total) & (high >= np.floor(total + 0.5))).all()
        assert (model.enough(total, 0.95, 7) >= model.enough(total, 0.6, 7)).all()
    assert of_filters.bounds(total, 0.8, 7)[0][0] == 0
