"""What a killed daemon left half-written is removed at the next start, wherever it lies."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from retrain_service.retrain_loop import RetrainLoop
from shared.daemon.loop import utc_now
from shared.keys.signing import SigningKey
from shared.left_temporaries import LEFT_AFTER_S
from shared.settings.root import Settings


@pytest.mark.parametrize(
    "place", ["", "keys", "reports", "state/signals", "models/m", "models/m/versions"]
)
def test_temporary_files_are_removed(tmp_path: Path, place: str) -> None:
    SigningKey.read_or_create(tmp_path / "keys")
    left = tmp_path / place / ".m.json.1cefb292.tmp"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.touch()
    long_ago = time.time() - LEFT_AFTER_S - 1
    os.utime(left, (long_ago, long_ago))
    loop, now = RetrainLoop(Settings(home=tmp_path)), utc_now()

    loop.initialize(now)
    loop.shutdown(now)

    assert not left.exists()
