"""The door from the main process to a worker: importable by both, heavy in neither.

The main process names this function without importing what it starts; the worker imports it
without what the main process needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from api_service.serving_config import ServingConfig


def build_application(config: ServingConfig) -> WSGIApplication:
    """Start this worker and return its WSGI application; the server calls it in a new process."""
    from api_service.worker import start_worker

    return start_worker(config)
