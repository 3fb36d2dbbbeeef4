"""Ask the running daemon to train and follow its runs until they end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from retrain_service.commands.daemon_client import (
    POLL_PERIOD_S,
    AnswerTimeout,
    answer_to,
    new_request,
    put,
    read_daemon_state,
)
from shared.daemon.loop import utc_now
from shared.errors import NotFound, StateConflict
from shared.exchange.control_request import Request
from shared.exchange.retrain_report import RetrainReport
from shared.run_log.reader import reading
from shared.run_log.run import UNFINISHED, Run
from shared.settings.root import Settings
from shared.versions.model_names import full_name, split_name

Show = Callable[[str, float | None], None]


def ask_to_train(settings: Settings, name: str, options: Mapping[str, Any]) -> Request:
    """Leave the request; its id is the run's id."""
    request = new_request("train", name, utc_now(), options=dict(options))
    put(settings, request)
    return request


def train_via_daemon(
    settings: Settings,
    names: Sequence[str],
    options: Mapping[str, Any],
    stop: threading.Event,
    show: Show,
) -> list[tuple[str, Run]]:
    """Ask for a run of each and wait for all.

    Raises:
        AnswerTimeout: the daemon is gone; what it had not begun was taken back.
        StateConflict: it refused, or we were told to stop waiting.
    """
    asked = [(name, ask_to_train(settings, name, options)) for name in names]
    try:
        return [(name, follow(settings, request.id, name, stop, show)) for name, request in asked]
    except BaseException:
        for _, request in asked:
            _path(settings, request.id).unlink(missing_ok=True)
        raise


def follow(settings: Settings, run_id: str, name: str, stop: threading.Event, show: Show) -> Run:
    """Wait for the end of a run.

    Raises:
        AnswerTimeout, StateConflict: as above.
    """
    while True:
        run = run_or_none(settings, run_id)
        if run is not None and run.status not in UNFINISHED:
            return run
        daemon = read_daemon_state(settings)
        if not daemon.is_running:
            raise AnswerTimeout(f"{name}: {daemon.sentence} The run {run_id} has not ended.")
        if run is None and not _path(settings, run_id).exists():
            # Written down first and taken out of the box next: so look once more.
            if run_or_none(settings, run_id) is None:
                said = answer_to(settings, run_id, 0)
                raise StateConflict(said.sentence if said else f"{name}: the daemon refused.")
            continue
        if stop.wait(POLL_PERIOD_S):
            raise StateConflict(f"no longer waiting for run {run_id} of {name}.")
        report = daemon.report.models.get(name) if daemon.report is not None else None
        if report is not None and report.running_run_id == run_id and report.stage is not None:
            show(report.stage, report.progress)
        else:
            show("queued", 0.0)


def names_of(report: RetrainReport, name: str) -> list[str]:
    """The model itself, or all its entities that the daemon knows."""
    model, entity = split_name(name)
    if name in report.models or entity:
        return [name]
    known = [each for each in report.models if split_name(each)[0] == model]
    return sorted(known) or [full_name(model, entity)]


def run_or_none(settings: Settings, run_id: str) -> Run | None:
    """The run as the log has it; None when it has not been written down."""
    with contextlib.suppress(NotFound), reading(settings.run_log_path) as log:
        return log.run(run_id)
    return None


def _path(settings: Settings, run_id: str) -> Any:
    return settings.requests_dir / f"{run_id}.json"
