"""What somebody removes while the retrain daemon runs is written again at its next look."""

from __future__ import annotations

import shutil
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from retrain_service.retrain_loop import RetrainLoop
from shared.daemon.loop import utc_now
from shared.keys.signing import SigningKey
from shared.run_log.reader import reading
from shared.settings.root import Settings

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be removed")


def test_signing_keys_and_run_log_are_written_again(tmp_path: Path) -> None:
    """With the key gone no stored version would verify after a restart; it was still known here."""
    settings, now = Settings(home=tmp_path), utc_now()
    loop = RetrainLoop(settings)
    loop.initialize(now)
    try:
        before = SigningKey.read(settings.keys_dir).key_id
        assert loop._run_log is not None
        loop._run_log.add_event(now, "m", "hold", "told once")

        shutil.rmtree(settings.keys_dir)
        for path in settings.home.glob("run_log.sqlite*"):
            path.unlink()
        loop.tick(now + timedelta(seconds=1))

        assert SigningKey.read(settings.keys_dir).key_id == before
        assert settings.public_key_path.exists()
        with reading(settings.run_log_path) as log:
            assert [event.sentence for event in log.events(kind="hold")] == ["told once"]
    finally:
        loop.shutdown(now)
