"""Sum up, by version, how far answers were from what came. Pure.

The bounds are an asymptotic confidence sequence: they hold at every look, however often somebody
looks (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Time-uniform central limit theory and
asymptotic confidence sequences, 2021). Errors of one day are alike, so a day counts as one
observation, weighted by its answers.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.exchange.retrain_report import LiveSlice, LiveVersion
from shared.records import from_epoch_us

ALPHA = 0.05
FEWEST_DAYS = 14
"""Below, the bounds would hold too seldom: they rest on a variance that so few days do not tell."""
_TUNED_FOR_DAYS = 20
_MOST_SLICES = 20


@dataclass(frozen=True, slots=True)
class Judged:
    """Answers of one version, slice and UTC day whose truth is known.

    total_error : the sum of their losses. n_bounded, n_inside : answers with an interval, and those
    whose truth lies in it. since_us : when the first was given.
    """

    version: str
    slice: str
    day: int
    n: int
    total_error: float
    n_bounded: int
    n_inside: int
    since_us: int


def live_versions(judged: Iterable[Judged], has_slice_units: bool) -> list[LiveVersion]:
    """Newest version first; has_slice_units : errors of two slices cannot be added up."""
    by_version: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        by_version[one.version].append(one)
    return [
        _version(version, by_version[version], has_slice_units)
        for version in sorted(by_version, reverse=True)
    ]


def _version(version: str, found: Sequence[Judged], has_slice_units: bool) -> LiveVersion:
    by_slice: dict[str, list[Judged]] = defaultdict(list)
    for one in found:
        by_slice[one.slice].append(one)
    largest = sorted(by_slice, key=lambda name: (-sum(one.n for one in by_slice[name]), name))
    bounds = None if has_slice_units else confidence_sequence(found)
    return LiveVersion(
        version=version,
        n=sum(one.n for one in found),
        error=None if has_slice_units else _error(found),
        low=bounds[0] if bounds else None,
        high=bounds[1] if bounds else None,
        coverage=_coverage(found),
        n_days=len({one.day for one in found}),
        since=from_epoch_us(min(one.since_us for one in found)),
        slices=[
            LiveSlice(
                slice=name,
                n=sum(one.n for one in by_slice[name]),
                error=_error(by_slice[name]),
                coverage=_coverage(by_slice[name]),
            )
            for name in largest[:_MOST_SLICES]
        ],
    )


def confidence_sequence(found: Sequence[Judged]) -> tuple[float, float] | None:
    """Between what the mean absolute error lies; None below FEWEST_DAYS days."""
    errors: dict[int, float] = defaultdict(float)
    counts: dict[int, int] = defaultdict(int)
    for one in found:
        errors[one.day] += one.total_error
        counts[one.day] += one.n
    n_days, n = len(counts), sum(counts.values())
    if n_days < FEWEST_DAYS:
        return None
    mean = sum(errors.values()) / n
    # Of a ratio of sums: how far each day's sum is from what its answers make expect.
    off = [(errors[day] - mean * counts[day]) * n_days / n for day in counts]
    variance = sum(value**2 for value in off) / (n_days - 1)
    log_alpha = -2 * math.log(ALPHA)
    rho2 = (log_alpha + math.log(log_alpha + 1)) / _TUNED_FOR_DAYS
    wide = n_days * rho2 + 1
    radius = math.sqrt(variance * 2 * wide / (n_days**2 * rho2) * math.log(math.sqrt(wide) / ALPHA))
    return max(0.0, mean - radius), mean + radius


def _error(found: Sequence[Judged]) -> float:
    return sum(one.total_error for one in found) / sum(one.n for one in found)


def _coverage(found: Sequence[Judged]) -> float | None:
    n_bounded = sum(one.n_bounded for one in found)
    return sum(one.n_inside for one in found) / n_bounded if n_bounded else None
