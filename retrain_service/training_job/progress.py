"""Report the stage and fraction of a run, and measure how long each stage took.

The training process writes one small file; the daemon reads it.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from retrain_service.training_job.job import PROGRESS_NAME, REFITTING, JobProgress
from shared.atomic_file import write_atomic

STAGE_STARTS = {
    "reading": 0.0,
    "comparing": 0.1,
    "fitting": 0.35,
    "evaluating": 0.55,
    REFITTING: 0.6,
    "staging": 0.9,
    "trial": 0.95,
}
"""Share of the run at which each stage begins; comparing and the two fits take most of it."""


class RunProgress:
    """Of one run; called when a stage begins and while it goes on."""

    def __init__(self, work_dir: Path) -> None:
        self._path = work_dir / PROGRESS_NAME
        self._began: dict[str, float] = {}

    def __call__(self, stage: str, within: float = 0.0) -> None:
        """within : the share of the stage that is done, 0..1."""
        self._began.setdefault(stage, time.monotonic())
        starts = [*STAGE_STARTS.values(), 1.0]
        at = list(STAGE_STARTS).index(stage)
        fraction = starts[at] + (starts[at + 1] - starts[at]) * within
        write_atomic(self._path, msgspec.json.encode(JobProgress(stage, round(fraction, 3))))

    @property
    def stage_s(self) -> dict[str, float]:
        """Seconds of each stage so far, the last one until now."""
        ends = [*list(self._began.values())[1:], time.monotonic()]
        pairs = zip(self._began.items(), ends, strict=True)
        return {stage: round(end - began, 3) for (stage, began), end in pairs}
