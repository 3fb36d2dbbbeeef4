"""A run from its decision to its end, while the run log and the disk refuse what they like.

The training process is scripted: it ends at once, with the result that the test names.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from retrain_service.buffer.snapshot import SnapshotInfo
from retrain_service.training_job import run_supervisor
from retrain_service.training_job.job import JobProgress, JobResult
from retrain_service.training_job.retry_snapshot import RetrySnapshot
from retrain_service.training_job.run_supervisor import RunSupervisor
from retrain_service.triggers.decision import Train
from shared.database import connection as database
from shared.errors import StateConflict, StorageUnavailable
from shared.exchange.control_request import Request
from shared.keys.signing import SigningKey
from shared.run_log import writer as run_log_module
from shared.run_log.run import Run, RunStatus
from shared.run_log.writer import RunLog
from shared.settings.root import Settings
from shared.versions.model_store import ModelStore
from tests.support.versions import version_name

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
REJECTED = JobResult(outcome="reject", reason="worse than the champion.")
FAILED = JobResult(outcome="failed", reason="ZeroDivisionError: division by zero")


class ScriptedJob:
    """In place of a training process: it has ended, and this is what it came to."""

    result = REJECTED

    def __init__(self, spec: Any) -> None:
        self.spec = spec

    @classmethod
    def start(cls, spec: Any, *_arguments: Any) -> ScriptedJob:
        return cls(spec)

    def poll(self) -> JobResult:
        return self.result

    def progress(self) -> JobProgress:
        return JobProgress("fitting", 0.5)

    def stop(self, because: str) -> None: ...
    def close(self) -> None: ...


@dataclass
class Place:
    """One supervisor of model `m` and what it works on."""

    settings: Settings
    log: RunLog
    key: SigningKey
    now: datetime = NOW
    supervisor: RunSupervisor = field(init=False)

    def __post_init__(self) -> None:
        self.supervisor = self.another()

    @property
    def store(self) -> ModelStore:
        return ModelStore(self.settings.models_dir)

    def another(self) -> RunSupervisor:
        """As after a restart of the daemon."""
        return RunSupervisor("m", self.settings, self.store, self.log, self.key, lambda: None)

    def freeze(self, path: Path, at: datetime) -> Future[SnapshotInfo]:
        path.write_bytes(b"rows")
        frozen: Future[SnapshotInfo] = Future()
        frozen.set_result(SnapshotInfo("digest", {"rows": 4}, at, 40, at))
        return frozen

    def step(self, request: Request | None = None) -> str | None:
        """What a tick of the daemon does; the sentence of what was refused."""
        self.now += SECOND
        try:
            self.supervisor.recover(self.now)
            if self.supervisor.running_run_id is None:
                decision = Train("every", "every 24 h")
                self.supervisor.begin(decision, request, self.freeze, self.now, self.now)
            else:
                self.supervisor.tick(self.now, lambda: self.store.signal("m"))
        except StorageUnavailable as error:
            return str(error)
        return None

    def runs(self) -> list[Run]:
        return self.log.runs()[0]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(run_supervisor, "TrainingJob", ScriptedJob)
    settings = Settings.model_validate(
        {
            "home": tmp_path / "home",
            "sources": {"rows": {"kind": "sql", "url": "sqlite://"}},
            "models": {"m": {"workload": "spare_parts", "source": "rows"}},
        }
    )
    settings.work_dir.mkdir(parents=True)
    key = SigningKey.read_or_create(settings.keys_dir)
    with closing(RunLog.open(settings.run_log_path)) as log:
        yield Place(settings, log, key)


@contextmanager
def refused_writes(monkeypatch: pytest.MonkeyPatch, first: int, n: int) -> Iterator[list[int]]:
    """Refuse `n` writes of the run log from the `first` on; yields how many were tried."""
    real, tried = database.transaction, [0]

    @contextmanager
    def transaction(*arguments: Any) -> Iterator[Any]:
        tried[0] += 1
        if first <= tried[0] < first + n:
            raise StorageUnavailable("run_log.sqlite: cannot be written: disk I/O error.")
        with real(*arguments) as connection:
            yield connection

    with monkeypatch.context() as patch:
        patch.setattr(run_log_module, "transaction", transaction)
        yield tried


@pytest.mark.parametrize("result", [REJECTED, FAILED], ids=["rejected", "failed"])
@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("first", [1, 2, 3, 4, 5])
def test_whichever_write_the_run_log_refuses_each_run_has_one_end_and_the_next_one_follows(
    place: Place, monkeypatch: pytest.MonkeyPatch, first: int, n: int, result: JobResult
) -> None:
    """One refused write must cost a few ticks, and neither a run nor all training from then on."""
    monkeypatch.setattr(ScriptedJob, "result", result)

    with refused_writes(monkeypatch, first, n) as tried:
        said = [place.step() for _ in range(20)]

    assert tried[0] >= first + n
    n_refused = sum(sentence is not None for sentence in said)
    assert n_refused in (n, n - 1)  # a refused end is tried once more within its tick
    runs = place.runs()
    assert len(runs) >= 4
    status = RunStatus.FAILED if result is FAILED else RunStatus.SUCCEEDED
    assert [run.status for run in runs if run.finished_at] == [status] * (len(runs) - 1)
    assert len([event for event in place.log.events(limit=999) if event.kind == "decision"]) == (
        len(runs)
    )
    assert len({run.version_number for run in runs}) == len(runs)


def test_a_supervisor_that_waits_to_write_an_end_says_which_and_gives_its_place_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Health shows this sentence; the machine is free for the other models meanwhile."""
    place.step()
    place.step()
    with refused_writes(monkeypatch, 1, 99):
        place.step()
        sentence = place.step() or ""
        run_id = place.supervisor.running_run_id

        assert f"run {run_id} has ended" in sentence
        assert "worse than the champion" in sentence
        assert not place.supervisor.is_at_work
        assert not place.supervisor.cancel(place.now, None, "me")
        assert not list(place.log.events(kind="reject"))
    ended_at = place.now
    place.now += timedelta(hours=5)

    assert place.step() is None

    (run,) = place.runs()
    assert run.status is RunStatus.SUCCEEDED
    assert run.finished_at is not None
    assert run.finished_at < ended_at  # when it ended, not when that could be written


