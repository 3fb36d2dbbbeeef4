"""How many of the newest days are held out to judge a model. Pure; knows no workload."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.workloads.training import TrainingSet

FEWEST_DAYS, MOST_DAYS = 7, 28


def days_held_out(n_days: int) -> int:
    """Of a history of so many days; a fifth, but what the comparison needs and no more.

    A week covers each weekday once and carries a bound at 95 %; beyond four weeks a bound gets
    hardly narrower, and what is held out is what the judged model has not learnt from. At least
    as many days are left to be fitted on.
    """
    return min(max(-(-n_days // 5), FEWEST_DAYS), MOST_DAYS, n_days // 2)


def split_by_day(rows: TrainingSet) -> tuple[TrainingSet, TrainingSet]:
    """(train, holdout): the newest of the days that have rows are the holdout."""
    is_held_out = newest_days(rows.day)
    return rows.where(~is_held_out), rows.where(is_held_out)


def newest_days(day: NDArray[np.datetime64]) -> NDArray[np.bool_]:
    """(n_rows,): which rows belong to the days that are held out; none of a single day."""
    days = np.unique(day)
    n_held_out = days_held_out(len(days))
    if not n_held_out:
        return np.zeros(day.shape[0], dtype=np.bool_)
    return np.asarray(day >= days[-n_held_out], dtype=np.bool_)
