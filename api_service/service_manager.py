"""Tell the service manager when the API is ready, that it still works, and how it is.

Its watchdog is fed only while a request is answered and no worker is silent or stuck. Looks from
outside, as a client and at the workers' reports; serves nothing and starts nothing.
"""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime

import structlog

from api_service.serving_config import ServingConfig
from api_service.worker_reports import STALE_AFTER_S
from shared.daemon import notify, utc_now, watchdog_period_s
from shared.signals import WorkerReport, read_worker_reports

log = structlog.get_logger()

COLD_START_S = 300.0
"""How long a new worker may open its models before it counts as silent."""

STATUS_PERIOD_S = 10.0
_LOOK_EVERY_S = 0.05
_REQUEST_TIMEOUT_S = 5.0
_LONGEST_STATUS = 500

# No proxy of the environment stands between a machine and itself.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Wellbeing:
    """Whether the workers of this main process do their work, by what each reports of itself."""

    def __init__(self) -> None:
        self._host = socket.gethostname()
        self._heard_of: set[int] = set()

    def has_begun(
        self, workers: Mapping[int, float], reports: list[WorkerReport], now: datetime
    ) -> bool:
        """Whether a worker of ours has opened what it serves; another instance's do not count."""
        return any(self._is_fresh(each, now) for each in self._ours(workers, reports).values())

    def complaint(
        self, workers: Mapping[int, float], reports: list[WorkerReport], now: datetime
    ) -> str | None:
        """What only a restart helps against, None when all is well.

        Args:
            workers: pid of each worker that lives -> seconds since it was started. Those that do
                not live are replaced by the main process and are no reason to end it.
        """
        ours = self._ours(workers, reports)
        self._heard_of &= workers.keys()
        for pid, age_s in workers.items():
            report = ours.get(pid)
            if report is not None and self._is_fresh(report, now):
                self._heard_of.add(pid)
                if report.watcher.is_stuck:
                    return f"worker {pid}: {report.watcher.sentence}"
            elif pid in self._heard_of or age_s > COLD_START_S:
                return f"worker {pid} lives and does not report."
        return None

    def _ours(
        self, workers: Mapping[int, float], reports: list[WorkerReport]
    ) -> dict[int, WorkerReport]:
        return {
            each.pid: each for each in reports if each.host == self._host and each.pid in workers
        }

    @staticmethod
    def _is_fresh(report: WorkerReport, now: datetime) -> bool:
        return (now - report.updated_at).total_seconds() <= STALE_AFTER_S


def keep_informed(
    config: ServingConfig,
    workers: Callable[[], Mapping[int, float]],
    is_stopping: Callable[[], bool],
    at_first_answer: Callable[[], None],
) -> None:
    """Log and say READY at the first answer, then feed the watchdog and say how it is.

    Runs in a thread of the main process until `is_stopping`.
    """
    url, wellbeing = config.address.url, Wellbeing()
    while not (
        wellbeing.has_begun(workers(), read_worker_reports(config.reports_dir), utc_now())
        and _answers(url)
    ):
        if is_stopping():
            return
        time.sleep(_LOOK_EVERY_S)
    at_first_answer()
    log.info("serving", url=url, workers=config.workers)
    notify(f"READY=1\nSTATUS=serving at {url}")
    period_s = min(watchdog_period_s() or STATUS_PERIOD_S, STATUS_PERIOD_S)
    told: str | None = None
    while not is_stopping():
        reports = read_worker_reports(config.reports_dir)
        complaint = wellbeing.complaint(workers(), reports, utc_now())
        if complaint is None and not _answers(url):
            complaint = f"no answer at {url} within {_REQUEST_TIMEOUT_S:g} s."
        if complaint is None:
            notify(f"WATCHDOG=1\nSTATUS={_how_it_is(url)}")
        elif complaint != told:
            log.error("the service manager's watchdog is not fed", reason=complaint)
            notify(f"STATUS={complaint}")
        told = complaint
        _pause(period_s, is_stopping)


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
