"""Write control requests to the retrain daemon: one file per request, written whole, read once.

Changes nothing else: the retrain daemon is the only writer of signals.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from api_service.status.retrain_daemon import look_at_retrain_daemon
from shared.exchange.control_request import Request
from shared.exchange.json_files import SignalUnreadable, read_struct, write_struct

Kind = Literal[
    "train", "cancel", "rollback", "hold", "release", "reload", "forget", "confirm_deletions"
]


def new_id(now: datetime) -> str:
    """Unique, sorts by time, and safe in a path and a URL."""
    return f"{now:%Y%m%dT%H%M%S%f}Z-{secrets.token_hex(4)}"


def deletions_effect(model: str) -> str:
    """What a request to confirm deletions does."""
    return (
        f"records of {model} that its source does not bring any more and that are withheld are"
        " deleted; trainings go on without them."
    )


def submit(
    requests_dir: Path,
    reports_dir: Path,
    now: datetime,
    *,
    kind: Kind,
    model: str,
    requested_by: str,
    effect: str,
    version: str | None = None,
    run_id: str | None = None,
    reason: str = "",
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a request and return what to answer: its id and what will happen.

    Raises:
        StorageUnavailable: it could not be written; nothing was asked.
    """
    request = Request(
        id=new_id(now),
        kind=kind,
        model=model,
        requested_at=now,
        requested_by=requested_by,
        version=version,
        run_id=run_id,
        reason=reason,
        options=dict(options or {}),
    )
    write_struct(requests_dir / f"{request.id}.json", request)
    daemon = look_at_retrain_daemon(reports_dir, now)
    when = "" if daemon.is_running else f" But not yet: {daemon.sentence}"
    return {
        "request_id": request.id,
        "model": model,
        "sentence": effect + when,
        "retrain_daemon": daemon.state,
    }


def waiting_run(requests_dir: Path, run_id: str) -> Mapping[str, Any] | None:
    """A run that was asked for and that the retrain daemon has not taken up yet."""
    if not run_id or not all(letter.isalnum() or letter in "-_" for letter in run_id):
        return None  # not a name we give; never a path
    try:
        request = read_struct(requests_dir / f"{run_id}.json", Request)
    except SignalUnreadable:
        return None
    if request is None or request.kind != "train":
        return None
    return {
        "run_id": request.id,
        "model": request.model,
        "status": "queued",
        "trigger": "manual",
        "trigger_reason": request.reason or "asked for through the API",
        "requested_at": request.requested_at,
    }
