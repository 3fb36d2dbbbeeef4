"""Bound the ratio of two models' errors on the same rows by a paired block bootstrap over days.

Rows of one day go wrong together, so days are resampled, never rows, and both models' losses of
a day stay together; so do the days of a block of the calendar. Pure; gives numbers, no verdict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from retrain_service.evaluation.block_length import block_length
from retrain_service.evaluation.day_blocks import places, totals
from shared.workloads.contract import resolution
from shared.workloads.training import Score

N_RESAMPLES = 2000
_CHUNK_NUMBERS = 2_000_000  # days x resamples held in memory at once


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same rows.

    candidate, rival : the errors, in the unit of the scores.
    ratio : candidate / rival; 1 when both are 0, infinite when only the rival's is. What floating
        point cannot tell from 0 counts as the least that it can.
    upper : the ratio is below this with the confidence that was asked for; infinite when there
        are too few days to say anything with that confidence.
    n_days : days with rows. n_days_missing : as many more are needed for a bound; 0 when it is one.
    block_days : days of the calendar that were resampled together.
    """

    candidate: float
    rival: float
    ratio: float
    upper: float
    n_rows: int
    n_days: int
    n_days_missing: int
    block_days: int


def fewest_days(confidence: float, block_days: int) -> int:
    """Fewer days than this cannot carry a bound with this confidence.

    The greatest of n values lies below the middle of their distribution with probability 1 / 2^n,
    so no bound within the data is safer than that: 5 blocks for 95 %.
    """
    return block_days * max(2, math.ceil(-math.log2(1 - confidence)))


def compare(
    candidate: Score, rival: Score, *, confidence: float, block_days: int = 0, seed: int = 0
) -> Comparison:
    """Compare errors on the same rows; same rows and seed, same answer.

    candidate, rival : row i is the same row in both.
    block_days : days of the calendar that are resampled together, for errors that last; 0: as
        many as the losses show.
    """
    days, losses = losses_by_day(candidate, rival)
    block_days = block_length(candidate, rival, block_days)
    n_rows = int(candidate.loss.shape[0])
    sink = places(days, block_days)
    on_circle = np.zeros((int(sink[-1]) + 1, 2))
    on_circle[sink] = losses
    order = candidate.order
    least = resolution(candidate, rival) ** order * n_rows
    missing = fewest_days(confidence, block_days) - on_circle.shape[0]
    upper = math.inf
    if missing <= 0:
        ratios = _ratio(_resampled(on_circle, block_days, seed), least, order)
        at = math.ceil(_expanded(confidence, on_circle.shape[0] // block_days) * N_RESAMPLES) - 1
        upper = float(np.sort(ratios)[min(at, N_RESAMPLES - 1)])
    total = losses.sum(axis=0)
    return Comparison(
        candidate=candidate.error,
        rival=rival.error,
        ratio=float(_ratio(total[None, :], least, order)[0]),
        upper=upper,
        n_rows=n_rows,
        n_days=int(days.shape[0]),
        n_days_missing=max(missing, 0),
        block_days=block_days,
    )


def p_of_ratio(candidate: Score, rival: Score, ratio: float, block_days: int) -> float:
    """How likely losses like these, or lower ones, are where the candidate's error truly is
    `ratio` times the rival's, more than 1: one-sided t over blocks of days; Fieller, Some problems
    in interval estimation (1954). 1 where there are fewer than two blocks."""
    one_group = np.zeros(candidate.loss.shape[0], dtype=np.int64)
    short_of = ratio**candidate.order * rival.loss - candidate.loss
    found = totals(one_group, candidate.day, short_of, block_days)
    least = resolution(candidate, rival) ** candidate.order * candidate.loss.shape[0]
    is_tied = abs(found.total[0]) <= least  # both have no error that floating point can tell
    return 0.0 if is_tied else float(found.p_positive()[0])


def errors_to_ratio(candidate: Score, rival: Score, ratio: float, block_days: int) -> float:
    """How many standard errors of the ratio that was found lie between it and `ratio`.

    What both models find hard alike is no doubt about their ratio, while `p_of_ratio` counts it as
    one: identical models on days of very unlike losses could not be told from far worse ones.
    """
    one_group = np.zeros(candidate.loss.shape[0], dtype=np.int64)
    losses, rivals = float(candidate.loss.sum()), float(rival.loss.sum())
    if rivals <= 0:
        return 0.0
    not_shared = losses / rivals * rival.loss - candidate.loss
    error = float(totals(one_group, candidate.day, not_shared, block_days).error[0])
    distance = ratio**candidate.order * rivals - losses
    return distance / error if error > 0 else math.inf if distance > 0 else -math.inf


def losses_by_day(
    candidate: Score, rival: Score
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Days in order, and per day the summed loss of both: (n_days, 2)."""
    days, nth = np.unique(candidate.day, return_inverse=True)
    return days, np.stack(
        [np.bincount(nth, score.loss, len(days)) for score in (candidate, rival)], axis=1
    )


def _resampled(losses: NDArray[np.float64], block_days: int, seed: int) -> NDArray[np.float64]:
    """Sums over resampled days: (N_RESAMPLES, 2).

    losses : one row a place on the circle, see `places`; zeros where nothing was measured.

    Blocks of neighbouring days on a circle, so that every day is as likely as any other: Politis
    & Romano, A circular block-resampling procedure for stationary data (1992).
    """
    rng = np.random.default_rng(seed)
    n_days = losses.shape[0]
    n_blocks = -(-n_days // block_days)
    within = np.arange(block_days)
    sums = np.empty((N_RESAMPLES, 2))
    step = max(1, _CHUNK_NUMBERS // n_days)
    for first in range(0, N_RESAMPLES, step):
        n = min(step, N_RESAMPLES - first)
        starts = rng.integers(0, n_days, (n, n_blocks))
        picked = (starts[:, :, None] + within) % n_days
        picked = picked.reshape(n, -1)[:, :n_days]
        sums[first : first + n, 0] = losses[picked, 0].sum(axis=1)
        sums[first : first + n, 1] = losses[picked, 1].sum(axis=1)
    return sums


def students_t(confidence: float, df: int) -> float:
    """t with P(T <= t) = confidence, of Student's distribution with `df` degrees of freedom."""
    from scipy import special  # slow to import, and only a run's process needs it

    return float(special.stdtrit(df, confidence))


def _expanded(confidence: float, n_blocks: int) -> float:
    """The percentile to read so that the bound holds as often as it says, also for few blocks.

    A plain percentile is too narrow by sqrt((n - 1) / n) and by the normal in place of Student's
    t: of bounds at 95 % from 5 days, one in ten would be wrong. The expanded percentile makes up
    for both: Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician
    69 (4), 2015, pages 371-386.
    """
    t = students_t(confidence, n_blocks - 1)
    return NormalDist().cdf(math.sqrt(n_blocks / (n_blocks - 1)) * t)


def _ratio(sums: NDArray[np.float64], least: float, order: int) -> NDArray[np.float64]:
    candidate, rival = np.maximum(sums, least).T
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (candidate / rival) ** (1 / order)
    return np.where(rival > 0, ratio, np.where(candidate > 0, np.inf, 1.0))
