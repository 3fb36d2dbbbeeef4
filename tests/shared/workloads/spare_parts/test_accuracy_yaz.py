"""The two accuracy figures that the README states, on real daily demand."""

from __future__ import annotations

import pytest

from benchmarks.accuracy_yaz import (
    ONE_DAY_BAR,
    SEVEN_DAY_BAR,
    Accuracy,
    data_directory,
    measure,
    read_demand,
)


@pytest.fixture(scope="module")
def accuracy() -> Accuracy:
    directory = data_directory()
    if directory is None:
        pytest.skip("the YAZ data is not here: pip install --no-deps ddop==0.7.6")
    return measure(read_demand(directory))


def test_one_day_ahead_the_model_beats_every_naive_rule_and_the_bar(accuracy: Accuracy) -> None:
    """A retrained model that a spreadsheet can match is not worth two daemons."""
    naive = [mae for name, mae in accuracy.one_day.items() if name != "hotfit"]

    assert accuracy.one_day_mae <= ONE_DAY_BAR
    assert accuracy.one_day_mae < min(naive)


def test_the_served_week_stays_within_the_bar_when_rolled_day_by_day(accuracy: Accuracy) -> None:
    """This is what a client gets: each forecast day feeds the next, so errors could pile up."""
    naive = [mae for name, mae in accuracy.seven_days.items() if name != "hotfit"]

    assert accuracy.seven_day_mae <= SEVEN_DAY_BAR
    assert accuracy.seven_day_mae < min(naive)
