"""The accuracy figures that docs/solar-power.md states, on real power and weather."""

from __future__ import annotations

import pytest

from benchmarks.accuracy_solar import BAR_W, Accuracy, data_directory, measure, read_documents


@pytest.fixture(scope="module")
def accuracy() -> Accuracy:
    directory = data_directory()
    if directory is None:
        pytest.skip("the data is not here: pip install --no-deps pvanalytics==0.2.2")
    return measure(read_documents(directory))


@pytest.mark.slow
def test_half_an_hour_ahead_the_model_beats_every_naive_rule_and_the_bar(
    accuracy: Accuracy,
) -> None:
    """A retrained model that "as yesterday" can match is not worth two daemons."""
    assert accuracy.hotfit <= BAR_W
    assert accuracy.hotfit < 0.8 * min(accuracy.naive)


@pytest.mark.slow
def test_a_client_with_raw_readings_gets_the_forecasts_that_were_scored(
    accuracy: Accuracy,
) -> None:
    """The way of a reading through the answer is the way of a row through the training."""
    assert accuracy.served_gap_w < 1e-9


@pytest.mark.slow
def test_the_clock_that_skips_an_hour_in_spring_is_understood(accuracy: Accuracy) -> None:
    """Two springs, two half hours each; the rest is what the logger did not measure."""
    assert accuracy.rejected["no timestamp that can be read"] == 4