def test_a_daemon_that_stops_before_an_end_is_written_leaves_it_to_the_next_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk and a restart together must not leave a run open for ever."""
    place.step()
    place.step()
    with refused_writes(monkeypatch, 1, 99):
        place.step()
        place.supervisor.close(place.now)
    place.supervisor = place.another()

    place.step()

    assert [run.status for run in place.runs()] == [RunStatus.QUEUED, RunStatus.ABANDONED]
    assert len(list(place.settings.work_dir.iterdir())) == 1


def test_an_open_run_of_nobody_is_closed_at_any_tick(place: Place) -> None:
    """Not only at a start: whoever left it there, the next run must not wait for a restart."""
    place.log.add_run(
        Run("lost", "m", "every", "", version_name(1), 1, RunStatus.QUEUED, requested_at=NOW)
    )

    place.step()

    assert place.log.run("lost").status is RunStatus.ABANDONED
    assert place.supervisor.running_run_id is not None


def test_a_request_that_was_carried_out_is_refused_aloud(place: Place) -> None:
    """What begins nothing must say so, or everybody waits."""
    request = Request(id="r1", kind="train", model="m", requested_at=NOW, requested_by="me")
    for _ in range(3):
        place.step(request)
    assert place.log.run("r1").status is RunStatus.SUCCEEDED

    with pytest.raises(StateConflict, match="run r1 of m was not begun"):
        place.step(request)


def test_training_goes_on_after_the_newest_failed_run_was_taken_out_of_the_log(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DELETE /runs/<id> tidies up; it must not end what follows."""
    monkeypatch.setattr(ScriptedJob, "result", FAILED)
    for _ in range(3):
        place.step()
    (failed,) = place.runs()
    place.log.delete_run(failed.run_id)

    for _ in range(3):
        place.step()

    assert [run.status for run in place.runs()] == [RunStatus.FAILED]
    assert place.runs()[0].run_id != failed.run_id


def test_a_run_goes_on_in_a_log_that_was_removed_meanwhile(place: Place) -> None:
    """Somebody tidied up by hand: the run that was under way is in the new file, too."""
    place.step()
    place.step()
    run_id = place.supervisor.running_run_id
    for file in place.settings.home.glob("run_log.sqlite*"):
        file.unlink()
    assert place.log.reopen_if_replaced()

    place.step()

    assert [(run.run_id, run.status) for run in place.runs()] == [(run_id, RunStatus.SUCCEEDED)]


def test_a_directory_that_cannot_be_made_is_a_failed_run_with_its_reason(place: Place) -> None:
    """EMFILE and ENOSPC come at any call; the back-off tries again."""
    place.settings.work_dir.rmdir()
    place.settings.work_dir.write_text("in the way")

    place.step()

    (run,) = place.runs()
    assert run.status is RunStatus.FAILED
    assert "work" in (run.error or "")


def test_a_model_and_an_entity_of_like_names_do_not_share_pinned_rows(tmp_path: Path) -> None:
    """Rows of a device must never become those of a shop that happens to be called like it."""
    info = SnapshotInfo("digest of the entity", {"rows": 1}, NOW, 1, NOW)
    rows = tmp_path / "rows.parquet"
    rows.write_bytes(b"rows")

    RetrySnapshot(tmp_path / "pinned", "solar/x").save(rows, info, was_retry=False)

    assert RetrySnapshot(tmp_path / "pinned", "solar__x").load(tmp_path / "copy") is None
    assert RetrySnapshot(tmp_path / "pinned", "solar/x").load(tmp_path / "copy") == info
