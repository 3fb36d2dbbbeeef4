"""Events on their way from an API worker to a run: lost never, whoever dies in between."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from retrain_service.triggers import event_inbox
from retrain_service.triggers.decision import Train
from retrain_service.triggers.event_inbox import collect_events
from shared.errors import StorageUnavailable
from shared.exchange.event_burst import EventBurst, record_event
from shared.exchange.json_files import SignalUnreadable, read_struct
from shared.run_log.pending_events import PendingEvents
from shared.run_log.run import Run, RunStatus
from shared.run_log.writer import RunLog
from shared.settings.per_model import TriggerSettings
from tests.support.simulated_daemon import MODEL, SimulatedDaemon, World

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MODELS = {name: [name] for name in (MODEL, "shop/berlin", "shop__berlin")}


@pytest.fixture
def box(tmp_path: Path) -> Path:
    path = tmp_path / "requests"
    path.mkdir()
    return path


@pytest.fixture
def log(tmp_path: Path) -> Iterator[RunLog]:
    with closing(RunLog.open(tmp_path / "run_log.sqlite")) as opened:
        yield opened


def a_run(number: int, at: datetime) -> Run:
    return Run(
        run_id=f"run{number}",
        model=MODEL,
        trigger="every",
        trigger_reason="every 24 h",
        version=f"v{number:06d}-{at:%Y%m%dT%H%M%SZ}",
        version_number=number,
        status=RunStatus.QUEUED,
        requested_at=at,
    )


def test_a_worker_keeps_one_file_a_model_that_says_how_often_and_since_when(box: Path) -> None:
    """Ten thousand events must not be ten thousand files."""
    for second in range(3):
        record_event(box, MODEL, NOW + second * SECOND)
    record_event(box, "shop/berlin", NOW, n=5)

    names = sorted(path.name for path in box.iterdir())

    assert len(names) == 2
    assert names[0].startswith(f"event-{MODEL}-")
    assert names[0].endswith(f"-{os.getpid()}.json")
    assert names[1].startswith("event-shop__berlin-")
    burst = read_struct(box / names[0], EventBurst)
    assert burst is not None
    assert (burst.model, burst.n) == (MODEL, 3)
    assert (burst.first_at, burst.last_at) == (NOW, NOW + 2 * SECOND)


def test_two_models_never_share_a_file(box: Path, log: RunLog) -> None:
    """shop/berlin and shop__berlin are both names that a configuration may hold."""
    record_event(box, "shop/berlin", NOW)
    record_event(box, "shop__berlin", NOW, n=2)

    collect_events(box, log, MODELS, NOW)

    assert log.pending_events("shop/berlin") == PendingEvents(NOW, NOW, 1)
    assert log.pending_events("shop__berlin") == PendingEvents(NOW, NOW, 2)


def test_an_event_for_a_model_is_one_for_each_of_its_entities(box: Path, log: RunLog) -> None:
    """Who changes the catalogue of all shops should not have to know them all."""
    shops = ["shop/berlin", "shop/izmir"]
    record_event(box, "shop", NOW)
    record_event(box, "shop/izmir", NOW)

    collect_events(box, log, {"shop": shops, **{name: [name] for name in shops}}, NOW)

    assert log.pending_events("shop/berlin") == PendingEvents(NOW, NOW, 1)
    assert log.pending_events("shop/izmir") == PendingEvents(NOW, NOW, 2)


def test_what_was_collected_is_in_the_run_log_and_nowhere_else(box: Path, log: RunLog) -> None:
    """A file that stayed would tell its events again at each tick."""
    record_event(box, MODEL, NOW)
    collect_events(box, log, MODELS, NOW)
    record_event(box, MODEL, NOW + SECOND, n=4)
    collect_events(box, log, MODELS, NOW + SECOND)
    collect_events(box, log, MODELS, NOW + SECOND)

    assert log.pending_events(MODEL) == PendingEvents(NOW, NOW + SECOND, 5)
    assert list(box.iterdir()) == []


@pytest.mark.parametrize("dies_at", ["taken", "kept", "written"])
def test_a_daemon_that_dies_while_collecting_neither_loses_nor_doubles_an_event(
    box: Path, log: RunLog, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    """After the rename, after the commit, or when the disk is full: the next look finds it."""
    record_event(box, MODEL, NOW, n=3)

    with monkeypatch.context() as patch:
        if dies_at == "taken":
            patch.setattr(event_inbox, "_keep", lambda *_: (_ for _ in ()).throw(SystemExit))
        elif dies_at == "kept":
            patch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(SystemExit))
        else:
            full = StorageUnavailable("run_log.sqlite: cannot be written: disk full.")
            patch.setattr(log, "add_pending_events", lambda *_: (_ for _ in ()).throw(full))
        with pytest.raises((SystemExit, StorageUnavailable)):
            collect_events(box, log, MODELS, NOW)
    record_event(box, MODEL, NOW + SECOND)
    collect_events(box, log, MODELS, NOW + SECOND)

    assert log.pending_events(MODEL) == PendingEvents(NOW, NOW + SECOND, 4)
    assert list(box.iterdir()) == []


def test_an_event_that_comes_while_the_file_is_taken_is_not_lost(box: Path, log: RunLog) -> None:
    """Worker and daemon at full speed on the same file: nothing is missing, nothing doubled."""
    n_events, done = 300, threading.Event()
    last = NOW + n_events * SECOND

    def work() -> None:
        for i in range(1, n_events + 1):
            record_event(box, MODEL, NOW + i * SECOND)
        done.set()

    worker = threading.Thread(target=work)
    worker.start()
    while not done.is_set():
        collect_events(box, log, MODELS, last)
    worker.join()
    collect_events(box, log, MODELS, last)

    assert log.pending_events(MODEL) == PendingEvents(NOW + SECOND, last, n_events)


def test_what_is_no_event_and_whose_model_is_gone_is_put_aside(box: Path, log: RunLog) -> None:
    """One broken file must neither stop the others nor be looked at for ever."""
    (box / "event-m-host-1.json").write_text("{")
    record_event(box, "gone", NOW)
    record_event(box, MODEL, NOW)

    for _ in range(2):
        collect_events(box, log, MODELS, NOW)

    assert log.pending_events(MODEL) == PendingEvents(NOW, NOW, 1)
    assert [path.suffix for path in box.iterdir()] == [".unreadable"]


def test_an_event_from_a_clock_that_was_set_back_does_not_lie_in_the_future(
    box: Path, log: RunLog
) -> None:
    """Else a correction of the clock by a day would put the run off by a day."""
    record_event(box, MODEL, NOW + timedelta(days=1))

    collect_events(box, log, MODELS, NOW)

    assert log.pending_events(MODEL) == PendingEvents(NOW, NOW, 1)


@pytest.mark.parametrize(
    ("status", "kept"),
    [
        (RunStatus.SUCCEEDED, 20),
        (RunStatus.SKIPPED, 20),
        (RunStatus.FAILED, 21),
        (RunStatus.CANCELLED, 21),
        (RunStatus.ABANDONED, 21),
    ],
)
def test_a_finished_run_clears_what_came_before_it_and_no_more(
    log: RunLog, status: RunStatus, kept: int
) -> None:
    """Events during the run are not in its rows; a run that failed has answered nothing."""
    log.add_pending_events(MODEL, NOW, NOW, 1)
    log.add_run(a_run(1, NOW + SECOND))
    log.start_run("run1", NOW + SECOND, 10)
    log.add_pending_events(MODEL, NOW + 2 * SECOND, NOW + 2 * SECOND, 20)
    log.add_pending_events("other", NOW, NOW, 1)

    log.finish_run("run1", NOW + 3 * SECOND, status)

    found = log.pending_events(MODEL)
    assert found is not None
    assert found.n == kept
    assert log.pending_events("other") == PendingEvents(NOW, NOW, 1)


@pytest.mark.parametrize(
    ("policy", "expected_s"),
    [
        # No quiet while it lasts: max_wait decides, counted from the first that no run covers.
        ({"debounce": "5s", "max_wait": "20s"}, [20, 41, 62]),
        ({"debounce": "30s", "max_wait": "10m"}, [89]),
        ({"debounce": "0s", "max_wait": "0s", "min_interval": "25s"}, [0, 29, 58, 87]),
        ({"debounce": "5s", "max_wait": "20s", "max_runs_per_day": 3}, [20, 41]),
    ],
)
def test_a_storm_of_ten_thousand_events_in_a_minute(
    tmp_path: Path, box: Path, policy: dict[str, object], expected_s: list[int]
) -> None:
    """At most the runs that debounce, max_wait and brakes allow, and the last one sees it all."""
    asked = TriggerSettings.model_validate(
        {"new_records": 0, "every": "0s", "min_interval": "0s", **policy}
    )
    daemon = SimulatedDaemon(tmp_path / "log", World(), asked, NOW, duration=timedelta(seconds=4))
    daemon.tick(NOW - timedelta(minutes=1))
    daemon.tick(NOW - timedelta(seconds=30))
    runs = []

    for second in range(1200):
        now = NOW + second * SECOND
        if second < 60:
            record_event(box, MODEL, now, n=166)
            record_event(box, MODEL, now, n=1)
        collect_events(box, daemon.log, MODELS, now)
        if isinstance(daemon.tick(now), Train):
            runs.append(second)

    assert runs == expected_s
    is_braked = asked.max_runs_per_day > 0  # then what no run has seen still waits
    assert (daemon.log.pending_events(MODEL) is not None) == is_braked
    daemon.stop(NOW)


def test_an_event_that_cannot_be_read_now_is_kept_as_soon_as_it_can(
    box: Path, log: RunLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EMFILE passes; an event that was set aside for it would never have come."""
    record_event(box, MODEL, NOW)

    def refuse(_path: Path, _kind: object) -> None:
        raise SignalUnreadable("event: not an EventBurst") from OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(event_inbox, "read_struct", refuse)
        with pytest.raises(StorageUnavailable):
            collect_events(box, log, {MODEL: [MODEL]}, NOW)
    assert log.pending_events(MODEL) is None

    collect_events(box, log, {MODEL: [MODEL]}, NOW)

    assert log.pending_events(MODEL) == PendingEvents(NOW, NOW, 1)
    assert list(box.iterdir()) == []
