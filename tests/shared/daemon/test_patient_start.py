"""A daemon starts although the disk refuses for a while, and is the only one of its kind."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from shared.atomic_file import storage_errors, write_atomic
from shared.daemon.one_instance import only_instance
from shared.daemon.patient_start import patiently
from shared.errors import AlreadyRunning, StorageUnavailable
from tests.support.waiting import wait_until


def refused(number: int) -> Exception:
    try:
        with storage_errors(Path("pids")):
            raise OSError(number, os.strerror(number))
    except StorageUnavailable as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        refused(errno.ENOSPC),
        refused(errno.EROFS),
        OSError(errno.EMFILE, "no descriptor"),
        sqlite3.OperationalError("disk I/O error"),
    ],
)
def test_what_may_pass_is_tried_again(error: Exception) -> None:
    outcomes: list[Exception | None] = [error, error, None]

    def start() -> str:
        if (outcome := outcomes.pop(0)) is not None:
            raise outcome
        return "started"

    assert patiently(start, threading.Event()) == "started"


@pytest.mark.parametrize("error", [refused(errno.ENOENT), AlreadyRunning("already running")])
def test_what_a_person_must_mend_ends_the_start(error: Exception) -> None:
    def start() -> str:
        raise error

    with pytest.raises(type(error)):
        patiently(start, threading.Event())


def test_a_daemon_that_waits_for_its_disk_can_be_stopped() -> None:
    stop = threading.Event()

    def start() -> str:
        stop.set()
        raise refused(errno.ENOSPC)

    assert patiently(start, stop) is None


def test_a_pid_file_that_cannot_be_written_ends_nothing_and_comes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock keeps a second one away; the file with the pid is for people and scripts."""
    is_full = threading.Event()
    is_full.set()

    def write_if_not_full(path: Path, content: bytes) -> None:
        if is_full.is_set():
            raise refused(errno.ENOSPC)
        write_atomic(path, content)

    monkeypatch.setattr("shared.daemon.one_instance.write_atomic", write_if_not_full)
    pid_path = tmp_path / "daemon.pid"

    with only_instance(tmp_path, "daemon"):
        with pytest.raises(AlreadyRunning, match="unknown"), only_instance(tmp_path, "daemon"):
            pass
        assert not pid_path.exists()
        is_full.clear()
        wait_until(pid_path.exists, 30, "the pid file")
        assert pid_path.read_text() == f"{os.getpid()}\n"

    assert not pid_path.exists()
