"""Events are early or absent, never wrong; a deaf watcher notices and starts again."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from api_service.signal_watcher import SignalWatcher
from shared.atomic_file import write_atomic
from shared.exchange.reload_signal import SIGNAL_NAME
from tests.support.waiting import wait_until


class Watched:
    """A watcher on a directory, and whether it woke."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.wake = threading.Event()
        self.watcher = SignalWatcher(directory, self.wake)

    def write_signal(self, content: bytes = b"{}") -> None:
        write_atomic(self.directory / "m" / SIGNAL_NAME, content)

    def wakes(self, what: str) -> None:
        wait_until(self.wake.is_set, 30, what)
        self.wake.clear()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    (tmp_path / "models" / "m").mkdir(parents=True)
    one = Watched(tmp_path / "models")
    one.watcher.check_health()
    one.wake.clear()
    yield one
    one.watcher.stop()


def test_a_replaced_signal_wakes(watched: Watched) -> None:
    """`os.replace` arrives as `moved`; a handler that listens for changes only would miss it."""
    watched.write_signal()

    watched.wakes("the signal")
    assert watched.watcher.report.is_well


def test_a_signal_in_a_new_model_directory_wakes(watched: Watched) -> None:
    """The first version of a model comes with its directory."""
    write_atomic(watched.directory / "new" / SIGNAL_NAME, b"{}")

    watched.wakes("the signal of a new model")


def test_reading_the_signal_does_not_wake(watched: Watched) -> None:
    """A reload loop that is woken by its own reading would never sleep again."""
    watched.write_signal()
    watched.wakes("the signal")
    wait_until(lambda: not watched.wake.wait(0.3), 30, "the events of the write to end")

    (watched.directory / "m" / SIGNAL_NAME).read_bytes()

    assert not watched.wake.wait(0.3)


def test_a_directory_that_was_deleted_and_made_again_is_watched_again(watched: Watched) -> None:
    """The observer of the old directory stays alive and hears nothing."""
    shutil.rmtree(watched.directory)
    watched.watcher.check_health()
    assert not watched.watcher.report.is_well
    assert "does not exist" in watched.watcher.report.sentence

    (watched.directory / "m").mkdir(parents=True)
    watched.watcher.check_health()
    watched.wake.clear()
    watched.write_signal()

    watched.wakes("the signal in the new directory")
    assert watched.watcher.report.is_well


def test_a_directory_replaced_between_two_looks_is_noticed(watched: Watched) -> None:
    """Same name, other inode: nothing else tells."""
    shutil.rmtree(watched.directory)
    # So that the new directory cannot get the number of the old one.
    (watched.directory.parent / "in_between").mkdir()
    (watched.directory / "m").mkdir(parents=True)

    watched.watcher.check_health()
    watched.wakes("a look after the restart, for what was missed")
    watched.write_signal()

    watched.wakes("the signal")


def test_an_exception_in_the_handler_does_not_make_it_deaf(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Watchdog's thread dies silently of one exception; ours must never reach it."""
    failures: list[str] = []

    def fail() -> None:
        failures.append("failed")
        raise RuntimeError("a defect in the handler")

    monkeypatch.setattr(watched.wake, "set", fail)
    watched.write_signal()
    wait_until(lambda: failures, 30, "the handler to fail")
    monkeypatch.undo()

    watched.watcher.check_health()
    watched.wakes("a look after the failure, for what was missed")
    watched.write_signal()

    watched.wakes("the next signal")


def test_a_dead_emitter_is_replaced(watched: Watched) -> None:
    """`observer.is_alive()` stays true when only its emitter has ended."""
    observer = watched.watcher._observer
    assert observer is not None
    for emitter in observer.emitters:
        emitter.stop()
        emitter.join(30)

    watched.watcher.check_health()
    watched.wake.clear()
    watched.write_signal()

    watched.wakes("the signal after the restart")


def test_a_missing_directory_is_said_and_harmless(tmp_path: Path) -> None:
    """Before the first training there may be nothing to watch; the timer looks."""
    one = Watched(tmp_path / "not there")

    one.watcher.check_health()

    assert not one.watcher.report.is_well
    assert "seen by the timer" in one.watcher.report.sentence
