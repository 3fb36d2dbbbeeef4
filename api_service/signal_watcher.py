"""Wake the reload thread when a signal file may have changed. Decides nothing, reads no file.

The reload thread's timer finds whatever is missed here: events only make it early. The watcher
notices when events no longer arrive, reports that, and starts again.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path, PurePath

import structlog
from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from shared.exchange.reload_signal import SIGNAL_NAME
from shared.exchange.worker_report import WatcherReport
from shared.versions.model_store import WAKE_FILE

log = structlog.get_logger()

_WAKING_FILES = frozenset({SIGNAL_NAME, WAKE_FILE})
_MANY_DIRECTORIES = 1000

# Our own reading of the signal (opened, closed without writing) must not wake us again.
_EVENTS: list[type[FileSystemEvent]] = [
    FileMovedEvent,  # how os.replace arrives
    FileCreatedEvent,
    FileModifiedEvent,
    FileClosedEvent,
    FileDeletedEvent,
    DirMovedEvent,
    DirCreatedEvent,
    DirDeletedEvent,
]


class SignalWatcher(FileSystemEventHandler):
    """Sets `wake` when a reload signal below `directory` may have changed.

    The reload thread calls `check_health` and `stop`; watchdog's thread calls `dispatch`.
    """

    def __init__(self, directory: Path, wake: threading.Event) -> None:
        self._directory = directory
        self._wake = wake
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None
        self._handler_error: str | None = None
        self.report = WatcherReport(
            is_well=False, sentence="not started yet; the timer checks the signals."
        )

    def dispatch(self, event: FileSystemEvent) -> None:
        """One directory event. An exception here would silently end watchdog's thread."""
        try:
            if event.is_directory or not _WAKING_FILES.isdisjoint(
                (PurePath(str(event.src_path)).name, PurePath(str(event.dest_path)).name)
            ):
                self._wake.set()
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread must live
            self._handler_error = repr(error)

    def check_health(self) -> None:
        """Check that events still arrive, and start again when they cannot. Never raises."""
        fault = self._fault()
        if fault is None:
            self._report(is_well=True, sentence="directory events arrive.")
            return
        self.stop()
        try:
            self._start()
        except Exception as error:  # noqa: BLE001 - inotify limits, rights, a vanished directory
            self._report(
                is_well=False,
                sentence=f"no directory events: {_reason(error, self._directory)};"
                " changes are seen by the timer.",
            )
            return
        # What happened between the fault and now was not seen.
        self._wake.set()
        self._report(is_well=True, sentence="directory events arrive.", restarted_because=fault)

    def stop(self) -> None:
        """End watchdog's threads; harmless when there are none."""
        observer, self._observer, self._watched = self._observer, None, None
        if observer is None:
            return
        try:
            observer.stop()
            observer.join(timeout=2)
        except Exception as error:  # noqa: BLE001 - a half-started observer cannot be joined
            log.warning("watcher_stop_failed", error=repr(error))

    def _fault(self) -> str | None:
        """Why events may not arrive; None when all is well."""
        observer = self._observer
        if observer is None:
            return "not watching"
        if self._handler_error is not None:
            fault, self._handler_error = f"the handler failed: {self._handler_error}", None
            return fault
        if not observer.is_alive():
            return "watchdog's dispatcher thread is dead"
        emitters = list(observer.emitters)
        if not emitters or not all(emitter.is_alive() for emitter in emitters):
            return "watchdog's emitter thread is dead"
        # A directory that was deleted and made again has the same name and is not watched.
        if self._identity() != self._watched:
            return "the directory was replaced"
        return None

    def _start(self) -> None:
        watched = (self._directory.stat().st_dev, self._directory.stat().st_ino)
        observer = Observer()
        observer.schedule(
            self,
            str(self._directory),
            # Every directory costs a watch, of which the system has only so many, and time at the
            # start. With many, the one file that every promotion writes must do.
            recursive=not _has_many(self._directory),
            event_filter=_EVENTS,
        )
        observer.start()
        self._observer, self._watched = observer, watched

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._directory.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _report(self, *, is_well: bool, sentence: str, restarted_because: str = "") -> None:
        """Publish the state and log it once a change."""
        changed = (is_well, sentence) != (self.report.is_well, self.report.sentence)
        self.report = WatcherReport(is_well=is_well, sentence=sentence)
        if changed and not is_well:
            log.warning("watcher_unhealthy", reason=sentence)
        elif restarted_because and restarted_because != "not watching":
            log.warning("watcher_restarted", reason=restarted_because)
        elif changed:
            log.info("watcher_started", directory=str(self._directory))


def _has_many(directory: Path) -> bool:
    """Whether there are more than a few hundred models, by their directories."""
    n = 0
    for path in directory.iterdir():
        if path.is_dir():
            n += sum(1 for _ in os.scandir(path))
        if n > _MANY_DIRECTORIES:
            return True
    return False


def _reason(error: Exception, directory: Path) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{directory} does not exist yet"
    return (error.strerror or repr(error)) if isinstance(error, OSError) else repr(error)
