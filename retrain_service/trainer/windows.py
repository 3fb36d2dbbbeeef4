"""Candidates that are fitted on the newest days only: a world may have changed. Judges nothing.

The name `ridge@30d` says: the candidate `ridge`, on the newest 30 days of the rows it is given.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from shared.workloads.training import TrainingSet

_NAME = re.compile(r"(?P<base>.*)@(?P<days>\d+)d")
_LEAST_SHARE = 1.5  # a history must be so many times as long for a window to leave something out
_N_ORIGINS, _ORIGIN_DAYS = 2, 7


def windowed(base: str, train: TrainingSet, lengths_days: Sequence[int]) -> list[str]:
    """The candidate on windows that are shorter than the history, shortest first."""
    if not train.n_rows:
        return []
    n_days = int((train.day.max() - train.day.min()).astype("timedelta64[D]").astype(np.int64)) + 1
    fitting = (days for days in sorted(set(lengths_days)) if days * _LEAST_SHARE <= n_days)
    return [f"{base}@{days}d" for days in fitting]


def has_window(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def cut(name: str, rows: TrainingSet) -> tuple[str, TrainingSet]:
    """What the workload calls the candidate, and the rows that it is fitted on."""
    found = _NAME.fullmatch(name)
    if found is None or not rows.n_rows:
        return name, rows
    since = rows.day.max() - np.timedelta64(int(found["days"]), "D")
    return found["base"], rows.where(rows.day > since)


def newest_origins(train: TrainingSet) -> list[tuple[TrainingSet, TrainingSet]]:
    """(past, the week that came next), twice: only the newest days tell of a change."""
    days = np.unique(train.day)
    if len(days) < _N_ORIGINS * 2 * _ORIGIN_DAYS:
        return []
    bounds = [*days[-_N_ORIGINS * _ORIGIN_DAYS :: _ORIGIN_DAYS], days[-1] + np.timedelta64(1, "D")]
    return [
        (train.where(train.day < first), train.where((train.day >= first) & (train.day < end)))
        for first, end in pairwise(bounds)
    ]
