"""Hold out the newest fifth of all days, however long the history: more days to measure on.

A run holds out no more than its comparison needs. Knows no workload.
"""

from __future__ import annotations

import math

import numpy as np

from shared.workloads.training import TrainingSet


def split_off_newest_fifth(
    rows: TrainingSet, n_days: int | None = None
) -> tuple[TrainingSet, TrainingSet]:
    """(train, holdout). n_days : of the calendar; None for the days that have rows."""
    days = np.unique(rows.day)
    if n_days is None:
        first_held_out = days[-math.ceil(days.size / 5)]
    else:
        first_held_out = days[-1] + np.timedelta64(1 - math.ceil(n_days / 5), "D")
    is_held_out = rows.day >= first_held_out
    return rows.where(~is_held_out), rows.where(is_held_out)
