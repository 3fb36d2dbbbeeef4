"""Supervise the workers in the main process: bind the port, start them, replace dead ones.

Serves no request itself and opens no model.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
import time
from functools import partial
from multiprocessing import Pipe
from typing import TYPE_CHECKING, Any

import structlog
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import mp
from granian.server.mp import MPServer, WorkerProcess

from api_service.config.serving import ServingConfig
from api_service.connections import draining
from api_service.connections.limits import most_connections
from api_service.metrics.exited_workers import aggregate_exited_workers
from api_service.reload.switch.coordinator import SwitchCoordinator
from api_service.reload.switch.shared_generations import SharedGenerations
from api_service.status.worker_liveness import WorkersLiveness
from api_service.supervisor.fork_server import ForkedWorker, ForkServer, reap
from api_service.supervisor.granian_hooks import require_hooks
from api_service.supervisor.socket_activation import InheritedSocket
from api_service.supervisor.systemd_notify import run_systemd_notifier
from api_service.worker.entry import build_application
from api_service.worker.shutdown import EndRequest, end_worker, wait_for_end
from shared.daemon.stop import hear_ctrl_c
from shared.daemon.systemd import notify
from shared.errors import WorkersCannotStart
from shared.exchange.training_metrics import metrics_dir

if TYPE_CHECKING:
    pass

log = structlog.get_logger()

# Below the ten seconds that stop.sh waits before it kills.
WORKERS_KILL_TIMEOUT_S = 8
# One computes, 128 may wait for slow bodies, 96 for their turn and 32 to be refused
# (see web/request_lock.py);
# the others are for health. Started when they are needed.
READING_THREADS = 288
# There is hardly an answer to wait for.
_UNRESPONSIVE_KILL_TIMEOUT_S = 2.0
_CHECK_INTERVAL_S = 1.0
_QUICK_DEATH_S = 10.0
_LONGEST_PAUSE_S = 30.0
_START_ATTEMPTS_PER_WORKER = 3

GRANIAN_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {},
    "handlers": {"ours": {"()": "api_service.supervisor.granian_log.ServerLog"}},
    "loggers": {
        "_granian": {"handlers": ["ours"], "propagate": False},
        "granian.access": {"handlers": ["ours"], "propagate": False},
    },
}


class Supervisor(MPServer):
    """Granian, but it looks at its workers instead of counting events, and never gives up.

    Granian's own loop exits when a worker dies twice within seconds, and can miss a death that
    comes while it handles another. This one asks each process whether it lives, each second and
    on every event, and replaces the dead with a growing pause.
    """

    inherited_socket: InheritedSocket | None = None
    """Listen on this instead of the address."""

    switches: SwitchCoordinator | None = None
    """Lets all workers switch at one instant; None when there is only one."""

    is_standby = False
    """Give up when workers die before one has served: who started it has others that serve."""

    startup_failed = False
    fork_server: ForkServer | None = None
    """Fork workers from it; None: each is a fresh interpreter."""

    liveness: WorkersLiveness | None = None
    """Workers that do not answer by it are replaced."""

    _end_request: EndRequest | None = None  # to the only worker that there is on Windows
    _n_deaths = 0
    _pauses: dict[int, float]
    _not_before: dict[int, float]
    _being_ended: list[WorkerProcess]

    def _init_shared_socket(self) -> None:
        if self.inherited_socket is None:
            super()._init_shared_socket()  # type: ignore[no-untyped-call]
            return
        listener: Any = self.inherited_socket
        self._ssp, self._shd, self._sso = None, listener, None

    def _spawn_worker(  # type: ignore[override]  # theirs differs from its own base class
        self, idx: int, target: Any, callback_loader: Any
    ) -> WorkerProcess:
        spawn = super()._spawn_worker
        if sys.platform == "win32":
            self._end_request = EndRequest()
            callback_loader = partial(callback_loader, end_request=self._end_request)
        if self.liveness is not None:
            callback_loader = partial(callback_loader, liveness=self.liveness.of(idx))
        if self.fork_server is not None:
            parent_pipe = Pipe(duplex=False)
            callback_loader = partial(callback_loader, parent_pipe=parent_pipe[0])
        if self.switches is not None:
            channel, connect = self.switches.open_channel()
            callback_loader = partial(callback_loader, channel=channel)
        worker: Any = spawn(idx, target, callback_loader)
        if self.fork_server is not None:
            worker.inner = ForkedWorker(self.fork_server, worker.inner.run, parent_pipe)
        if self.switches is not None:
            start = worker.start

            def start_and_connect() -> None:
                start()
                connect(partial(end_worker, worker.inner, WORKERS_KILL_TIMEOUT_S))

            worker.start = start_and_connect
        return worker  # type: ignore[no-any-return]

    def _stop_workers(self) -> None:
        if self.liveness is not None:
            self.liveness.note_ending()
        if self.inherited_socket is not None:
            draining.drain_connections(self.worker_ages())
        if self._end_request is not None:
            # terminate() would end it in the middle of an answer there.
            for worker in self.wrks:
                worker.interrupt_by_parent = True
            self._end_request.ask()
            wait_for_end([worker.inner for worker in self.wrks], WORKERS_KILL_TIMEOUT_S)
            if self.worker_ages():
                log.warning(
                    "worker_killed",
                    sentence="The worker did not end in time and was killed; requests that it was"
                    " answering got no answer.",
                )
        super()._stop_workers()  # type: ignore[no-untyped-call]

    def worker_ages(self) -> dict[int, float]:
        """pid of each worker that lives -> seconds since it was started. Any thread may call."""
        now = time.monotonic()
        return {
            worker.inner.pid: now - worker.birth
            for worker in list(self.wrks)
            if worker.inner.pid is not None and worker.inner.is_alive()
        }

    def _serve_loop(self, spawn_target: Any, target_loader: Any) -> None:
        self._pauses, self._not_before, self._being_ended = {}, {}, []
        while not self._is_asked_to_stop():
            self.main_loop_interrupt.wait(_CHECK_INTERVAL_S)
            # Cleared before looking, so that what happens meanwhile is looked at again.
            self.main_loop_interrupt.clear()
            self.reload_signal = False  # HUP: models are swapped without it
            if self._is_asked_to_stop():
                break
            if self.fork_server is not None:
                self.fork_server.stop_if_idle()
                reap()
            self._replace_unresponsive()
            dead = [worker for worker in self.wrks if not worker.inner.is_alive()]
            due = [worker.idx for worker in dead if self._is_due(worker.idx, worker.birth)]
            if self.is_standby and self._n_deaths >= _START_ATTEMPTS_PER_WORKER * self.workers:
                self.startup_failed = self.interrupt_signal = True
                break
            if due:
                for idx in due:
                    self._not_before.pop(idx)
                self._respawn_workers(due, spawn_target, target_loader)
        self.interrupt_children.clear()

    def _replace_unresponsive(self) -> None:
        """End the workers that live and do not answer: the dead are replaced."""
        if self.liveness is None:
            return
        self.liveness.note_check()
        for worker in self.wrks:
            if worker in self._being_ended or not worker.inner.is_alive():
                continue
            reason = self.liveness.replacement_reason(worker.idx, worker.inner.pid)
            if reason is not None:
                log.error("worker_replaced", worker=worker.idx + 1, reason=reason)
                self._being_ended = [w for w in self.wrks if w in self._being_ended] + [worker]
                end_worker(worker.inner, _UNRESPONSIVE_KILL_TIMEOUT_S)

    def _is_asked_to_stop(self) -> bool:
        return bool(self.interrupt_signal)

    def _is_due(self, idx: int, birth: float) -> bool:
        """Whether a dead worker may be started again now; its first death costs no pause."""
        now = time.monotonic()
        if idx not in self._not_before:
            is_quick = now - birth < _QUICK_DEATH_S
            pause = self._pauses.get(idx, 0.0) if is_quick else 0.0
            self._pauses[idx] = min(max(1.0, pause * 2), _LONGEST_PAUSE_S)
            self._not_before[idx] = now + pause
            self._n_deaths += 1
            log.error("worker_died", worker=idx + 1, replaced_in_s=pause)
        return now >= self._not_before[idx]


def serve(
    config: ServingConfig,
    inherited_socket: InheritedSocket | None = None,
    fork_server: ForkServer | None = None,
    *,
    is_standby: bool = False,
) -> None:
    """Serve until TERM or INT; returns when every request in flight is answered.

    Args:
        inherited_socket: the socket to listen on, when systemd holds it.
        fork_server: to fork workers from, where that is possible.
        is_standby: end when the workers die again and again before one has served, instead of
            trying for ever.

    Raises:
        FixConfiguration: the server library is another one.
        WorkersCannotStart: it was on trial and ended so.
    """
    require_hooks(mp)
    hear_ctrl_c()
    if sys.platform != "win32":
        for number in (signal.SIGUSR1, signal.SIGUSR2):  # mean something to workers alone
            signal.signal(number, signal.SIG_IGN)
    # Forked off this very process it would inherit our lock, our threads and half a logging setup.
    multiprocessing.set_start_method("spawn", force=True)
    server = Supervisor(
        "api_service.worker.entry:build_application",
        address=config.address.ip,
        port=config.address.port,
        interface=Interfaces.WSGI,
        workers=config.workers,
        blocking_threads=READING_THREADS,
        # Looking for HTTP/2 first, it would wait without end for the first byte.
        http=HTTPModes.http1,
        # For the first header and, on a connection that is kept, for each further one.
        http1_settings=HTTP1Settings(header_read_timeout=round(config.idle_timeout_s * 1000)),
        backpressure=most_connections(),
        respawn_failed_workers=True,
        workers_kill_timeout=WORKERS_KILL_TIMEOUT_S,
        websockets=False,
        log_level=LogLevels.warning,
        log_dictconfig=GRANIAN_LOGGING,
    )
    server.inherited_socket = inherited_socket
    server.is_standby = is_standby
    server.fork_server = fork_server
    if fork_server is not None:
        fork_server.is_asked_to_stop = server._is_asked_to_stop

    def mark_started() -> None:
        server.is_standby = False

    if config.workers > 1:
        server.switches = SwitchCoordinator(SharedGenerations(), config.switch_timeout_s)
        server.switches.start()
    server.on_shutdown(partial(notify, "STOPPING=1"))
    server.liveness = WorkersLiveness(config.workers, config.worker_timeout_s)
    stopped = threading.Event()
    run_systemd_notifier(config, server.liveness, server._is_asked_to_stop, mark_started)
    aggregate_exited_workers(metrics_dir(config.reports_dir), stopped)
    try:
        server.serve(target_loader=partial(build_application, config), wrap_loader=False)
    except SystemExit:
        if not server.interrupt_signal:
            raise
    finally:
        stopped.set()
        if fork_server is not None:
            fork_server.end()
    log.info("stopped")
    if server.startup_failed:
        raise WorkersCannotStart(
            f"expected a worker to start, found {_START_ATTEMPTS_PER_WORKER} deaths of each;"
            " the lines above say of what. Nothing was served; this instance ends."
        )
