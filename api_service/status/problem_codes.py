"""Stable codes of the problems that health reports: code reads the codes, people the sentences."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class ProblemCode(StrEnum):
    """What is wrong. docs/operations.md says what each means."""

    NO_VERSION_SERVED = "no_version_served"
    BASELINE_SERVED = "baseline_served"
    VERSION_QUARANTINED = "version_quarantined"
    SIGNAL_MISSING = "signal_missing"
    SIGNAL_UNREADABLE = "signal_unreadable"
    SIGNAL_WENT_BACK = "signal_went_back"
    GENERATION_REUSED = "generation_reused"
    OTHER_VERSION_SERVED = "other_version_served"
    WORKER_TROUBLE = "worker_trouble"
    WORKERS_MISSING = "workers_missing"
    WORKER_SILENT = "worker_silent"
    NO_DIRECTORY_EVENTS = "no_directory_events"
    RELOAD_LOOP_STUCK = "reload_loop_stuck"
    RETRAIN_NOT_RUNNING = "retrain_not_running"
    RETRAIN_SILENT = "retrain_silent"
    RETRAIN_ERROR = "retrain_error"
    SOURCE_UNAVAILABLE = "source_unavailable"
    SOURCE_MISCONFIGURED = "source_misconfigured"
    SOURCE_BUDGET = "source_budget"
    SOURCE_WITHHELD = "source_withheld"
    TRAINING_ERROR = "training_error"


class Problem(NamedTuple):
    """One problem: its code, and the sentence that people read."""

    code: str
    sentence: str
