"""Make this process a worker: its log, its signals, its end, and the application it serves.

Knows no model; the worker opens them.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING

import structlog

from api_service.config.serving import ServingConfig
from api_service.connections.draining import ConnectionDrain
from api_service.connections.idle import keep_places_free
from api_service.connections.listening_sockets import enable_tcp_keepalive
from api_service.reload.switch.channel import SwitchChannel
from api_service.status.worker_liveness import WorkerLiveness
from api_service.worker.shutdown import EndRequest
from api_service.worker.worker import Worker
from shared.daemon.logs import start_logging
from shared.daemon.stop import watch_parent

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

log = structlog.get_logger()

_LAST_MOMENT_S = 10.0


def start_worker(
    config: ServingConfig,
    channel: SwitchChannel | None = None,
    end_request: EndRequest | None = None,
    parent_pipe: Connection | None = None,
    liveness: WorkerLiveness | None = None,
) -> tuple[WSGIApplication, Worker]:
    """Make this process a worker; its application, and what keeps it up.

    Args:
        channel: to the main process, when there are other workers.
        end_request: how the main process asks this worker to end, where no signal does.
        parent_pipe: its other end closes with the main process, where that did not start this one.
        liveness: where the main process sees that this worker answers.
    """
    start_logging(config.log_format, "api_service")
    watch_parent(_end_this_process, parent_pipe)
    if end_request is not None:
        end_request.listen()
    worker = Worker(config, channel, liveness)
    worker.end_early_when_asked()
    # Before it starts: what it reports then is answered by it a moment later.
    application = ConnectionDrain(worker.application(), config.address.port)
    worker.start()
    # Not atexit, which waits for all threads first: on Windows one of watchdog's, a part of the
    # watcher, ends only when it is told to.
    Finalize(None, worker.stop, exitpriority=0)
    enable_tcp_keepalive(config.address.port)
    keep_places_free(config.address.port)
    application.listen()
    return application, worker


def _end_this_process() -> None:
    """The main process is gone: nobody would replace or stop this worker any more."""
    if sys.platform == "win32":
        os._exit(1)
    os.kill(os.getpid(), signal.SIGTERM)  # drains, as a stop does
    log.warning("main_process_gone", sentence="The main process has ended: this worker ends.")
    time.sleep(_LAST_MOMENT_S)
    os._exit(1)
