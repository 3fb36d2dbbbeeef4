"""The result of a gate, and the verdict that follows from all results. Knows no gate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec

GateVerdict = Literal["passed", "failed", "insufficient_data", "skipped"]

COMPARISONS = ("baseline", "champion")
BASELINE_SERVES = "baseline_serves"
"""The gate through which the naive baseline itself is promoted."""


class GateResult(msgspec.Struct, frozen=True):
    """One gate: what was measured, what it had to be, on how many rows, and the sentence.

    value, bound : None where the gate measures nothing, or where there was nothing to measure.
    verdict : `skipped` where there is nothing to compare with; it stops nothing.
    """

    gate: str
    value: float | None
    bound: float | None
    n: int
    verdict: GateVerdict
    sentence: str

    @property
    def stops(self) -> bool:
        return self.verdict in ("failed", "insufficient_data")


@dataclass(frozen=True, slots=True)
class Promote:
    """Nothing that was looked at so far speaks against the candidate.

    serves_baseline : something did; it is the naive baseline that is to be promoted.
    """

    gates: tuple[GateResult, ...]
    serves_baseline: bool = False


@dataclass(frozen=True, slots=True)
class Reject:
    """The last gate refused."""

    gates: tuple[GateResult, ...]


@dataclass(frozen=True, slots=True)
class InsufficientData:
    """The last gate could not tell; what is served stays."""

    gates: tuple[GateResult, ...]


Verdict = Promote | Reject | InsufficientData


def conclude(gates: Iterable[GateResult], before: Iterable[GateResult] = ()) -> Verdict:
    """Go through gates in order, after those that were passed before; the first that stops ends it.

    gates : may be a generator; what follows a gate that stops is never computed.
    """
    seen = list(before)
    for result in gates:
        seen.append(result)
        if result.verdict == "failed":
            return Reject(tuple(seen))
        if result.verdict == "insufficient_data":
            return InsufficientData(tuple(seen))
    return Promote(tuple(seen))


def reason(verdict: Verdict) -> str:
    """Why, in a sentence: of the gate that refused, or of the comparisons that were passed."""
    if isinstance(verdict, Promote):
        for gate in verdict.gates:
            if gate.gate == BASELINE_SERVES:
                return gate.sentence
        return " ".join(gate.sentence for gate in verdict.gates if gate.gate in COMPARISONS)
    return verdict.gates[-1].sentence


def percent(share: float, *, signed: bool = False) -> str:
    """0.104 -> "10.4 %", signed "+10.4 %"; no decimal where there is none to show."""
    value = round(100 * share, 1) + 0.0  # no "-0"
    shown = f"{value:+.1f}" if signed else f"{value:.1f}"
    return shown.removesuffix(".0") + " %"


def change(ratio: float) -> str:
    """How an error compares with another one, given as their ratio: 1.04 -> "+4 %"."""
    return percent(ratio - 1, signed=True) if math.isfinite(ratio) else "from none"
