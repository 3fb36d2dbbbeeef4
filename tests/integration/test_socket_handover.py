"""The port belongs to the service manager: two instances on one socket, and one of them ends."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api_process import ApiHome, steady_load
from tests.support.daemons import INJECTED, ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="systemd is Linux only")

# As systemd does it: the descriptor is number 3, and the variable names the process itself.
_SCRIPT = 'exec 3<&"$DESCRIPTOR"; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
AS_SYSTEMD = ("/bin/bash", "-c", _SCRIPT, "as-systemd")


class Manager:
    """What systemd is to the API: it holds the port and hears what is said."""

    def __init__(self, home: ApiHome, folder: Path) -> None:
        self.home = home
        self._folder = folder
        self.port = socket.socket()
        self.port.bind(("127.0.0.1", home.port))
        self.port.listen(1024)

    @contextlib.contextmanager
    def started(self, name: str, *arguments: str, first: Path = INJECTED) -> Iterator[Instance]:
        """Start an instance; modules in the folder `first` are found before all others."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
            heard.bind(str(self._folder / name))
            heard.settimeout(60)
            log = (self._folder / f"{name}.log").open("ab")
            process = subprocess.Popen(
                [*AS_SYSTEMD, sys.executable, "-m", "api_service", *arguments],
                cwd=ROOT,
                env={
                    **os.environ,
                    "HOTFIT_CONFIG": str(self.home.config),
                    "DESCRIPTOR": str(self.port.fileno()),
                    "NOTIFY_SOCKET": str(self._folder / name),
                    "WATCHDOG_USEC": "1000000",
                    "PYTHONPATH": os.pathsep.join([str(first), str(INJECTED), str(ROOT)]),
                },
                pass_fds=(self.port.fileno(),),
                stdout=log,
                stderr=log,
            )
            try:
                yield Instance(process, heard)
            finally:
                process.kill()
                process.wait()
                log.close()


class Instance:
    """One API daemon and the line on which it talks to its manager."""

    def __init__(self, process: subprocess.Popen[bytes], heard: socket.socket) -> None:
        self.process = process
        self._heard = heard

    def wait_for(self, word: str) -> str:
        """The next message that holds a word."""
        while True:
            message = self._heard.recv(4096).decode()
            if word in message:
                return message

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(60)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    home = ApiHome(tmp_path)
    home.publish("m", 1)
    found = Manager(home, tmp_path)
    yield found
    found.port.close()


def test_an_instance_is_replaced_without_a_failed_request(manager: Manager) -> None:
    """What an upgrade does: the new code answers beside the old one, then the old one ends."""
    with contextlib.ExitStack() as running:
        old = running.enter_context(manager.started("daemon"))
        old.wait_for("READY=1")
        with steady_load(manager.home.port, connections=4) as load:

            def go_on() -> None:
                so_far = load.n_answered
                wait_until(lambda: load.n_answered > so_far + 50, 30, "further answers")

            go_on()
            standby = running.enter_context(manager.started("standby", "--standby"))
            standby.wait_for("READY=1")
            assert old.stop() == 0
            go_on()
            new = running.enter_context(manager.started("daemon2"))
            new.wait_for("READY=1")
            assert standby.stop() == 0
            go_on()
        assert load.failures == []


def test_a_standby_whose_workers_die_gives_up(manager: Manager, tmp_path: Path) -> None:
    """An upgrade to code that cannot serve must end in seconds, and the old one serve on."""
    (tmp_path / "fault").mkdir()
    # Only workers import it.
    (tmp_path / "fault" / "watchdog.py").write_text("raise RuntimeError('made to fail')\n")
    with manager.started("daemon") as old:
        old.wait_for("READY=1")
        with (
            steady_load(manager.home.port, connections=2) as load,
            manager.started("standby", "--standby", first=tmp_path / "fault") as standby,
        ):
            assert standby.process.wait(180) == 4

        assert load.failures == []

    said = (tmp_path / "standby.log").read_text()
    assert "made to fail" in said
    assert "api_service: expected a worker to start, found 3 deaths of each" in said


def test_the_watchdog_is_fed_with_the_sentence_of_health(manager: Manager) -> None:
    """`systemctl status` shows what a person would otherwise have to ask for."""
    with manager.started("daemon") as daemon:
        assert daemon.wait_for("READY=1").startswith("READY=1\n")

        fed = daemon.wait_for("WATCHDOG=1")

        # The retrain daemon does not run here, which health says in its own words.
        status = fed.partition("\nSTATUS=")[2]
        assert "see problems" in status or "retrain daemon has not started here" in status
        assert daemon.stop() == 0
        daemon.wait_for("STOPPING=1")


def test_connections_wait_while_nobody_serves(manager: Manager) -> None:
    """A killed or restarting daemon delays a request and does not refuse it."""
    early = socket.create_connection(("127.0.0.1", manager.home.port), timeout=60)
    early.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")

    with manager.started("daemon"):
        assert early.recv(100).startswith(b"HTTP/1.1 200")
    early.close()


def test_a_port_other_than_configured_is_refused_with_what_to_do(
    manager: Manager, tmp_path: Path
) -> None:
    """Serving where nobody asks would look like an outage without a reason."""
    config = manager.home.config
    config.write_text(config.read_text().replace(f"port = {manager.home.port}", "port = 1234"))

    with manager.started("daemon") as daemon:
        assert daemon.process.wait(30) == 2

    said = (tmp_path / "daemon.log").read_text()
    assert f"systemd listens on 127.0.0.1:{manager.home.port}" in said
    assert "install.sh" in said
