"""Tell the service manager when the API is ready, that it still works, and how it is.

Its watchdog is fed only while a request is answered, and the main process replaces workers that do
not answer. Needs no disk: a full one is no reason to end. Serves nothing and starts nothing.
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
_LOOK_EVERY_S = 0.05
_REQUEST_TIMEOUT_S = 5.0
_TRIES = 3
_LONGEST_STATUS = 500

# No proxy of the environment stands between a machine and itself.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def keep_informed(
    config: ServingConfig,
    liveness: WorkersLiveness,
    is_stopping: Callable[[], bool],
    at_first_answer: Callable[[], None],
) -> None:
    """Say READY at the first answer, then feed the watchdog and say how it is, in a thread.

    It ends when `is_stopping`.
    """
    informer = _Informer(config.address.url, config.workers, liveness, at_first_answer)
    stop = threading.Event()

    def turn() -> None:
        if is_stopping():
            stop.set()
        elif informer.is_ready or informer.look_whether_ready():
            informer.inform()
            _pause(informer.period_s, is_stopping)
        else:
            time.sleep(_LOOK_EVERY_S)

    run_in_background("readiness", turn, stop)


class _Informer:
    """What was said to the service manager, and what is to say next."""

    def __init__(
        self,
        url: str,
        n_workers: int,
        liveness: WorkersLiveness,
        at_first_answer: Callable[[], None],
    ) -> None:
        self._url = url
        self._n_workers = n_workers
        self._liveness = liveness
        self._at_first_answer = at_first_answer
        self._complaint: str | None = None
        self.period_s = min(watchdog_period_s() or STATUS_PERIOD_S, STATUS_PERIOD_S)
        self.is_ready = False

    def look_whether_ready(self) -> bool:
        """Whether a worker of ours serves by now; when it does for the first time, it is said."""
        if not (self._liveness.has_begun and _answers(self._url)):
            return False
        self.is_ready = True
        self._at_first_answer()
        log.info("serving", url=self._url, workers=self._n_workers)
        notify(f"READY=1\nSTATUS=serving at {self._url}")
        return True

    def inform(self) -> None:
        """Feed the watchdog, or say why not."""
        complaint = self._liveness.complaint()
        # Each try is a new connection, which another worker may take.
        if complaint is None and not any(_answers(self._url) for _ in range(_TRIES)):
            complaint = f"no answer at {self._url} within {_REQUEST_TIMEOUT_S:g} s."
        if complaint is None:
            notify(f"WATCHDOG=1\nSTATUS={_how_it_is(self._url)}")
        elif complaint != self._complaint:
            log.error("the service manager's watchdog is not fed", reason=complaint)
            notify(f"STATUS={complaint}")
        self._complaint = complaint


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


def _how_it_is(url: str) -> str:
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
