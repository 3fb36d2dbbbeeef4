"""Find, start and end the processes of both daemons. Knows no model and prints nothing.

A daemon is known by its PID file (written by itself) and, with everything it has started, by a
mark in its environment that children inherit: that finds even what outlived a killed daemon.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent
MARK = "HOTFIT_STARTED_AS"
_PID_FILE_DELAY_S = 5.0
_LOG_LIMIT_BYTES = 10_000_000
if sys.platform == "win32":
    # A console of its own without a window: a detached process would have none, and each of its
    # children would open one on the screen. No process group of its own: that would be deaf to
    # Ctrl-C, and the terminal's Ctrl-C does not come to another console anyway.
    _IN_BACKGROUND = subprocess.CREATE_NO_WINDOW
else:
    _IN_BACKGROUND = 0
_OLD_LOGS = 3


@dataclass(frozen=True, slots=True)
class Daemon:
    """One of the two programs; `arguments` follow `python -m`."""

    name: str
    arguments: tuple[str, ...]


RETRAIN = Daemon("retrain_service", ("retrain_service", "run"))
API = Daemon("api_service", ("api_service",))
DAEMONS = (RETRAIN, API)


def running(daemon: Daemon, pids_dir: Path) -> psutil.Process | None:
    """The process that the daemon's PID file names, when it is alive and is that daemon."""
    path = pids_dir / f"{daemon.name}.pid"
    try:
        process = psutil.Process(int(path.read_text(encoding="utf-8")))
        written_at = path.stat().st_mtime
        is_the_one = (
            process.status() != psutil.STATUS_ZOMBIE
            # A process that is younger than the file has got the number of a dead one.
            and process.create_time() <= written_at + _PID_FILE_DELAY_S
            and any(daemon.name in part for part in process.cmdline())
        )
    except (OSError, ValueError, psutil.NoSuchProcess):
        return None
    except psutil.AccessDenied:  # another user's; alive
        return process
    return process if is_the_one else None


def members(daemon: Daemon, home: Path, main: psutil.Process | None) -> list[psutil.Process]:
    """Every living process of a daemon: the main one, its descendants, and orphans of it."""
    found: dict[int, psutil.Process] = {}
    if main is not None:
        found[main.pid] = main
        with suppress(psutil.Error):
            found.update({child.pid: child for child in main.children(recursive=True)})
    mark = _mark(daemon, home)
    for process in psutil.process_iter(["environ"]):
        if (process.info["environ"] or {}).get(MARK) == mark and process.pid != os.getpid():
            found.setdefault(process.pid, process)
    return [process for process in found.values() if is_alive(process)]


def is_alive(process: psutil.Process) -> bool:
    """False also for a zombie, which only waits for its parent to look."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass(frozen=True, slots=True)
class Started:
    """A daemon just started; its log lines of this life begin at `log_offset`."""

    daemon: Daemon
    child: subprocess.Popen[bytes]
    log_path: Path
    log_offset: int

    def log_lines(self) -> list[str]:
        """What the daemon has said since it was started."""
        with self.log_path.open("rb") as log:
            log.seek(self.log_offset)
            return log.read().decode("utf-8", "replace").splitlines()


def start(daemon: Daemon, home: Path, log_path: Path) -> Started:
    """Start a daemon that outlives this process and its terminal; output is appended to the log."""
    log_path.parent.mkdir(parents=True, exist_ok=True)
    rotate(log_path)
    with log_path.open("ab") as log:
        # Python finds our packages in the working directory.
        child = subprocess.Popen(
            [sys.executable, "-m", *daemon.arguments],
            cwd=ROOT,
            env={**os.environ, MARK: _mark(daemon, home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            creationflags=_IN_BACKGROUND,
            start_new_session=True,
        )
        return Started(daemon, child, log_path, log.tell())


def rotate(path: Path, limit_bytes: int = _LOG_LIMIT_BYTES, keep: int = _OLD_LOGS) -> None:
    """Move a log that has grown too long aside: .1 is the newest of `keep` old ones."""
    if not path.exists() or path.stat().st_size <= limit_bytes:
        return
    names = [path, *(path.with_name(f"{path.name}.{i}") for i in range(1, keep + 1))]
    with suppress(OSError):  # someone reads it on Windows: the next start tries again
        for older, newer in zip(reversed(names[1:]), reversed(names[:-1]), strict=True):
            if newer.exists():
                newer.replace(older)


def ask_to_stop(process: psutil.Process) -> None:
    """TERM; on Windows the Ctrl-C of its console, which service managers send as well."""
    if sys.platform == "win32":
        subprocess.run(
            [sys.executable, "-c", _SEND_CTRL_C, str(process.pid)],
            creationflags=subprocess.DETACHED_PROCESS,
            check=False,
        )
        return
    process.send_signal(signal.SIGTERM)


# A process may send console events only to the console it is attached to. Group 0 is everyone
# there: the daemon, those of its children that listen, and this sender, which does not.
_SEND_CTRL_C = """
import ctypes, sys
kernel = ctypes.windll.kernel32
if kernel.AttachConsole(int(sys.argv[1])):
    kernel.SetConsoleCtrlHandler(None, True)
    kernel.GenerateConsoleCtrlEvent(0, 0)
"""


def wait_for_end(processes: Sequence[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Wait until all have ended; return those that have not."""
    deadline = time.monotonic() + timeout_s
    left = [process for process in processes if is_alive(process)]
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [process for process in left if is_alive(process)]
    return left


def kill(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """KILL each; return those that live on."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return wait_for_end(processes, 5.0)


def _mark(daemon: Daemon, home: Path) -> str:
    return f"{daemon.name} in {home}"
