"""The daemon's half of a training process: what it takes for a sign of life, and for a result."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from retrain_service.training_job.job import (
    HEARTBEAT_NAME,
    PROGRESS_NAME,
    REFITTING,
    RESULT_NAME,
    JobProgress,
    JobResult,
    TrainingJob,
)
from shared.errors import StorageUnavailable
from shared.settings.per_model import TrainingSettings
from tests.support.waiting import wait_until

LIMITS = TrainingSettings(heartbeat_timeout_s=60, max_run_time_s=3600)


class FakeClock:
    """The monotonic clock, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Watched:
    """A process that does nothing, watched by a `TrainingJob` on a clock of the test's own."""

    def __init__(self, work_dir: Path) -> None:
        self.clock = FakeClock()
        self.heartbeat = work_dir / HEARTBEAT_NAME
        self.heartbeat.touch()
        code = "import sys; sys.stdin.read()"
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
        self.job = TrainingJob(cast(Any, None), work_dir, process, LIMITS, self.clock)

    def beat(self, at_s: float) -> None:
        """Show life; the time of day says `at_s`."""
        os.utime(self.heartbeat, (at_s, at_s))

    def poll_after(self, s: float) -> JobResult | None:
        self.clock.now_s += s
        return self.job.poll()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path)
    yield made
    made.job.stop("the test is over")
    made.job.close()


@pytest.mark.parametrize("jump_s", [-86_400.0, 400.0, 86_400.0, 10 * 365 * 86_400.0])
def test_a_clock_that_jumps_kills_no_healthy_run(watched: Watched, jump_s: float) -> None:
    """NTP, a person or a virtual machine sets the clock: the run has lost nothing by that."""
    wall_s = 1_800_000_000.0
    for second in range(90):
        if second == 30:
            wall_s += jump_s
        watched.beat(wall_s + second)

        assert watched.poll_after(1) is None


def test_a_run_that_is_too_slow_says_in_which_of_its_two_fits_it_was(watched: Watched) -> None:
    """The limit holds for both fits: who set it for one must learn what to change."""
    progress = msgspec.json.encode(JobProgress(REFITTING, 0.7))
    (watched.job.work_dir / PROGRESS_NAME).write_bytes(progress)
    for _ in range(36):
        watched.beat(watched.clock.now_s)
        assert watched.poll_after(100) is None

    result = watched.poll_after(1)

    assert result is not None
    assert "max_run_time_s = 3600 (it was refitting: the second fit, on all rows" in result.reason
    assert "refit = false" in result.reason


def test_a_machine_that_slept_gives_the_run_the_time_to_show_that_it_lives(
    watched: Watched,
) -> None:
    """A virtual machine was paused: daemon and training slept alike."""
    assert watched.poll_after(1) is None

    assert watched.poll_after(1200) is None
    watched.beat(5.0)

    assert watched.poll_after(1) is None


def test_a_process_that_shows_no_life_is_ended(watched: Watched) -> None:
    """A fit that hangs must not hold its slot for ever, whatever the time of day says."""
    watched.beat(4_000_000_000.0)  # a time far in the future is no life to come
    results = [watched.poll_after(1) for _ in range(59)]
    assert results == [None] * 59

    result = [watched.poll_after(1) for _ in range(3)][-1]

    assert result is not None
    assert result.outcome == "failed"
    assert result.reason == "stopped: no sign of life for 61 s."


def test_a_result_that_cannot_be_read_now_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A passing EMFILE or EIO must not throw an hour of training away."""
    process = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE)
    job = TrainingJob(cast(Any, None), tmp_path, process, LIMITS)
    result = JobResult(outcome="reject", reason="worse.")
    (tmp_path / RESULT_NAME).write_bytes(msgspec.json.encode(result))
    wait_until(lambda: process.poll() is not None, 30, "the process to end")

    def refuse(path: Path) -> bytes:
        raise OSError(24, "Too many open files", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(StorageUnavailable, match="Too many open files"):
            job.poll()

    assert job.poll() == result
    job.close()
