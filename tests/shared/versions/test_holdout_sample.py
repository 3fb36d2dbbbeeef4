"""Held-out rows that a version carries: which rows, what of them, and what is left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shared.versions.holdout_sample import (
    HOLDOUT_NAME,
    MOST_ROWS,
    read_sample,
    sample_of,
    write_sample,
)
from shared.versions.staged_files import StagedFiles
from shared.workloads.training import Score, TrainingSet


def holdout(n: int) -> TrainingSet:
    day = np.datetime64("2026-01-01") + np.arange(n)
    features = np.column_stack([np.arange(n, dtype=float), np.full(n, np.nan)])
    return TrainingSet(features, np.arange(n) * 2.0, day, np.full(n, "all"))


def score(rows: TrainingSet, offset: float) -> Score:
    predicted = rows.target + offset
    loss = np.abs(predicted - rows.target)
    return Score(loss, rows.day, rows.slices, {"mae": offset}, "W", predicted)


def test_rows_come_back_as_they_were_spread_over_the_holdout(tmp_path: Path) -> None:
    """Oldest and newest row among them; what had no value has none."""
    rows = holdout(10_000)
    sample = sample_of(rows, score(rows, 1.0), "v000001", score(rows, 2.0))
    write_sample(StagedFiles(tmp_path), sample)

    found = read_sample(tmp_path)

    assert found is not None
    assert found == sample
    assert found.n_rows == MOST_ROWS
    assert (found.n_holdout_rows, found.unit) == (10_000, "W")
    assert (found.features[0], found.features[-1]) == ([0.0, None], [9999.0, None])
    assert found.predicted[-1] == 2 * 9999 + 1
    assert found.champion_predicted is not None
    assert found.champion_predicted[-1] == 2 * 9999 + 2
    assert found.days[0] == "2026-01-01"


def test_a_short_holdout_is_kept_whole() -> None:
    """Twenty rows are twenty rows, each once."""
    rows = holdout(20)
    sample = sample_of(rows, score(rows, 0.0))

    assert sample is not None
    assert sample.actual == rows.target.tolist()
    assert (sample.champion, sample.champion_predicted) == (None, None)


def test_answers_that_are_no_single_numbers_are_not_kept(tmp_path: Path) -> None:
    """Recommendations and several horizons: nothing is written, and the version is whole."""
    rows = holdout(5)
    no_numbers = Score(np.zeros(5), rows.day, rows.slices, {}, "misses")
    several = TrainingSet(rows.features, np.zeros((5, 3)), rows.day, rows.slices)

    assert sample_of(rows, no_numbers) is None
    assert sample_of(several, score(rows, 1.0)) is None
    write_sample(StagedFiles(tmp_path), None)
    assert not (tmp_path / HOLDOUT_NAME).exists()
    assert read_sample(tmp_path) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b'{"unit": 1}', b"x" * 5_000_000],
)
def test_a_file_that_is_something_else_is_no_sample(tmp_path: Path, content: bytes) -> None:
    """A page must come whatever lies there."""
    (tmp_path / HOLDOUT_NAME).write_bytes(content)

    assert read_sample(tmp_path) is None


def test_rows_of_unequal_number_are_no_sample(tmp_path: Path) -> None:
    """Or a truth would stand beside another row's answer."""
    rows = holdout(5)
    sample = sample_of(rows, score(rows, 1.0))
    assert sample is not None
    sample.actual.pop()
    write_sample(StagedFiles(tmp_path), sample)

    assert read_sample(tmp_path) is None
