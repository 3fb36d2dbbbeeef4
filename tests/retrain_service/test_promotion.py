"""What may be promoted."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from retrain_service.evaluation import Evaluation
from retrain_service.promotion import (
    InsufficientData,
    Promote,
    Reject,
    check_data,
    decide,
    reason,
)
from shared.settings import GateSettings
from shared.workloads.base import Score, TrainingSet

POLICY = GateSettings()


def a_score(error: float, n_rows: int = 40) -> Score:
    day: NDArray[np.datetime64] = np.datetime64("2026-01-01", "D") + np.arange(n_rows)
    return Score(
        loss=np.full(n_rows, error),
        day=day,
        slices=np.full(n_rows, "a"),
        metrics={"mae": error},
        unit="pieces",
    )


def an_evaluation(
    candidate: float,
    *,
    champion: float | None = None,
    baseline: float = 10.0,
    n_rows: int = 40,
) -> Evaluation:
    return Evaluation(
        candidate=a_score(candidate, n_rows),
        baseline=a_score(baseline, n_rows),
        champion=a_score(champion, n_rows) if champion is not None else None,
        champion_missing=None,
    )


@pytest.mark.parametrize(
    ("evaluation", "verdict", "gate"),
    [
        (an_evaluation(5.0), Promote, "champion"),
        (an_evaluation(5.0, champion=5.0), Promote, "champion"),
        (an_evaluation(5.5, champion=5.0), Promote, "champion"),
        (an_evaluation(5.51, champion=5.0), Reject, "champion"),
        (an_evaluation(11.0, champion=20.0), Reject, "baseline"),
        (an_evaluation(float("nan"), champion=5.0), Reject, "finite"),
        (an_evaluation(float("inf")), Reject, "finite"),
        (an_evaluation(0.0, champion=0.0, baseline=0.0), Promote, "champion"),
        (an_evaluation(5.0, n_rows=0), InsufficientData, "holdout"),
    ],
)
def test_which_gate_decides(evaluation: Evaluation, verdict: type, gate: str) -> None:
    """First failure stops; what cannot be measured fails."""
    decided = decide(evaluation, POLICY)

    assert isinstance(decided, verdict)
    assert decided.gates[-1].gate == gate


def test_the_sentence_says_both_errors_and_the_bound() -> None:
    """Somebody asks in a month why this version was not promoted."""
    sentence = reason(decide(an_evaluation(6.0, champion=5.0), POLICY))

    assert sentence == (
        "error 6 pieces, champion 5 on the same 40 rows, at most 5.5 allowed: worse; not promoted."
    )


def test_every_gate_passed_is_written_down() -> None:
    """A promotion has to be explained as well as a refusal."""
    decided = decide(an_evaluation(5.0, champion=5.0), POLICY)

    assert [(gate.gate, gate.passed) for gate in decided.gates] == [
        ("holdout", True),
        ("finite", True),
        ("baseline", True),
        ("champion", True),
    ]


@pytest.mark.parametrize(
    ("n_rows", "n_days", "passes"), [(50, 14, True), (49, 14, False), (50, 13, False)]
)
def test_too_little_data_blocks_training(n_rows: int, n_days: int, passes: bool) -> None:
    """A model of three days says nothing about a week."""
    rows = TrainingSet(
        features=np.zeros((n_rows, 1)),
        target=np.zeros(n_rows),
        day=np.datetime64("2026-01-01", "D") + np.arange(n_rows) % n_days,
        slices=np.full(n_rows, "a"),
        rejected={"no date": 3},
    )

    refused = check_data(rows, POLICY)

    assert (refused is None) == passes
    if refused is not None:
        assert isinstance(refused, InsufficientData)
        assert f"{n_rows} rows over {n_days} days" in reason(refused)
        assert "3 records could not be used" in reason(refused)
