"""One instance of a daemon: a lock that ends with the process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from shared.atomic_file import storage_errors, write_atomic
from shared.errors import AlreadyRunning


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
