"""The door from the main process to a worker: importable by both, heavy in neither.

The main process names this function without importing what it starts; the worker imports it
without what the main process needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from api_service.serving_config import ServingConfig
    from api_service.switch.line import SwitchLine


def build_application(config: ServingConfig, line: SwitchLine | None = None) -> WSGIApplication:
    """Start this worker and return its WSGI application; the server calls it in a new process.

    Args:
        line: to the main process, when there are other workers.
    """
    import granian.server.mp  # here since the server started this process

    from api_service.server_calls import call_in_one_lane
    from api_service.turnstile import Turnstile
    from api_service.worker import start_worker

    application = start_worker(config, line)
    return application if call_in_one_lane(granian.server.mp) else Turnstile(application)
