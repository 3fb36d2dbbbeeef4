"""What workers report ends up in the ordered log, once."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from retrain_service.observers import serving_events
from retrain_service.observers.serving_events import ServingEventReader
from shared.exchange.json_files import write_struct
from shared.exchange.worker_report import Receipt, ServingReport, WatcherReport, WorkerReport
from shared.run_log.writer import RunLog

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[RunLog]:
    with closing(RunLog.open(tmp_path / "run_log.sqlite")) as opened:
        yield opened


def receipt(*, drain_ms: float | None = 3.0) -> Receipt:
    return Receipt(
        version="v000002-20261121T083000Z",
        generation=2,
        previous="v000001-20261120T083000Z",
        detect_ms=1,
        verify_ms=2,
        load_ms=30,
        golden_ms=4,
        warm_ms=5,
        switch_ms=0.1,
        drain_ms=drain_ms,
        rss_before_bytes=1,
        rss_after_bytes=2,
        requests_failed=0,
        swapped_at=NOW,
    )


def report(
    directory: Path,
    pid: int = os.getpid(),
    *,
    swapped: Receipt | None = None,
    quarantined: dict[str, str] | None = None,
    updated_at: datetime = NOW,
) -> None:
    serving = ServingReport(
        state="serving",
        generation=2,
        wanted=None,
        version=None,
        serving_generation=2,
        quarantined=quarantined or {},
        receipt=swapped,
    )
    write_struct(
        directory / f"{pid}.json",
        WorkerReport(
            host=socket.gethostname(),
            pid=pid,
            started_at=NOW,
            updated_at=updated_at,
            watcher=WatcherReport(is_well=True, sentence=""),
            models={"m": serving},
        ),
    )


def test_a_quarantine_is_one_event_for_all_workers_and_all_restarts(
    tmp_path: Path, log: RunLog
) -> None:
    """One broken version on eight workers is one thing that happened, and one message."""
    bad = {"v000002-20261121T083000Z generation 2": "golden answers differ"}
    for pid in (1, 2):
        report(tmp_path, pid, quarantined=bad)

    for _ in range(2):
        watch = ServingEventReader(tmp_path, log)
        watch.poll_reports(NOW)
        watch.poll_reports(NOW)

    (event,) = log.events(kind="quarantine")
    assert event.model == "m"
    assert "golden answers differ" in event.sentence


def test_a_swap_leaves_its_receipt_in_the_log_once_the_old_version_is_gone(
    tmp_path: Path, log: RunLog
) -> None:
    """The receipt tells the drain time, too; a drain that never ends does not hide the swap."""
    watch = ServingEventReader(tmp_path, log)
    report(tmp_path, 1, swapped=receipt(drain_ms=None))
    watch.poll_reports(NOW)
    assert not log.events()

    report(tmp_path, 1, swapped=receipt())
    watch.poll_reports(NOW)
    later = NOW + timedelta(minutes=2)
    report(tmp_path, 2, swapped=receipt(drain_ms=None), updated_at=later)
    watch.poll_reports(later)
    watch.poll_reports(later)

    first, second = log.events(kind="swap")
    assert first.details["receipt"]["drain_ms"] == 3.0
    assert "ready in 42 ms, 0 requests failed" in first.sentence
    assert second.details["worker"] == 2


def test_a_year_of_swaps_is_not_kept_in_memory(
    tmp_path: Path, log: RunLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was told is known from the reports that still tell it; the rest is forgotten."""
    monkeypatch.setattr(serving_events, "MOST_TOLD", 3)
    watch = ServingEventReader(tmp_path, log)
    report(tmp_path, 1, swapped=receipt(), quarantined={"v000001": "golden answers differ"})
    watch.poll_reports(NOW)
    for n in range(10):
        report(tmp_path, 2, swapped=structs.replace(receipt(), generation=10 + n))
        watch.poll_reports(NOW)

    assert len(watch._last_sent) <= 5
    assert len(log.events(kind="swap")) == 11
    assert len(log.events(kind="quarantine")) == 1
