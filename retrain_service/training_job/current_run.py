"""The state of a run between its decision and its end. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from retrain_service.buffer.snapshot import SnapshotInfo
from retrain_service.trainer.job_spec import JobSpec
from retrain_service.trainer.libraries import libraries_for
from retrain_service.training_job.job import JobResult, TrainingJob
from shared.run_log.run import Run, RunStatus


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended; it is in the run log only once that has taken it.

    reason : the verdict of a run that came to one, else what went wrong.
    kind : of the event that tells of it.
    """

    at: datetime
    status: RunStatus
    reason: str
    kind: str
    promoted: bool
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CurrentRun:
    """A run that is written down and whose end is not.

    freezing : the snapshot being made; `snapshot` once it is there.
    options : what a person asked for: days, parameters, incremental, force.
    is_retry : its rows are those of a run that failed.
    spec : what its process is started with; job : that process, once it was started.
    ending : once it is known.
    """

    run: Run
    work_dir: Path
    options: Mapping[str, Any]
    is_retry: bool = False
    freezing: Future[SnapshotInfo] | None = None
    snapshot: SnapshotInfo | None = None
    spec: JobSpec | None = None
    job: TrainingJob | None = None
    ending: Ending | None = None


def spec_details(spec: JobSpec) -> dict[str, Any]:
    """What a run is made of besides its rows."""
    return {
        "workload": spec.workload,
        "parameters": spec.parameters,
        "seed": spec.seed,
        "libraries": libraries_for(spec.workload, spec.parameters),
        "inputs_digest": spec.inputs_digest,
        "base_generation": spec.base_generation,
        "champion": spec.champion,
    }


def details_of(current: CurrentRun, result: JobResult | None = None) -> dict[str, Any]:
    """What the run log keeps of a run beyond its columns."""
    details: dict[str, Any] = {"options": dict(current.options), "is_retry": current.is_retry}
    if current.snapshot is not None:
        details["snapshot_digest"] = current.snapshot.digest
        details["records"] = current.snapshot.n_total
    if current.spec is not None:
        details |= spec_details(current.spec)
    if result is not None:
        details |= {**result.details, "gates": result.gates}
    return details
