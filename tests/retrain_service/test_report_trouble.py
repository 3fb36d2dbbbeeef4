"""The retrain daemon's report when the disk was full for a while."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from retrain_service import retrain_loop
from retrain_service.retrain_loop import RetrainLoop
from shared.daemon.loop import utc_now
from shared.errors import StorageUnavailable
from shared.exchange.json_files import read_struct
from shared.exchange.retrain_report import RETRAIN_REPORT_NAME, RetrainReport
from shared.settings.root import Settings


def test_a_report_that_could_not_be_written_is_forgotten_when_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room was made; health must not say for ever that there is none."""

    def disk_is_full(path: Path, _value: Any) -> None:
        raise StorageUnavailable(f"{path}: cannot be written: No space left on device.")

    settings, now = Settings(home=tmp_path), utc_now()
    loop = RetrainLoop(settings)
    loop.initialize(now)
    try:
        with monkeypatch.context() as full:
            full.setattr(retrain_loop, "write_struct", disk_is_full)
            loop.tick(now)
            while_full = loop.status
        loop.tick(now + timedelta(seconds=1))
        found = read_struct(settings.reports_dir / RETRAIN_REPORT_NAME, RetrainReport)
        afterwards = loop.status
    finally:
        loop.shutdown(now)

    assert "No space left on device" in while_full
    assert found is not None
    assert found.error is None
    assert "No space left" not in afterwards
