"""Sum losses over blocks of calendar days and estimate the standard error of the total. Pure.

Errors of neighbouring days go wrong together, so what is independent are blocks of days. A block
is a stretch of the calendar: two days that a holiday parts are no neighbours because nothing was
measured in between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Totals:
    """One entry per group of rows.

    total : summed values. error : its standard error; infinite where there are fewer than two
        blocks. n_days : days with rows. n_blocks : independent blocks of days.
    """

    total: NDArray[np.float64]
    error: NDArray[np.float64]
    n_days: NDArray[np.int64]
    n_blocks: NDArray[np.int64]

    def p_positive(self) -> NDArray[np.float64]:
        """How likely such a total, or a higher one, is where the true one is 0 (one-sided t)."""
        from scipy import special  # slow to import, and only a run's process needs it

        p = np.ones(len(self.total))
        for n in np.unique(self.n_blocks[self.n_blocks > 1]):
            these = self.n_blocks == n
            total, error = self.total[these], self.error[these]
            with np.errstate(divide="ignore", invalid="ignore"):
                t = total / error
            t = np.where(error > 0, t, np.where(total > 0, np.inf, -np.inf))
            p[these] = 1.0 - special.stdtr(int(n) - 1, t)
        return p


def totals(
    group: NDArray[np.int64],
    day: NDArray[np.datetime64],
    value: NDArray[np.float64],
    block_days: int,
) -> Totals:
    """Total of the values of each group, with the error that drawing blocks of days again gives.

    group : (n_rows,) 0 … n_groups - 1, each at least once. day, value : (n_rows,).

    The variance is that of circular blocks of `block_days` days, drawn with replacement without
    end: Politis & Romano, A circular block-resampling procedure for stationary data (1992); with
    Bessel's correction for the number of blocks.
    """
    days, day_of_row = np.unique(day.astype("datetime64[D]"), return_inverse=True)
    pairs, pair_of_row = np.unique(group * len(days) + day_of_row, return_inverse=True)
    by_day = np.bincount(pair_of_row, value)
    group_of_day = pairs // len(days)
    sink = places(days[pairs % len(days)], block_days, group_of_day)

    length = np.zeros(int(group.max()) + 1, dtype=np.int64)
    np.maximum.at(length, group_of_day, sink + 1)
    first = np.cumsum(length) - length
    on_circle = np.zeros(int(length.sum()))
    on_circle[first[group_of_day] + sink] = by_day
    circle = np.repeat(np.arange(len(length)), length)
    at = np.arange(len(on_circle)) - first[circle]
    sums = np.zeros(len(on_circle))
    for step in range(block_days):
        sums += on_circle[first[circle] + (at + step) % length[circle]]

    n_blocks = length // block_days
    centre = np.bincount(circle, sums) / length
    squares = np.bincount(circle, (sums - centre[circle]) ** 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(squares / block_days * n_blocks / (n_blocks - 1))
    return Totals(
        total=np.asarray(np.bincount(group, value), dtype=np.float64),
        error=np.where(n_blocks > 1, error, np.inf),
        n_days=np.bincount(group_of_day),
        n_blocks=n_blocks,
    )


def places(
    day: NDArray[np.datetime64], block_days: int, group: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Where on a circle of days each of a group's days lies, from 0; its length is the last + 1.

    day : sorted within each group, none twice; groups follow each other. None: one group.

    Days that are a block or more apart are put a block apart: still no block holds both, and none
    is without any.
    """
    number = day.astype("datetime64[D]").astype(np.int64)
    gaps = np.minimum(np.diff(number, prepend=number[:1]), block_days)
    if group is None:
        return np.cumsum(gaps)
    is_first = np.diff(group, prepend=-1) != 0
    running = np.cumsum(np.where(is_first, 0, gaps))
    return np.asarray(running - running[is_first][np.cumsum(is_first) - 1], dtype=np.int64)
