"""The recommender's figures on real ratings, as docs/recommender.md states them."""

from __future__ import annotations

import pytest

from benchmarks.accuracy_movielens import (
    GOALS,
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


@pytest.mark.parametrize(("split", "popularity"), [("arrival", 0.543), ("time", 0.388)])
def test_what_people_met_next_is_found_far_more_often_than_by_popularity(
    films: Films, split: str, popularity: float
) -> None:
    """Only who uses interactions gets there; in the order of time it is harder for everyone."""
    accuracy = measure(films, split)

    assert accuracy.hit_rate >= GOALS[split]
    assert accuracy.metrics[POPULARITY]["hit_rate_10"] == pytest.approx(popularity, abs=0.02)
    assert accuracy.blend.n_learnt_from > 1000
    for part in ("content", "collaborative", "regression"):
        assert accuracy.hit_rate >= accuracy.metrics[f"{part} alone"]["hit_rate_10"] - 0.005
