"""Finding and ending daemons, with real processes that stand in for them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from scripts.daemons import processes
from scripts.daemons.processes import API, RETRAIN, Daemon
from scripts.daemons.stop import stop
from shared.settings.root import Settings
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="stand-ins take POSIX signals")

OBEDIENT = "import time; print('up', flush=True); time.sleep(60)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {OBEDIENT}"
# A daemon that is killed cannot end its child.
PARENT = (
    "import subprocess, sys;"
    f"subprocess.Popen([sys.executable, '-c', {OBEDIENT!r}], stdout=subprocess.DEVNULL);"
    f"{OBEDIENT}"
)
StandIn = Callable[[Daemon, str], subprocess.Popen[bytes]]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "pids").mkdir()
    return Settings(home=tmp_path)


@pytest.fixture
def stand_in(settings: Settings) -> Iterator[StandIn]:
    """Start a process that looks like a daemon; its PID file is written as a daemon does."""
    started: list[subprocess.Popen[bytes]] = []

    def start(daemon: Daemon, code: str) -> subprocess.Popen[bytes]:
        mark = f"{daemon.name} in {settings.home}"
        child = subprocess.Popen(
            [sys.executable, "-c", code, daemon.name],
            env={**os.environ, processes.MARK: mark},
            stdout=subprocess.PIPE,
        )
        started.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        (settings.pids_dir / f"{daemon.name}.pid").write_text(f"{child.pid}\n")
        return child

    yield start
    for child in started:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def test_a_daemon_is_known_by_its_pid_file(settings: Settings, stand_in: StandIn) -> None:
    """The file is the daemon's own word; start, stop and status all rely on it."""
    child = stand_in(API, OBEDIENT)

    found = processes.running(API, settings.pids_dir)

    assert found is not None
    assert found.pid == child.pid
    assert processes.running(RETRAIN, settings.pids_dir) is None


@pytest.mark.parametrize("content", ["", "x\n", "-1\n", "999999999\n"])
def test_a_pid_file_that_names_nobody_is_no_daemon(settings: Settings, content: str) -> None:
    """After a power cut the file may be anything."""
    (settings.pids_dir / "api_service.pid").write_text(content)

    assert processes.running(API, settings.pids_dir) is None


def test_a_number_that_another_process_got_is_not_the_daemon(
    settings: Settings, stand_in: StandIn
) -> None:
    """After a reboot the number may belong to anybody, who must not be killed."""
    stand_in(API, OBEDIENT)
    before_it_began = time.time() - 3600
    os.utime(settings.pids_dir / "api_service.pid", (before_it_began, before_it_began))

    assert processes.running(API, settings.pids_dir) is None


def test_a_daemon_that_does_not_listen_is_killed(
    settings: Settings, stand_in: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    """TERM first, KILL when the time is up; and stop says which it was."""
    obedient = stand_in(API, OBEDIENT)
    deaf = stand_in(RETRAIN, DEAF)

    code = stop(settings, grace_s=0.5)

    assert code == 0
    assert obedient.wait(1) == -15
    assert deaf.wait(1) == -9
    told = capsys.readouterr().out
    assert "api_service  stopped" in told
    assert re.search(rf"retrain_service  killed after 0\.\d s \(pid {deaf.pid}\)", told)
    assert not list(settings.pids_dir.iterdir())


def test_what_a_killed_daemon_left_behind_is_found_and_ended(
    settings: Settings, stand_in: StandIn
) -> None:
    """Children of a daemon that died hard have no parent and no PID file, but its mark."""
    parent = stand_in(RETRAIN, PARENT)
    (orphan,) = psutil.Process(parent.pid).children()
    parent.kill()
    parent.wait()
    assert processes.running(RETRAIN, settings.pids_dir) is None
    assert processes.members(RETRAIN, settings.home, None) == [orphan]

    assert stop(settings, grace_s=2.0) == 0

    wait_until(lambda: not processes.is_alive(orphan), 30, "the orphan's end")


def test_another_home_is_left_alone(
    settings: Settings, stand_in: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two installations on one machine do not know each other."""
    child = stand_in(API, OBEDIENT)

    code = stop(settings.model_copy(update={"home": tmp_path / "other"}))

    assert code == 0
    assert child.poll() is None
    assert "Nothing was running" in capsys.readouterr().out


def test_long_logs_are_moved_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    """Logs are kept small without a service that rotates them."""
    log = tmp_path / "api_service.log"
    for text in ("first", "second", "third", "fourth"):
        log.write_text(text)
        processes.rotate(log, limit_bytes=3, keep=2)

    assert not log.exists()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "api_service.log.1": "fourth",
        "api_service.log.2": "third",
    }


def test_short_logs_stay(tmp_path: Path) -> None:
    """A start goes on in the same file."""
    log = tmp_path / "api_service.log"
    log.write_text("short")

    processes.rotate(log)

    assert log.read_text() == "short"
