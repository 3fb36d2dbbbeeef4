"""The retrain loop: one tick handles control requests, runs each model's controller, reports.

Knows no database and no workload. Each step, each model and each request is a matter of its own:
what one raises is logged, reported, and tried again at the next tick.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path

import structlog

from retrain_service.buffer.stream_reader import StreamReader
from retrain_service.home import make_home, signing_key
from retrain_service.model_controller import ModelController
from retrain_service.observers.observers import Observers
from retrain_service.observers.status_line import status_line
from retrain_service.open_problems import OpenProblems
from retrain_service.publish.signing_once import sign_signals_of_before
from retrain_service.trainer.candidates import configured_workload
from retrain_service.training_controller import Decide
from retrain_service.training_job.job_limit import JobLimit
from retrain_service.training_job.retry_snapshot import FOLDER as PINNED_FOLDER
from retrain_service.triggers import decide as triggers
from retrain_service.triggers.event_inbox import collect_events
from shared.atomic_file import storage_errors
from shared.exchange.control_request import Request
from shared.exchange.event_burst import EVENT_PREFIX
from shared.exchange.json_files import SignalUnreadable, read_struct, write_struct
from shared.exchange.retrain_report import RETRAIN_REPORT_NAME, RetrainReport, TrainingReport
from shared.keys.api_keys import ensure_api_keys
from shared.keys.console_secret import ensure_console_secret
from shared.keys.signing import SigningKey
from shared.left_temporaries import remove_left_temporaries
from shared.run_log.run import RunStatus
from shared.run_log.writer import RunLog
from shared.settings.root import Settings
from shared.versions.model_names import split_name
from shared.versions.model_store import ModelStore

log = structlog.get_logger()

REPORT = "report"
REPORT_PERIOD = timedelta(seconds=5)


class RetrainLoop:
    """initialize → tick … tick → shutdown, all on one thread."""

    def __init__(
        self,
        settings: Settings,
        *,
        wake: threading.Event | None = None,
        only: str | None = None,
        decide: Decide = triggers.decide,
    ) -> None:
        """Prepare.

        Args:
            wake: set, by any thread, when there is something to do before the next regular tick.
            only: keep this configured model alone, and leave requests and events of the API to
                the daemon.
            decide: when to train.
        """
        self._settings = settings
        self._wake = (wake or threading.Event()).set
        self._only = only
        self._decide = decide
        self._observers: Observers | None = None
        self._controllers: dict[str, ModelController] = {}
        self._run_log: RunLog | None = None
        self._key: SigningKey | None = None
        self._started_at: datetime | None = None
        self._reported_at: datetime | None = None
        self._reported: Mapping[str, TrainingReport] = {}
        self._problems = OpenProblems()
        self._slots: JobLimit | None = None

    def initialize(self, now: datetime) -> None:
        """Open everything, finish or discard what a daemon that died left behind.

        Raises:
            FixConfiguration: a workload does not take its parameters, a key is unusable.
            StorageUnavailable: the home directory is not writable.
        """
        settings = self._settings
        workloads = {name: configured_workload(each) for name, each in settings.models.items()}
        with storage_errors(settings.home):
            make_home(settings)
        # Whoever holds the lock is the only one: what lies there belongs to runs that are over.
        for left_over in settings.work_dir.iterdir():
            if left_over.name != PINNED_FOLDER:
                shutil.rmtree(left_over, ignore_errors=True)
        for depth in ("", "*/", "*/*/", "*/*/*/"):  # down to the folder of a model's versions
            for directory in settings.home.glob(depth) if depth else (settings.home,):
                remove_left_temporaries(directory)
        self._key = key = signing_key(settings)
        ensure_api_keys(settings.keys_dir)
        ensure_console_secret(settings.keys_dir)
        store = ModelStore(settings.models_dir, signing=key)
        store.clear_staged()
        slots = self._slots = JobLimit(settings.retrain.max_parallel_runs)
        self._run_log = RunLog.open(settings.run_log_path)
        sign_signals_of_before(store, self._run_log)
        self._observers = Observers(settings, self._run_log)
        for name, workload in workloads.items():
            if self._only not in (None, name):
                continue
            source = settings.models[name].source
            reader = StreamReader(
                name,
                settings,
                workload,
                n_sharing=sum(
                    len(workloads[other].streams)
                    for other, model in settings.models.items()
                    if model.source == source
                ),
                spent_elsewhere=partial(self._spent, name),
            )
            controller = ModelController(
                name, settings, reader, store, self._run_log, key, slots, self._wake, self._decide
            )
            self._controllers[name] = controller
        if self._only is None:
            self._guarded("run log", self._abandon_unknown, now)
        self._started_at = now

    def tick(self, now: datetime) -> None:
        """Look around once. Whatever is raised on the way is reported, and tried again."""
        assert self._slots is not None
        self._slots.begin_round()
        self._guarded("removed files", self._restore_removed, now)
        self._guarded("run log", self._write_waiting_events, now)
        if self._only is None:
            self._guarded("requests", self._handle_requests, now)
            self._guarded("events", self._collect_events, now)
        for name, controller in self._controllers.items():
            self._guarded(name, controller.tick, now)
        if self._observers is not None:
            self._guarded("observers", self._observers.process_events, now)
        self._guarded(REPORT, self._report, now)

    def _guarded(self, name: str, step: Callable[[datetime], None], now: datetime) -> None:
        try:
            step(now)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the loop outlives it, a sys.exit() too
            self._problems.set(name, error)
        else:
            self._problems.clear(name)

    def _restore_removed(self, now: datetime) -> None:
        """Write again what somebody removed while it is open or known here."""
        assert self._run_log is not None
        assert self._key is not None
        written = self._key.restore(self._settings.keys_dir)
        if self._run_log.reopen_if_replaced():
            written.append(self._settings.run_log_path)
        for path in written:
            sentence = f"{path} had been removed while it was in use, and was made anew."
            log.error("file_restored", path=str(path), sentence=sentence)
            self._run_log.add_event(now, "", "error", sentence)

    def _write_waiting_events(self, _now: datetime) -> None:
        assert self._run_log is not None
        self._run_log.write_waiting_events()

    @property
    def status(self) -> str:
        """How it is, in one line, as of the last report."""
        return status_line(self._reported, self._problems.sentence())

    def controller(self, model: str) -> ModelController:
        """The controller of a configured model."""
        return self._controllers[model]

    def shutdown(self, now: datetime) -> None:
        """Stop runs under way and close everything; nothing is left but the files."""
        for name, controller in self._controllers.items():
            self._guarded(name, controller.close, now)
        if (observers := self._observers) is not None:
            self._guarded("observers", lambda _: observers.close(), now)
        if self._run_log is not None:
            self._run_log.close()
        with contextlib.suppress(OSError):
            (self._settings.reports_dir / RETRAIN_REPORT_NAME).unlink(missing_ok=True)

    def _spent(self, model: str, source: str, _day: date) -> int:
        """Billed reads of a source today by the other models, as of their last look."""
        return sum(
            controller.billed_today.get(source, 0)
            for name, controller in self._controllers.items()
            if name != model
        )

    def _abandon_unknown(self, now: datetime) -> None:
        """Close what a daemon that died left open of models that are not configured any more."""
        assert self._run_log is not None
        for run in self._run_log.unfinished():
            if split_name(run.model)[0] not in self._controllers:
                sentence = f"{run.version}: abandoned, {run.model} is not configured any more."
                self._run_log.finish_run(
                    run.run_id,
                    now,
                    RunStatus.ABANDONED,
                    error=sentence,
                    event=("abandon", sentence),
                )

    def _collect_events(self, now: datetime) -> None:
        assert self._run_log is not None
        # Events are for trainings; those of a model whose are not known yet would be refused.
        if all(controller.add_stored_entities() for controller in self._controllers.values()):
            collect_events(self._settings.requests_dir, self._run_log, self._names(), now)

    def _names(self) -> dict[str, list[str]]:
        """Every name a caller may use -> the trainings it means: one, or all of a model's."""
        names: dict[str, list[str]] = {}
        for name, controller in self._controllers.items():
            names[name] = [training.name for training in controller.trainings.values()]
            names |= {full: [full] for full in names[name]}
        return names

    def _handle_requests(self, now: datetime) -> None:
        failed: Exception | None = None
        for path in sorted(self._settings.requests_dir.glob("*.json")):
            if path.name.startswith(EVENT_PREFIX):
                continue
            try:
                if self._handle_request(path, now):
                    path.unlink(missing_ok=True)
            except Exception as error:  # noqa: BLE001 - this one waits, the others do not
                failed = failed or error
        if failed is not None:
            raise failed

    def _handle_request(self, path: Path, now: datetime) -> bool:
        """Do what a file asks for; False when it must wait for a later tick."""
        try:
            request = read_struct(path, Request)
        except SignalUnreadable as error:
            if isinstance(error.__cause__, OSError):
                raise  # the disk refuses for now
            log.warning("request_unreadable", sentence=f"{error}; set aside.")
            path.replace(path.with_suffix(".unreadable"))
            return False
        if request is None:
            return False
        if request.kind == "prune" and self._observers is not None:
            self._observers.prune(now, request.id)
            return True
        controller = self._controllers.get(split_name(request.model)[0])
        if controller is None:
            assert self._run_log is not None
            sentence = f"{request.kind} refused: no model {request.model!r} is configured."
            log.warning("request_refused", sentence=sentence)
            # By its id the API tells whoever asked.
            details = {"request_id": request.id, "kind": request.kind}
            self._run_log.add_event(now, request.model, "refusal", sentence, details=details)
            return True
        return controller.handle(request, now)

    def _report(self, now: datetime) -> None:
        models = {
            name: report
            for controller in self._controllers.values()
            for name, report in controller.report().items()
        }
        age = now - self._reported_at if self._reported_at is not None else REPORT_PERIOD
        is_fresh = (
            timedelta(0) <= age < REPORT_PERIOD
        )  # a clock that was set back makes it negative
        if is_fresh and models == self._reported:
            return
        report = RetrainReport(
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=self._started_at or now,
            updated_at=now,
            models=models,
            # A report that is read has been written: it tells of every problem but its own.
            error=self._problems.sentence(without=REPORT),
        )
        write_struct(self._settings.reports_dir / RETRAIN_REPORT_NAME, report)
        self._reported, self._reported_at = models, now
