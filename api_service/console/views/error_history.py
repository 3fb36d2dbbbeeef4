"""Chart the error of each candidate beside the champion's on the same rows and the gate's margin.

Runs in, a picture out. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api_service.console.charts.drawing import Picture
from api_service.console.charts.plots import Band, Series, over_time
from api_service.console.formatting import figure, moment, several, short_version
from shared.run_log.run import Run

_MOST = 60
_LABELS = 12
_NOT_JUDGED: Mapping[str, Any] = {"value": None}


@dataclass(frozen=True, slots=True)
class ChampionComparison:
    """One run's errors, in the model's unit. allowed : the most that the gate lets through."""

    run: Run
    place: float
    error: float
    baseline: float | None
    champion: float | None
    allowed: float | None


def contests(runs: Sequence[Run]) -> list[ChampionComparison]:
    """Of runs that were judged, oldest first."""
    judged = [run for run in runs if _gates(run).get("baseline", _NOT_JUDGED)["value"] is not None]
    return [_comparison(run, place) for place, run in enumerate(judged[:_MOST][::-1])]


def _gates(run: Run) -> dict[str, Mapping[str, Any]]:
    return {gate["gate"]: gate for gate in run.details.get("gates") or ()}


def _comparison(run: Run, place: int) -> ChampionComparison:
    gates = _gates(run)
    judged = gates["baseline"]
    metrics = run.details.get("metrics") or {}
    error = float(judged["value"])
    champion = _same_kind(error, metrics.get("candidate") or {}, metrics.get("champion") or {})
    bound = (gates.get("champion") or {}).get("bound")
    return ChampionComparison(
        run,
        float(place),
        error,
        judged["bound"],
        champion,
        champion * bound if champion is not None and bound is not None else None,
    )


def _same_kind(
    error: float, mine: Mapping[str, float], others: Mapping[str, float]
) -> float | None:
    """The champion's error: the metric of it that is the candidate's error, or 1 minus that."""
    for name, value in mine.items():
        if name in others and math.isclose(value, error, rel_tol=1e-9):
            return others[name]
        if name in others and math.isclose(1 - value, error, rel_tol=1e-9):
            return 1 - others[name]
    return None


def picture(runs: Sequence[Run]) -> Picture | None:
    """None before the first run that was judged."""
    found = contests(runs)
    if not found:
        return None
    unit = str(found[-1].run.details.get("metric_unit") or "")
    judged = [one for one in found if one.champion is not None and one.allowed is not None]
    promoted = [one for one in found if one.run.promoted]
    refused = [one for one in found if not one.run.promoted]
    series = [
        Series("naive baseline", "s3", _points(found, "baseline"), mark="none"),
        Series("champion on the same rows", "s2", _points(found, "champion"), mark="none"),
        Series("candidate, promoted", "s1", _points(promoted, "error"), says=_says(promoted)),
        Series(
            "candidate, not promoted",
            "s4",
            _points(refused, "error"),
            mark="cross",
            has_line=False,
            says=_says(refused),
        ),
    ]
    last = found[-1]
    text = (
        f"{several(len(found), 'training')} judged, {len(promoted)} of them promoted. The last,"
        f" {short_version(last.run.version)}: error {figure(last.error)} {unit}"
    )
    if last.champion is not None:
        text += f", champion {figure(last.champion)} on the same rows"
    return over_time(
        "errors",
        "Error of candidates and champions",
        text + ".",
        series,
        unit=f"error, {unit}",
        x_ticks=[
            (one.place, f"v{one.run.version_number}")
            for one in found[:: math.ceil(len(found) / _LABELS)]
        ],
        x_unit="trainings in the order of time",
        bands=[
            Band(
                "what the gate lets through beside the champion",
                [(one.place, one.champion or 0.0, one.allowed or 0.0) for one in judged],
            )
        ],
        columns=["version", "judged, UTC", "error", "champion", "at most", "baseline", "verdict"],
        rows=[_row(one) for one in reversed(found)],
    )


def _points(found: Sequence[ChampionComparison], name: str) -> list[tuple[float, float]]:
    values: list[tuple[float, Any]] = [(one.place, getattr(one, name)) for one in found]
    return [(at, value) for at, value in values if value is not None]


def _says(found: Sequence[ChampionComparison]) -> list[str]:
    return [f"{one.run.version}: {figure(one.error)}" for one in found]


def _row(one: ChampionComparison) -> list[str]:
    return [
        short_version(one.run.version),
        moment(one.run.finished_at),
        figure(one.error),
        figure(one.champion),
        figure(one.allowed),
        figure(one.baseline),
        "promoted" if one.run.promoted else "not promoted",
    ]
