"""Runs and events, written by one daemon and read by the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.errors import NotFound, StorageUnavailable
from shared.run_log import RunLog
from shared.run_log_reading import reading
from shared.runs import Run, RunStatus

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_run(number: int, *, model: str = "parts", key: str | None = None) -> Run:
    return Run(
        run_id=f"run{number}",
        idempotency_key=key or f"{model}:{number}",
        model=model,
        trigger="new_records",
        trigger_reason="10 new records",
        version=f"v{number:06d}-20260301T120000Z",
        version_number=number,
        status=RunStatus.QUEUED,
        requested_at=NOW + timedelta(minutes=number),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run_log.sqlite"


@pytest.fixture
def log(path: Path) -> Iterator[RunLog]:
    with closing(RunLog.open(path)) as opened:
        yield opened


def test_a_run_is_read_as_it_was_written(log: RunLog) -> None:
    """The API shows what the retrain daemon wrote, times with their zone."""
    log.add_run(a_run(1))
    log.start_run("run1", NOW, high_seq=40)
    log.finish_run(
        "run1",
        NOW + timedelta(seconds=9),
        RunStatus.SUCCEEDED,
        promoted=True,
        verdict="better",
        details={"metrics": {"candidate": {"mae": 1.5}}},
    )

    run = log.run("run1")

    assert (run.status, run.promoted, run.verdict) == (RunStatus.SUCCEEDED, True, "better")
    assert run.finished_at == NOW + timedelta(seconds=9)
    assert run.high_seq == 40
    assert run.details["metrics"]["candidate"]["mae"] == 1.5


def test_the_same_decision_is_written_down_once(log: RunLog) -> None:
    """A decision that is made again after a crash must not double its run."""
    assert log.add_run(a_run(1, key="parts:new_records:40:0"))
    assert not log.add_run(a_run(2, key="parts:new_records:40:0"))

    assert [run.run_id for run in log.unfinished()] == ["run1"]


def test_a_run_ends_once(log: RunLog) -> None:
    """A cancel that meets a run at its end must not rewrite what happened."""
    log.add_run(a_run(1))

    assert log.finish_run("run1", NOW, RunStatus.FAILED, error="no memory")
    assert not log.finish_run("run1", NOW, RunStatus.CANCELLED)

    assert log.run("run1").status is RunStatus.FAILED


def test_history_counts_from_the_last_run_that_finished(log: RunLog) -> None:
    """A failure must not lose the count of new records, and must be counted for the back-off."""
    for number, status in enumerate(
        [RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.ABANDONED, RunStatus.FAILED], start=1
    ):
        log.add_run(a_run(number))
        log.start_run(f"run{number}", NOW, high_seq=number * 10)
        log.finish_run(f"run{number}", NOW + timedelta(hours=number), status)

    history = log.history("parts")

    assert history.last_finished is not None
    assert history.last_finished.high_seq == 10
    assert history.runs_since == 3
    assert history.failures_in_a_row == 2
    assert history.last_ended_at == NOW + timedelta(hours=4)


def test_history_of_one_model_knows_nothing_of_another(log: RunLog) -> None:
    """A small device can never block a large one."""
    log.add_run(a_run(1, model="other"))
    log.finish_run("run1", NOW, RunStatus.FAILED)

    assert log.history("parts").failures_in_a_row == 0
    assert log.last_version_number("parts") == 0


def test_runs_are_paged_newest_first_with_their_total(log: RunLog) -> None:
    """A year of runs does not fit on one page."""
    for number in range(1, 8):
        log.add_run(a_run(number, model="parts" if number % 2 else "other"))

    runs, total = log.runs(model="parts", limit=2, offset=1)

    assert total == 4
    assert [run.version_number for run in runs] == [5, 3]


def test_a_reader_sees_what_is_committed_while_the_writer_has_it_open(
    log: RunLog, path: Path
) -> None:
    """Both daemons are always up: WAL lets one read while the other writes."""
    log.add_event(NOW, "parts", "promote", "v000001 promoted")

    with reading(path) as reader:
        assert [event.sentence for event in reader.events(model="parts")] == ["v000001 promoted"]
        log.add_event(NOW, "parts", "promote", "v000002 promoted")
        assert [event.seq for event in reader.events(after=1)] == [2]


def test_reading_before_the_first_start_says_so_and_makes_no_file(path: Path) -> None:
    """The API must not create what the retrain daemon owns."""
    with pytest.raises(NotFound, match="has not started"), reading(path):
        pass

    assert not path.exists()


def test_a_file_that_is_no_run_log_is_named(path: Path) -> None:
    """A wrong path in the configuration must not end in a traceback."""
    path.write_bytes(b"this is not a database, and long enough to be looked at" * 40)

    with pytest.raises(StorageUnavailable, match=r"run_log\.sqlite: cannot be opened"):
        RunLog.open(path)
