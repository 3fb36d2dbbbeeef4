"""What a daemon needs from the system: stop event, periodic ticks, logs, readiness, one instance.

Knows nothing of models. A signal handler only records; the loop acts.
"""

from __future__ import annotations

import io
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Literal, TextIO, cast

import filelock
import structlog

from shared.atomic_file import storage_errors, write_atomic
from shared.daemon.background import run_once_in_background
from shared.errors import AlreadyRunning

# On Windows a signal's handler runs only when the main thread's wait is over.
_LONGEST_WAIT_S = 0.5 if sys.platform == "win32" else 3600.0
_LONGEST_WORD_S = 2.0


def utc_now() -> datetime:
    """The one place where daemons read the wall clock."""
    return datetime.now(UTC)


def close_new_files() -> None:
    """Let no file of this process, or of one that it starts, be writable for other users."""
    os.umask(os.umask(0o077) | 0o022)


def stop_on_signals(*stop: threading.Event) -> None:
    """Set every `stop` on TERM and INT, and on Windows' BREAK. Main thread only."""
    # A handler interrupts the main thread anywhere, also while that holds an event's own lock:
    # it may not set one itself.
    hears, tells = os.pipe()

    def record(_number: int, _frame: FrameType | None) -> None:
        os.write(tells, b"!")

    def pass_on() -> None:
        os.read(hears, 1)
        for each in stop:
            each.set()

    run_once_in_background("signals", pass_on)
    hear_ctrl_c()
    signal.signal(signal.SIGTERM, record)
    signal.signal(signal.SIGINT, record)
    if sys.platform == "win32":
        signal.signal(signal.SIGBREAK, record)


def hear_ctrl_c() -> None:
    """On Windows: be asked to stop by Ctrl-C, even if whoever started us is deaf to it.

    That deafness is handed down to every process that a deaf one starts.
    """
    if sys.platform == "win32":
        import ctypes

        ctypes.windll.kernel32.SetConsoleCtrlHandler(None, False)


def run_every(
    period_s: float,
    tick: Callable[[datetime], None],
    stop: threading.Event,
    wake: threading.Event | None = None,
) -> None:
    """Call `tick(now)` every `period_s`, measured from the start of the tick, until `stop`.

    A tick that takes longer than the period is followed by the next at once; none is made up for.

    Args:
        wake: set by anyone, also by a tick, to have the next tick early; whoever sets `stop` sets
            it too. Before that the loop rests as long as the tick took, so that to be woken
            without end costs half of a core.
    """
    awaited = stop if wake is None else wake
    while not stop.is_set():
        if wake is not None:
            wake.clear()  # before the tick, which looks at what it was set for
        started = time.monotonic()
        tick(utc_now())
        took_s = time.monotonic() - started
        while not (awaited.is_set() or stop.is_set()):
            left_s = period_s - (time.monotonic() - started)
            if left_s <= 0:
                break
            awaited.wait(min(left_s, _LONGEST_WAIT_S))
        rest_s = min(2 * took_s, period_s) - (time.monotonic() - started)
        if rest_s > 0:
            stop.wait(min(rest_s, _LONGEST_WAIT_S))


def start_logging(log_format: Literal["auto", "text", "json"], daemon: str) -> None:
    """Log lines on standard error: one event a line, UTC, with the daemon's name and pid."""
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if as_text
        else structlog.processors.JSONRenderer()
    )

    def name_the_process(
        _logger: object, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        # Not bound context: threads started later would not have it.
        return {**event, "daemon": daemon, "pid": os.getpid()}

    structlog.configure(
        processors=[
            name_the_process,
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(file=cast(TextIO, _NeverFails(sys.stderr))),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )


class _NeverFails(io.TextIOBase):
    """A log that cannot be written (disk full, reader gone) must not stop what it tells of.

    Whole lines only: several processes write to one file, and unbuffered parts would mix.
    """

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self._line = ""

    def write(self, text: str) -> int:
        self._line += text
        if text.endswith("\n"):
            line, self._line = self._line, ""
            with suppress(OSError, ValueError):
                self._target.write(line)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._target.flush()


@contextmanager
def only_instance(pids_dir: Path, daemon: str) -> Iterator[None]:
    """Hold `pids/<daemon>.lock` and keep `pids/<daemon>.pid` while the block runs.

    The lock is the system's: it ends with the process, however that dies.

    Raises:
        AlreadyRunning: another process holds it; the message names its pid.
    """
    pid_path = pids_dir / f"{daemon}.pid"
    with storage_errors(pids_dir):
        pids_dir.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(pids_dir / f"{daemon}.lock", blocking=False)
        try:
            lock.acquire()
        except filelock.Timeout:
            pid = pid_path.read_text().strip() if pid_path.exists() else "unknown"
            raise AlreadyRunning(f"already running (pid {pid}).") from None
    try:
        write_atomic(pid_path, f"{os.getpid()}\n".encode())
        yield
    finally:
        pid_path.unlink(missing_ok=True)
        lock.release()


def notify(state: str) -> None:
    """Tell systemd "READY=1", "WATCHDOG=1", "STOPPING=1", "STATUS=…"; does nothing elsewhere."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address or sys.platform == "win32":
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        # One that lives and does not listen has a full queue after a few words.
        sock.settimeout(_LONGEST_WORD_S)
        try:
            sock.sendto(state.encode(), address)
        except OSError:
            return  # the service manager went away; we go on


def watchdog_period_s() -> float | None:
    """How often to say WATCHDOG=1: half of what systemd waits. None: it does not wait for us."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        limit_us = int(os.environ.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return limit_us / 2e6 if limit_us > 0 else None


class Feeder:
    """Feeds systemd's watchdog from a loop that calls as often as it likes. One thread calls.

    What stops calling is taken for stuck, and restarted.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._period_s = watchdog_period_s()
        self._due_at = clock()
        self._status: str | None = None

    def feed(self, status: str) -> None:
        """Say that the loop goes round, when that is due, and how it is, when that has changed."""
        states = []
        if self._period_s is not None and self._clock() >= self._due_at:
            self._due_at = self._clock() + self._period_s
            states.append("WATCHDOG=1")
        if status != self._status:
            self._status = status
            states.append(f"STATUS={status}")
        if states:
            notify("\n".join(states))


def watch_parent(
    on_gone: Callable[[], None], lifeline: Connection | None = None, *, period_s: float = 1.0
) -> None:
    """Start a thread that calls `on_gone` once when the process that started this one is dead.

    Args:
        lifeline: the end of a pipe of which that process alone has the other end.
    """
    started_by = multiprocessing.parent_process()
    if lifeline is not None:
        wait: Callable[[], object] = partial(lifeline.poll, None)
    elif started_by is not None:
        # Its end of a pipe closes with it: seen at once, and also when it died before we asked.
        wait = started_by.join
    else:
        wait = partial(_wait_for_parent, os.getppid(), period_s)

    def look() -> None:
        wait()
        on_gone()

    run_once_in_background("parent-watch", look)


def _wait_for_parent(pid: int, period_s: float) -> None:
    import psutil

    try:
        parent = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return
    while parent.is_running() and os.getppid() == pid:
        time.sleep(period_s)
