"""Send this worker a small request when it has answered none for a while.

The request takes the way of every request, so an idle worker shows that it still answers. Knows
the server's callback, no model and no report.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

from api_service.config.listen_address import Address
from api_service.status.worker_liveness import WorkerLiveness
from shared.daemon.background import run_in_background

PERIOD_S = 1.0
PROBE = "hotfit.probe"
"""Environ key: a request of our own, which counts in no metric."""


class _Request:
    """The server's half of a request whose answer goes to nobody."""

    def response_bytes(self, *_answer: object) -> None: ...

    def response_iter(self, _status: int, _headers: object, parts: Any) -> None:
        parts.close()


def start_self_probe(
    call: Callable[[Any, dict[str, Any]], None] | None,
    liveness: WorkerLiveness,
    address: Address,
    is_unhealthy: Callable[[], bool],
) -> None:
    """Start a thread that asks when nobody has been answered for a while.

    Args:
        call: the callback that the server calls with each request; it notes each answer. None:
            there is no place to ask, so that this thread's own turns must do.
        is_unhealthy: whether something here has ended that only a new process has again.
    """

    def turn() -> None:
        liveness.note_unhealthy(is_unhealthy())
        if call is None:
            liveness.note_answer()
        elif time.monotonic() - liveness.answered_s >= PERIOD_S:
            call(_Request(), _environ(address))
        time.sleep(PERIOD_S)

    run_in_background("self-probe", turn)


def _environ(address: Address) -> dict[str, Any]:
    host = f"[{address.ip}]" if ":" in address.ip else address.ip
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/livez",
        "QUERY_STRING": "",
        "HTTP_HOST": f"{host}:{address.port}",
        "REMOTE_ADDR": address.ip,
        "SERVER_NAME": address.ip,
        "SERVER_PORT": str(address.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        PROBE: True,
    }
