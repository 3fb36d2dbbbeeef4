"""Load a model at its first request, while other requests go on.

A few threads load, so that a large or broken model does not delay requests for other models. Opens
no version itself.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from datetime import datetime

from flask import has_request_context, request

from api_service.serving_slot import ServingSlot
from api_service.web.yield_lock import yield_lock
from shared.daemon.loop import utc_now

N_THREADS = 4
LOAD_TIMEOUT_S = 30.0
"""A request waits so long for its model; then it is told that the model is being opened."""


class LazyLoader:
    """Any thread may call `load`; several requests for one model open it once."""

    def __init__(self, open_cold: Callable[[str, datetime], None]) -> None:
        self._open_cold = open_cold
        self._threads = ThreadPoolExecutor(N_THREADS, thread_name_prefix="open")
        self._lock = threading.Lock()
        self._loading: dict[str, Future[None]] = {}

    def load(self, slot: ServingSlot) -> None:
        """Return when the slot's model serves, cannot be opened, or takes too long."""
        with self._lock:
            opening = self._loading.get(slot.name)
            if opening is None:
                slot.not_ready_reason = "it is being opened; ask again in a moment."
                opening = self._threads.submit(self._load, slot.name)
                self._loading[slot.name] = opening
        yielded = yield_lock(request.environ) if has_request_context() else contextlib.nullcontext()
        with yielded, contextlib.suppress(NotInTime):
            opening.result(LOAD_TIMEOUT_S)

    def stop(self) -> None:
        """Begin nothing more; waits for nobody."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _load(self, name: str) -> None:
        try:
            self._open_cold(name, utc_now())
        finally:
            with self._lock:
                self._loading.pop(name, None)
