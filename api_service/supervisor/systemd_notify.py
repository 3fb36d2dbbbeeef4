"""Notify systemd when the API is ready, that it still works, and of its health.

The watchdog is pinged only while a request is answered, and the main process replaces workers that
do not answer. Needs no disk: a full disk is no reason to end. Serves nothing and starts nothing.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress

import structlog

from api_service.config.serving import ServingConfig
from api_service.status.worker_liveness import WorkersLiveness
from shared.daemon.background import run_in_background
from shared.daemon.systemd import notify, watchdog_period_s

log = structlog.get_logger()

STATUS_PERIOD_S = 10.0
_CHECK_INTERVAL_S = 0.05
_REQUEST_TIMEOUT_S = 5.0
_TRIES = 3
_LONGEST_STATUS = 500

# No proxy of the environment stands between a machine and itself.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def run_systemd_notifier(
    config: ServingConfig,
    liveness: WorkersLiveness,
    is_stopping: Callable[[], bool],
    on_first_answer: Callable[[], None],
) -> None:
    """Say READY at the first answer, then feed the watchdog and say how it is, in a thread.

    It ends when `is_stopping`.
    """
    notifier = _SystemdNotifier(config.address.url, config.workers, liveness, on_first_answer)
    stop = threading.Event()

    def turn() -> None:
        if is_stopping():
            stop.set()
        elif notifier.is_ready or notifier.check_ready():
            notifier.notify_status()
            _pause(notifier.period_s, is_stopping)
        else:
            time.sleep(_CHECK_INTERVAL_S)

    run_in_background("readiness", turn, stop)


class _SystemdNotifier:
    """What was said to the service manager, and what is to say next."""

    def __init__(
        self,
        url: str,
        n_workers: int,
        liveness: WorkersLiveness,
        on_first_answer: Callable[[], None],
    ) -> None:
        self._url = url
        self._n_workers = n_workers
        self._liveness = liveness
        self._on_first_answer = on_first_answer
        self._health_problem: str | None = None
        self.period_s = min(watchdog_period_s() or STATUS_PERIOD_S, STATUS_PERIOD_S)
        self.is_ready = False

    def check_ready(self) -> bool:
        """Whether a worker of ours serves by now; when it does for the first time, it is said."""
        if not (self._liveness.has_answered and _answers(self._url)):
            return False
        self.is_ready = True
        self._on_first_answer()
        log.info("serving", url=self._url, workers=self._n_workers)
        notify(f"READY=1\nSTATUS=serving at {self._url}")
        return True

    def notify_status(self) -> None:
        """Feed the watchdog, or say why not."""
        health_problem = self._liveness.health_problem()
        # Each try is a new connection, which another worker may take.
        if health_problem is None and not any(_answers(self._url) for _ in range(_TRIES)):
            health_problem = f"no answer at {self._url} within {_REQUEST_TIMEOUT_S:g} s."
        if health_problem is None:
            notify(f"WATCHDOG=1\nSTATUS={_health_sentence(self._url)}")
        elif health_problem != self._health_problem:
            log.error(
                "watchdog_ping_withheld",
                sentence="The API failed its health check, so systemd is not told that it works.",
                reason=health_problem,
            )
            notify(f"STATUS={health_problem}")
        self._health_problem = health_problem


def _pause(seconds: float, is_stopping: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while not is_stopping() and time.monotonic() < until:
        time.sleep(0.5)


def _answers(url: str) -> bool:
    try:
        with _opener.open(f"{url}/livez", timeout=_REQUEST_TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def _health_sentence(url: str) -> str:
    """The sentence of `GET /health`, which is an answer also when no model serves yet."""
    body = b""
    try:
        with _opener.open(f"{url}/health", timeout=_REQUEST_TIMEOUT_S) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        with suppress(OSError):
            body = error.read()
    except (OSError, ValueError):
        pass
    with suppress(ValueError, KeyError, TypeError):
        return " ".join(str(json.loads(body)["sentence"]).split())[:_LONGEST_STATUS]
    return f"serving at {url}"
