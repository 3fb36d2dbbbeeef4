"""The recommender's figures on real ratings, as docs/recommender.md states them."""

from __future__ import annotations

import pytest

from benchmarks.accuracy_movielens import (
    HIT_RATE_BAR,
    Films,
    data_directory,
    measure,
    read_films,
)

POPULARITY = "popularity (the naive baseline)"


@pytest.fixture(scope="module")
def films() -> Films:
    directory = data_directory()
    if directory is None:
        pytest.skip("MovieLens is not here: pip install --no-deps recbole==1.2.1")
    return read_films(directory)


def test_two_of_three_held_out_films_stand_among_ten_of_a_hundred(films: Films) -> None:
    """Only who uses interactions gets there: content alone finds a fifth, popularity a half."""
    accuracy = measure(films, by_time=False)

    assert accuracy.hit_rate >= HIT_RATE_BAR
    assert accuracy.metrics[POPULARITY]["hit_rate_10"] == pytest.approx(0.547, abs=0.02)
    assert accuracy.blend.n_learnt_from > 1000


def test_what_people_met_next_in_time_is_found_far_more_often_than_by_popularity(
    films: Films,
) -> None:
    """The split that a shop lives with; a figure that ignores time would only flatter."""
    accuracy = measure(films, by_time=True)

    assert accuracy.hit_rate >= accuracy.metrics[POPULARITY]["hit_rate_10"] + 0.12
    assert accuracy.hit_rate >= 0.53
