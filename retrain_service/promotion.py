"""Scores + policy → Promote, Reject or InsufficientData. Pure; every gate is written down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from retrain_service.evaluation import Evaluation
from shared.settings import GateSettings
from shared.workloads.base import TrainingSet

COMPARISONS = ("baseline", "champion")


class GateResult(msgspec.Struct, frozen=True):
    """One gate: what was measured, what it had to be, on how many rows, and the sentence."""

    gate: str
    value: float | None
    bound: float | None
    n: int
    passed: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Promote:
    gates: tuple[GateResult, ...]


@dataclass(frozen=True, slots=True)
class Reject:
    gates: tuple[GateResult, ...]


@dataclass(frozen=True, slots=True)
class InsufficientData:
    gates: tuple[GateResult, ...]


Verdict = Promote | Reject | InsufficientData


def reason(verdict: Verdict) -> str:
    """Why, in a sentence: of the gate that refused, or of the comparisons that were passed."""
    if isinstance(verdict, Promote):
        return " ".join(gate.sentence for gate in verdict.gates if gate.gate in COMPARISONS)
    return verdict.gates[-1].sentence


def check_data(rows: TrainingSet, policy: GateSettings) -> Verdict | None:
    """The gate before training: enough rows, enough days. None means go on."""
    n_rows, n_days = rows.n_rows, rows.n_days
    if n_rows >= policy.min_rows and n_days >= policy.min_days:
        return None
    rejected = sum(rows.rejected.values())
    sentence = (
        f"not enough data: {n_rows} rows over {n_days} days,"
        f" needs {policy.min_rows} rows and {policy.min_days} days"
        + (f"; {rejected} records could not be used" if rejected else "")
        + "."
    )
    result = GateResult("data", float(n_rows), float(policy.min_rows), n_rows, False, sentence)
    return InsufficientData((result,))


def decide(evaluation: Evaluation, policy: GateSettings) -> Verdict:
    """Go through the gates in order; the first failure stops; what is missing fails."""
    gates: list[GateResult] = []
    for result in _gates(evaluation, policy):
        gates.append(result)
        if not result.passed:
            verdict = InsufficientData if result.gate == "holdout" else Reject
            return verdict(tuple(gates))
    return Promote(tuple(gates))


def _gates(evaluation: Evaluation, policy: GateSettings) -> Iterator[GateResult]:
    n = evaluation.n_rows
    yield GateResult(
        "holdout",
        float(n),
        1.0,
        n,
        n >= 1,
        f"{n} rows that no model was fitted on."
        if n
        else "no row is newer than what candidate and champion were fitted on;"
        " the champion stays until there is.",
    )
    candidate, unit = _mean_loss(evaluation.candidate.loss), evaluation.candidate.unit
    yield GateResult(
        "finite",
        candidate,
        None,
        n,
        bool(np.isfinite(evaluation.candidate.loss).all()),
        "every answer is a finite number."
        if np.isfinite(candidate)
        else "the candidate gave answers that are not finite numbers.",
    )
    baseline = _mean_loss(evaluation.baseline.loss)
    yield GateResult(
        "baseline",
        candidate,
        baseline,
        n,
        candidate <= baseline,
        f"Error {candidate:.4g} {unit}, naive baseline {baseline:.4g}: "
        + ("no worse." if candidate <= baseline else "worse than guessing; not promoted."),
    )
    if evaluation.champion is None:
        why = evaluation.champion_missing or "there is no champion yet"
        sentence = f"{why}: promoted."
        yield GateResult("champion", candidate, None, n, True, sentence[0].upper() + sentence[1:])
        return
    champion = _mean_loss(evaluation.champion.loss)
    bound = champion * (1 + policy.max_regression)
    yield GateResult(
        "champion",
        candidate,
        bound,
        n,
        candidate <= bound,
        f"Error {candidate:.4g} {unit}, champion {champion:.4g} on the same {n} rows,"
        f" at most {bound:.4g} allowed: "
        + ("promoted." if candidate <= bound else "worse; not promoted."),
    )


def _mean_loss(loss: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return float(loss.mean()) if loss.size else float("nan")
