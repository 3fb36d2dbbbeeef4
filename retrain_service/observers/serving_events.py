"""Write swaps and quarantines of the API's workers as events into the run log.

Reads their reports, asks nobody. Each is written down once, also across restarts: what the log
has already is known again at the start. Only the loop's thread calls this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import structlog

from shared.exchange.worker_report import Receipt, WorkerReport, read_worker_reports
from shared.run_log.writer import RunLog

log = structlog.get_logger()

_STAGES = ("detect_ms", "verify_ms", "load_ms", "golden_ms", "warm_ms", "switch_ms")
_A_PAGE = 1000
DRAIN_TIMEOUT = timedelta(minutes=1)
MOST_TOLD = 10_000


@dataclass(frozen=True, slots=True)
class ServingEvent:
    key: str
    model: str
    kind: str
    sentence: str
    details: dict[str, Any]


class ServingEventReader:
    """Knows what was told; `poll_reports` tells the rest."""

    def __init__(self, reports_dir: Path, run_log: RunLog) -> None:
        self._reports_dir = reports_dir
        self._run_log = run_log
        self._last_sent: dict[str, None] = dict.fromkeys(
            key for kind in ("quarantine", "swap") for key in _keys_in_log(run_log, kind)
        )

    def poll_reports(self, now: datetime) -> None:
        """Write down what the reports say that the log does not."""
        reported: dict[str, None] = {}
        for report in read_worker_reports(self._reports_dir):
            for found in _events_of(report):
                if found.key not in self._last_sent:
                    details = {**found.details, "key": found.key}
                    self._run_log.add_event(
                        now, found.model, found.kind, found.sentence, details=details
                    )
                    log.info(found.kind, model=found.model, sentence=found.sentence)
                self._last_sent[found.key] = reported[found.key] = None
        self._forget_old(reported)

    def _forget_old(self, reported: Mapping[str, None]) -> None:
        """What the workers report no more comes again only in a report that is restored."""
        n_too_many = len(self._last_sent) - MOST_TOLD
        if n_too_many <= 0:
            return
        for key in list(self._last_sent)[:n_too_many]:
            if key not in reported:
                del self._last_sent[key]


def _keys_in_log(run_log: RunLog, kind: str) -> Iterator[str]:
    after = 0
    while events := run_log.events(kind=kind, after=after, limit=_A_PAGE):
        yield from (str(event.details.get("key")) for event in events)
        after = events[-1].seq


def _events_of(report: WorkerReport) -> Iterator[ServingEvent]:
    for model, serving in report.models.items():
        for which, reason in serving.quarantined.items():
            # One line for all workers: they quarantine the same version for the same reason.
            yield ServingEvent(
                f"quarantine {model} {which}",
                model,
                "quarantine",
                f"{which} is quarantined by the API: {reason}",
                {"worker": report.pid, "host": report.host},
            )
        if serving.receipt is not None and _is_final(serving.receipt, report.updated_at):
            yield _swap(report, model, serving.receipt)


def _is_final(receipt: Receipt, reported_at: datetime) -> bool:
    """The old version has been drained, or takes so long that we tell without that."""
    is_drained = receipt.drain_ms is not None or receipt.previous is None
    return is_drained or reported_at - receipt.swapped_at > DRAIN_TIMEOUT


def _swap(report: WorkerReport, model: str, receipt: Receipt) -> ServingEvent:
    took_ms = sum(getattr(receipt, stage) for stage in _STAGES)
    worker = f"{report.host}-{report.pid}"
    return ServingEvent(
        f"swap {worker} {model} {receipt.generation} {receipt.swapped_at.isoformat()}",
        model,
        "swap",
        f"worker {report.pid} serves {receipt.version} (generation {receipt.generation}) since"
        f" {receipt.swapped_at:%H:%M:%S} UTC: ready in {took_ms:.0f} ms,"
        f" {receipt.requests_failed} requests failed.",
        {"worker": report.pid, "host": report.host, "receipt": msgspec.to_builtins(receipt)},
    )
