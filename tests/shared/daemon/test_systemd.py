"""What systemd hears from a loop: on a real datagram socket, as it listens itself."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.daemon.systemd import WatchdogNotifier, notify, watchdog_period_s

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="systemd is Linux only")


class Manager:
    """The end of the socket that systemd holds."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        """Every message since the last look."""
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    path = tmp_path / "notify"
    found = Manager(path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    yield found
    found.close()


def test_what_is_said_arrives_as_it_was_said(manager: Manager) -> None:
    """systemd reads lines of NAME=value and nothing else."""
    notify("READY=1\nSTATUS=serving")

    assert manager.heard() == ["READY=1\nSTATUS=serving"]


def test_without_a_manager_or_with_one_that_is_gone_nothing_happens(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A daemon that start.sh started must not need one; nor must the end of one end the daemon."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")

    assert manager.heard() == []


def test_a_manager_that_does_not_listen_holds_nobody_up(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its queue is full after a few words; a daemon that waited for it could not even end."""
    monkeypatch.setattr("shared.daemon.systemd.NOTIFY_TIMEOUT_S", 0.001)
    room = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())

    def say_more_than_it_takes() -> None:
        for _ in range(room + 10):
            notify("WATCHDOG=1")

    speaker = threading.Thread(target=say_more_than_it_takes, daemon=True)
    speaker.start()
    speaker.join(30)

    assert not speaker.is_alive()
    assert len(manager.heard()) <= room + 1


def test_the_watchdog_is_fed_twice_in_the_time_it_waits(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One late round must not cost a healthy daemon its life; a feed each round would be waste."""
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    now = 100.0
    feeder = WatchdogNotifier(lambda: now)

    for _ in range(400):
        feeder.feed("")
        now += 0.1

    fed = [message for message in manager.heard() if "WATCHDOG=1" in message.split("\n")]
    assert len(fed) == 4, "40 s, every 10 s"


def test_a_loop_that_stops_feeds_no_more(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread feeds on its own: that would tell systemd that the thread works."""
    monkeypatch.setenv("WATCHDOG_USEC", "2000")
    feeder = WatchdogNotifier()
    feeder.feed("")
    assert manager.heard() == ["WATCHDOG=1\nSTATUS="]

    threading.Event().wait(0.1)

    assert manager.heard() == []


def test_a_status_is_said_when_it_changes_also_without_a_watchdog(manager: Manager) -> None:
    """`systemctl status` shows the last one; the journal must not fill with the same."""
    feeder = WatchdogNotifier()

    for status in ("one", "one", "two", "two"):
        feeder.feed(status)

    assert manager.heard() == ["STATUS=one", "STATUS=two"]


@pytest.mark.parametrize(
    ("limit", "pid", "expected"),
    [
        ("30000000", None, 15.0),
        ("30000000", str(os.getpid()), 15.0),
        ("30000000", "1", None),
        ("0", None, None),
        ("soon", None, None),
        (None, None, None),
    ],
    # By name: the number of this process would make each run's names differ.
    ids=["nobody named", "this process", "another process", "no limit", "no number", "not set"],
)
def test_only_the_process_that_is_watched_feeds(
    monkeypatch: pytest.MonkeyPatch, limit: str | None, pid: str | None, expected: float | None
) -> None:
    """The variables are inherited: a child that fed would keep a dead parent's watchdog quiet."""
    for name, value in (("WATCHDOG_USEC", limit), ("WATCHDOG_PID", pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)

    assert watchdog_period_s() == expected
