"""What follows from the log: each of its parts on its own."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from retrain_service.maintenance import retention
from retrain_service.observers.observers import Observers
from retrain_service.observers.serving_events import ServingEventReader
from shared.run_log.writer import RunLog
from shared.settings.root import Settings

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


def test_one_part_that_fails_keeps_no_other_from_its_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report that cannot be read for an hour must not fill the disk with old versions."""
    pruned_at: list[datetime] = []

    def fails(_self: ServingEventReader, _now: datetime) -> None:
        raise OSError(5, "Input/output error")

    def prune(_settings: Settings, _log: RunLog, now: datetime, _request: str | None) -> None:
        pruned_at.append(now)

    monkeypatch.setattr(ServingEventReader, "poll_reports", fails)
    monkeypatch.setattr(retention, "prune", prune)
    with closing(RunLog.open(tmp_path / "run_log.sqlite")) as log:
        observers = Observers(Settings(home=tmp_path), log)
        for minutes in (0, 30, 61):
            observers.process_events(NOW + timedelta(minutes=minutes))
        observers.process_events(NOW - timedelta(days=3))  # the clock was set back
        observers.close()

    assert pruned_at == [NOW, NOW + timedelta(minutes=61), NOW - timedelta(days=3)]
