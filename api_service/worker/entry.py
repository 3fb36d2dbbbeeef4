"""The function with which the server library starts a worker; cheap to import in both processes.

The main process names this function without importing what it starts; the worker imports it
without what the main process needs.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from wsgiref.types import WSGIApplication

    from api_service.config.serving import ServingConfig
    from api_service.reload.switch.channel import SwitchChannel
    from api_service.status.worker_liveness import WorkerLiveness
    from api_service.worker.shutdown import EndRequest


def build_application(
    config: ServingConfig,
    channel: SwitchChannel | None = None,
    end_request: EndRequest | None = None,
    parent_pipe: Connection | None = None,
    liveness: WorkerLiveness | None = None,
) -> WSGIApplication:
    """Start this worker and return its WSGI application; the server calls it in a new process.

    Args:
        channel: to the main process, when there are other workers.
        end_request: how the main process asks this worker to end, where no signal does.
        parent_pipe: its other end closes with the main process, where that did not start this one.
        liveness: where the main process sees that this worker answers.
    """
    import granian.server.mp  # here since the server started this process

    from api_service.metrics.request_counter import count_refused
    from api_service.web.granian_adapter import Limits, install_adapter
    from api_service.worker.batch_scheduling import use_batch_scheduling
    from api_service.worker.start import start_worker

    if config.batch_scheduling:
        use_batch_scheduling()  # before any thread is started, which inherits it
    application, worker = start_worker(config, channel, end_request, parent_pipe, liveness)
    install_adapter(
        granian.server.mp,
        worker.show_liveness,
        worker.note_answer,
        Limits(config.body_timeout_s, config.max_wait_s, is_ending=worker.is_ending),
        partial(count_refused, worker.metrics.recorder),
    )
    return application
