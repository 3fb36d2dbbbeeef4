"""Allow one instance of a daemon: a file lock that ends with the process."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from shared.atomic_file import storage_errors, write_atomic
from shared.daemon.background import run_in_background
from shared.errors import AlreadyRunning, StorageUnavailable


@contextmanager
def only_instance(pids_dir: Path, daemon: str) -> Iterator[None]:
    """Hold `pids/<daemon>.lock` and keep `pids/<daemon>.pid` while the block runs.

    The lock is the system's: it ends with the process, however that dies. The file with the pid is
    for people and scripts: while the disk refuses it, the block runs without it.

    Raises:
        AlreadyRunning: another process holds it; the message names its pid.
        StorageUnavailable: the file that is locked cannot be made or opened.
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
        with _told(pid_path):
            yield
    finally:
        with contextlib.suppress(OSError):
            pid_path.unlink(missing_ok=True)
        lock.release()


@contextmanager
def _told(pid_path: Path) -> Iterator[None]:
    """Write our pid; where the disk refuses, a thread goes on trying until the block is over."""
    over = threading.Event()

    def tell() -> None:
        write_atomic(pid_path, f"{os.getpid()}\n".encode())

    def tell_once() -> None:
        tell()
        over.set()

    try:
        tell()
    except StorageUnavailable:
        trying = run_in_background(f"write {pid_path.name}", tell_once, over)
    else:
        yield
        return
    try:
        yield
    finally:
        over.set()
        trying.join(5.0)
