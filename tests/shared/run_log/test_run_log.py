"""Runs and events, written by one daemon and read by the other."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.errors import NotFound, SchemaTooNew, StateConflict, StorageUnavailable
from shared.run_log import writer
from shared.run_log.reader import reading
from shared.run_log.run import Run, RunStatus
from shared.run_log.writer import RunLog

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_run(number: int, *, model: str = "parts") -> Run:
    return Run(
        run_id=f"run{number}",
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


def test_it_is_opened_so_that_a_power_cut_takes_no_entry(log: RunLog, path: Path) -> None:
    """The log must not forget a run whose version is served; nothing but a power cut shows it."""
    path.rename(path.with_name("gone"))
    log.reopen_if_replaced()

    with closing(RunLog.open(path)) as other:
        for opened in (log, other):
            pragmas = [
                opened._connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("synchronous", "journal_mode")
            ]
            assert pragmas == [2, "wal"]


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


def test_a_model_has_one_open_run_and_an_id_is_taken_once(log: RunLog) -> None:
    """Whatever decides, and however often: the database refuses what would double a run."""
    log.add_run(a_run(1))
    log.add_run(a_run(2, model="other"))

    with pytest.raises(StateConflict, match="another run of the model is open"):
        log.add_run(a_run(3), decided=(NOW, "training v3"))
    log.finish_run("run1", NOW, RunStatus.FAILED)
    with pytest.raises(StateConflict, match="id is in the run log"):
        log.add_run(a_run(1))
    log.add_run(a_run(3))

    assert [run.run_id for run in log.unfinished()] == ["run2", "run3"]
    assert log.events() == []


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


def test_the_last_end_is_that_of_the_last_run_whatever_its_date(log: RunLog) -> None:
    """One run of a machine with a wrong clock must not switch the back-off off for ever."""
    for number, at in enumerate([NOW + timedelta(days=3650), NOW, NOW + timedelta(hours=1)], 1):
        log.add_run(replace(a_run(number), requested_at=at))
        log.finish_run(f"run{number}", at, RunStatus.FAILED)

    history = log.history("parts")

    assert history.last_ended_at == NOW + timedelta(hours=1)
    assert history.recent_requests[:2] == (NOW, NOW + timedelta(hours=1))


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
        log.finish_run(f"run{number}", NOW, RunStatus.FAILED)

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


def test_a_run_log_of_the_first_release_is_brought_up_to_date(path: Path) -> None:
    """It may hold what is refused now: several open runs of one model."""
    columns = (
        "run_id TEXT PRIMARY KEY, idempotency_key TEXT NOT NULL UNIQUE, model TEXT NOT NULL,"
        " trigger TEXT NOT NULL, trigger_reason TEXT NOT NULL, version TEXT NOT NULL,"
        " version_number INTEGER NOT NULL, status TEXT NOT NULL, requested_at TEXT NOT NULL,"
        " started_at TEXT, finished_at TEXT, high_seq INTEGER, promoted INTEGER NOT NULL DEFAULT 0,"
        " verdict TEXT, error TEXT, details TEXT NOT NULL DEFAULT '{}'"
    )
    with closing(sqlite3.connect(path)) as old, old:
        old.execute(f"CREATE TABLE runs ({columns})")
        for number, (model, status) in enumerate(
            [("m", "succeeded"), ("m", "queued"), ("m", "running"), ("other", "running")], start=1
        ):
            version = f"v{number:06d}-20260301T120000Z"
            row = (f"run{number}", f"{model}:after:{number}", model, "first", "", version, number)
            at = (NOW + timedelta(minutes=number)).isoformat()
            old.execute(
                f"INSERT INTO runs VALUES ({','.join('?' * 16)})",
                (*row, status, at, None, None, None, 0, None, None, "{}"),
            )

    with closing(RunLog.open(path)) as log:
        runs, total = log.runs()
        assert [run.run_id for run in log.unfinished()] == ["run3", "run4"]
        assert log.history("m").open_run == log.run("run3")
    abandoned = next(run for run in runs if run.run_id == "run2")

    assert total == 4
    assert abandoned.status is RunStatus.ABANDONED
    assert "a later run of the same model was open as well" in (abandoned.error or "")
    # The columns are those of the first release, which can write into the file again.
    with closing(sqlite3.connect(path)) as connection:
        assert len(connection.execute("PRAGMA table_info(runs)").fetchall()) == 16


def test_a_run_log_of_a_later_format_is_refused_with_a_sentence(path: Path) -> None:
    """To write on in a file that one does not understand would spoil it for both releases."""
    RunLog.open(path).close()
    with closing(sqlite3.connect(path)) as later:
        later.execute("PRAGMA user_version=2009")

    with pytest.raises(SchemaTooNew, match="run log has format 2, written by a later release"):
        RunLog.open(path)
    with pytest.raises(StorageUnavailable, match="written by a later release"), reading(path):
        pass


def test_history_is_never_older_than_the_log(log: RunLog, path: Path) -> None:
    """A decision on a past that has changed since would begin what cannot be begun."""
    log.add_run(a_run(1))
    assert log.history("parts").open_run is not None
    log.finish_run("run1", NOW, RunStatus.FAILED)
    assert log.history("parts").failures_in_a_row == 1
    assert log.history("parts").open_run is None

    with closing(sqlite3.connect(path)) as other, other:
        other.execute("DELETE FROM runs")

    assert log.history("parts").failures_in_a_row == 0
    assert log.history("parts").last_number == 0


def test_events_that_the_disk_refuses_are_written_later_in_their_order(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done is done; that it could not be written down must not undo or repeat it."""
    monkeypatch.setattr(writer, "BUSY_TIMEOUT_S", 0.05)
    log = RunLog.open(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        log.add_event(NOW, "parts", "hold", "first")
        log.add_event(NOW, "parts", "release", "second")
        with pytest.raises(StorageUnavailable, match="locked"):
            log.write_waiting_events()
        other.execute("ROLLBACK")
    log.add_run(a_run(1), decided=(NOW, "third"))

    assert [event.sentence for event in log.events()] == ["first", "second", "third"]
    log.close()


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed there")
@pytest.mark.parametrize("removed", ["run_log.sqlite", "run_log.sqlite*"])
def test_a_run_log_that_was_removed_is_written_again_with_all_it_held(
    log: RunLog, path: Path, removed: str
) -> None:
    """An open file without a name takes everything and shows nothing."""
    log.add_run(a_run(1))
    log.add_event(NOW, "parts", "hold", "told once")
    assert not log.reopen_if_replaced()
    for file in path.parent.glob(removed):
        file.unlink()

    assert log.reopen_if_replaced()
    assert log.history("parts").last_number == 1
    log.finish_run("run1", NOW, RunStatus.FAILED)
    log.add_run(a_run(2))

    with reading(path) as reader:
        assert reader.run("run1").status is RunStatus.FAILED
        assert reader.has_run("run2")
        assert [event.sentence for event in reader.events(kind="hold")] == ["told once"]
    with closing(sqlite3.connect(path)) as found:
        assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert not list(path.parent.glob(".*"))


def test_a_file_that_is_no_run_log_is_named(path: Path) -> None:
    """A wrong path in the configuration must not end in a traceback."""
    path.write_bytes(b"this is not a database, and long enough to be looked at" * 40)

    with pytest.raises(StorageUnavailable, match=r"run_log\.sqlite: cannot be opened"):
        RunLog.open(path)
