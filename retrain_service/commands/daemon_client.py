"""Have the daemon change or train where it runs; else change it here under the same lock.

Only the process that holds the retrain lock changes anything. To the running daemon a command
writes a control request; then it waits for the event of the run log that answers the request.
"""

from __future__ import annotations

import contextlib
import getpass
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from shared.daemon.liveness import still_runs
from shared.daemon.loop import utc_now
from shared.daemon.one_instance import only_instance
from shared.errors import AlreadyRunning, NotFound, StateConflict, TryLater
from shared.exchange.control_request import Request
from shared.exchange.json_files import SignalUnreadable, read_struct, write_struct
from shared.exchange.retrain_report import RETRAIN_REPORT_NAME, RetrainReport
from shared.run_log.reader import Event, reading
from shared.run_log.run import UNFINISHED, Run
from shared.run_log.writer import RunLog
from shared.settings.root import Settings
from shared.versions.model_names import full_name, split_name

T = TypeVar("T")
Show = Callable[[str, float | None], None]
"""Shows a run's stage and its progress from 0 to 1."""

LOCK = "retrain_service"
POLL_PERIOD_S = 0.1
ANSWER_TIMEOUT_S = 30.0
_A_PAGE = 1000


class AnswerTimeout(TryLater):
    """The daemon did not do it in time."""


@dataclass(frozen=True, slots=True)
class DaemonState:
    """`state`: running, or not_running."""

    state: Literal["running", "not_running"]
    sentence: str
    report: RetrainReport | None

    @property
    def is_running(self) -> bool:
        return self.state == "running"


def read_daemon_state(settings: Settings) -> DaemonState:
    """By its report and its process; of another machine, by its report alone."""
    try:
        report = read_struct(settings.reports_dir / RETRAIN_REPORT_NAME, RetrainReport)
    except SignalUnreadable as error:
        return DaemonState("not_running", f"the retrain daemon's report: {error}", None)
    if report is None:
        return DaemonState("not_running", "the retrain daemon does not run.", None)
    now = utc_now()
    if not still_runs(
        report.host,
        report.pid,
        started_at=report.started_at,
        updated_at=report.updated_at,
        now=now,
    ):
        return DaemonState("not_running", "the retrain daemon died; start it again.", None)
    age_s = (now - report.updated_at).total_seconds()
    silent = f", silent for {age_s:.0f} s" if age_s > 30 else ""
    return DaemonState("running", f"the retrain daemon runs (pid {report.pid}){silent}.", report)


@contextlib.contextmanager
def exclusive_lock(settings: Settings) -> Iterator[RunLog]:
    """Hold the lock and the run log.

    Raises:
        AlreadyRunning: the daemon, or another command, holds it.
    """
    with (
        only_instance(settings.pids_dir, LOCK),
        contextlib.closing(RunLog.open(settings.run_log_path)) as run_log,
    ):
        yield run_log
        run_log.write_waiting_events()


def new_request(kind: str, model: str, now: datetime, **fields: Any) -> Request:
    """A request of the person or the job that runs this command."""
    return Request(
        id=f"{now:%Y%m%dT%H%M%S%f}Z-{secrets.token_hex(4)}",
        kind=kind,  # type: ignore[arg-type]
        model=model,
        requested_at=now,
        requested_by=_who(),
        **fields,
    )


def put(settings: Settings, request: Request) -> None:
    """Leave a request for the daemon."""
    write_struct(settings.requests_dir / f"{request.id}.json", request)


def ask(settings: Settings, request: Request, timeout_s: float = ANSWER_TIMEOUT_S) -> Event:
    """Have the daemon do it, and return the event that says so.

    Raises:
        StateConflict: it refused, with its sentence.
        AnswerTimeout: it did not answer; the request was taken back.
    """
    seen = _last_seq(settings)
    put(settings, request)
    try:
        answer = wait_for(lambda: answer_to(settings, request.id, seen), timeout_s)
    finally:
        (settings.requests_dir / f"{request.id}.json").unlink(missing_ok=True)
    if answer is None:
        answer = answer_to(settings, request.id, seen)
    if answer is None:
        raise AnswerTimeout(
            f"{request.kind}: not done within {timeout_s:g} s and taken back;"
            f" {read_daemon_state(settings).sentence}"
        )
    if answer.kind == "refusal":
        raise StateConflict(answer.sentence)
    return answer


def do_or_ask(
    settings: Settings,
    request: Request,
    do: Callable[[RunLog], T],
    told: Callable[[Event], T],
    timeout_s: float = ANSWER_TIMEOUT_S,
) -> T:
    """Do it here when no daemon runs, else ask it."""
    try:
        with exclusive_lock(settings) as run_log:
            return do(run_log)
    except AlreadyRunning:
        return told(ask(settings, request, timeout_s))


def wait_for(look: Callable[[], T | None], timeout_s: float) -> T | None:
    """What `look` finds within `timeout_s`, else None."""
    deadline = time.monotonic() + timeout_s
    while (found := look()) is None and time.monotonic() < deadline:
        time.sleep(POLL_PERIOD_S)
    return found


def _last_seq(settings: Settings) -> int:
    try:
        with reading(settings.run_log_path) as log:
            return log.last_event_seq()
    except NotFound:
        return 0


def answer_to(settings: Settings, request_id: str, after: int) -> Event | None:
    """The event with a number above `after` that says what became of a request."""
    with contextlib.suppress(NotFound), reading(settings.run_log_path) as log:
        while events := log.events(after=after, limit=_A_PAGE):
            for event in events:
                if event.details.get("request_id") == request_id:
                    return event
            after = events[-1].seq
    return None


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such name on a bare system
        user = "somebody"
    return f"{user} at the command line"


def ask_to_train(settings: Settings, name: str, options: Mapping[str, Any]) -> Request:
    """Leave the request; its id is the run's id."""
    request = new_request("train", name, utc_now(), options=dict(options))
    put(settings, request)
    return request


def train_and_wait(
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


def _path(settings: Settings, run_id: str) -> Path:
    return settings.requests_dir / f"{run_id}.json"
