"""Read runs and events from the run log in the form in which the API shows them.

Opens the log for one request and closes it again.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from shared.errors import NotFound, StateConflict, StorageUnavailable
from shared.run_log.reader import Event, reading
from shared.run_log.run import Run, RunStatus
from shared.run_log.view import run_line, run_record

_VERSIONS_LOOKED_AT = 500
_REFUSALS_LOOKED_AT = 500


def list_runs(
    path: Path, *, model: str | None, status: RunStatus | None, limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """One page of runs, newest first, and how many there are; none before the first start.

    Raises:
        StorageUnavailable: the log cannot be read now.
    """
    try:
        with reading(path) as log:
            runs, total = log.runs(model=model, status=status, limit=limit, offset=offset)
    except NotFound:
        return [], 0
    return [run_line(run) for run in runs], total


def list_records(
    path: Path, *, model: str | None, base: str | None, limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """One page of runs with all that is known of each, newest first, and how many there are.

    base : of this configured model and of all its entities.

    Raises:
        StorageUnavailable: the log cannot be read now.
    """
    try:
        with reading(path) as log:
            runs, total = log.runs(model=model, base=base, limit=limit, offset=offset)
    except NotFound:
        return [], 0
    return [run_record(run) for run in runs], total


def show_run(path: Path, run_id: str) -> dict[str, Any]:
    """One run with its details.

    Raises:
        NotFound: no such run. StorageUnavailable: the log cannot be read now.
    """
    with reading(path) as log:
        return run_record(log.run(run_id))


def show_run_or_refusal(path: Path, run_id: str) -> dict[str, Any]:
    """As `show_run`; a training that the training daemon refused is a failed run without rows.

    Raises:
        As `show_run`.
    """
    with reading(path) as log:
        try:
            return run_record(log.run(run_id))
        except NotFound:
            refusals = log.events(kind="refusal", limit=_REFUSALS_LOOKED_AT, newest=True)
            refusal = next((event for event in refusals if _is_of_run(event, run_id)), None)
            if refusal is None:
                raise
    run = Run(
        run_id=run_id,
        model=refusal.model,
        trigger="manual",
        trigger_reason="asked for through the API",
        version="",
        version_number=0,
        status=RunStatus.FAILED,
        requested_at=refusal.at,
        finished_at=refusal.at,
        error=refusal.sentence,
    )
    return run_record(run)


def _is_of_run(refusal: Event, run_id: str) -> bool:
    details = refusal.details
    return details.get("kind") == "train" and details.get("request_id") == run_id


def require_not_needed(path: Path, model: str, run_id: str) -> None:
    """Refuse to take away the run on which the next decision rests.

    Raises:
        StateConflict: it is the last finished one. StorageUnavailable: the log cannot be read now.
    """
    with reading(path) as log:
        finished = log.history(model).last_finished
    if finished is not None and finished.run_id == run_id:
        raise StateConflict(
            f"run {run_id} is the last finished one of {model}: new records are counted from it."
        )


def totals(path: Path, model: str) -> dict[str, Any]:
    """How many trainings of a model there were, by how they ended, and the last of them."""
    try:
        with reading(path) as log:
            counts = {
                status.value: log.runs(model=model, status=status, limit=1)[1]
                for status in RunStatus
            }
            newest, total = log.runs(model=model, limit=1)
    except NotFound:
        return {"total": 0, "last": None}
    return {"total": total, **counts, "last": run_line(newest[0]) if newest else None}


def list_events(path: Path, *, model: str | None, after: int, limit: int) -> list[dict[str, Any]]:
    """Events with a number above `after`, oldest first; none before the first start.

    Raises:
        StorageUnavailable: the log cannot be read now.
    """
    try:
        with reading(path) as log:
            return [asdict(event) for event in log.events(model=model, after=after, limit=limit)]
    except NotFound:
        return []


def rejected_versions(path: Path, model: str) -> dict[str, str]:
    """Version -> verdict of the newest runs whose candidate was not promoted."""
    try:
        with reading(path) as log:
            runs, _ = log.runs(model=model, limit=_VERSIONS_LOOKED_AT)
    except (NotFound, StorageUnavailable):
        return {}  # what is stored and served is known without the log
    return {
        run.version: run.verdict or "not promoted"
        for run in runs
        if run.status is RunStatus.SUCCEEDED and not run.promoted
    }
