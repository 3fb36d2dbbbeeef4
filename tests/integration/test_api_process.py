"""The API daemon from outside: starting, refusing to start, dying, stopping."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import threading
from pathlib import Path

import psutil
import pytest

from shared.exchange.worker_report import read_worker_reports
from shared.versions.manifest import MODEL_NAME
from tests.support.api_process import ApiHome, steady_load
from tests.support.daemons import Daemon
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


def ends_with_one_line(process: Daemon, code: int) -> str:
    """The daemon ends by itself with `code` and exactly one line for a person."""
    assert process.process.wait(30) == code, process.output()
    lines = [line for line in process.output().splitlines() if line.startswith("api_service:")]
    assert len(lines) == 1, process.output()
    assert "Traceback" not in process.output()
    return lines[0]


def test_a_killed_worker_is_replaced_and_the_others_go_on(tmp_path: Path) -> None:
    """Out of memory, a crash in a library: one process dies, the service does not."""
    home = ApiHome(tmp_path)
    version = home.publish("m", 1)

    with home.running() as process:
        home.wait_until_served(version)
        for _ in range(3):  # within seconds: the server library would give up at the second
            victim = min(home.worker_pids())
            os.kill(victim, signal.SIGKILL)
            wait_until(
                lambda gone=victim: (
                    gone not in home.worker_pids()  # type: ignore[misc]
                    and len(home.worker_pids()) == 2
                ),
                30,
                "a new worker in its place",
            )
            assert process.is_running
            home.wait_until_it_answers(process)  # a worker reports a moment before it listens
            assert home.ask("POST", "/predict", {})[0] == 200

        assert not (home.path / "reports" / f"{socket.gethostname()}-{victim}.json").exists()
        with steady_load(home.port, connections=4) as load:
            wait_until(lambda: load.n_answered > 200, 30, "answers")
        assert load.failures == []
        assert process.stop() == 0


def test_both_workers_killed_at_once_are_both_replaced(tmp_path: Path) -> None:
    """Two deaths in one moment must not be seen as one."""
    home = ApiHome(tmp_path)
    version = home.publish("m", 1)

    with home.running() as process:
        home.wait_until_served(version)
        victims = home.worker_pids()
        for pid in victims:
            os.kill(pid, signal.SIGKILL)

        wait_until(
            lambda: len(home.worker_pids() - victims) == 2 and not home.worker_pids() & victims,
            30,
            "two new workers",
        )
        home.wait_until_served(version)
        assert process.stop() == 0


def test_workers_end_with_their_main_process_and_a_restart_works(tmp_path: Path) -> None:
    """kill -9 of the daemon must not leave servers that nobody stops."""
    home = ApiHome(tmp_path)
    version = home.publish("m", 1)

    with home.running() as process:
        home.wait_until_served(version)
        orphans = home.worker_pids()
        process.kill()

        with home.running() as again:  # at once: the orphans may still hold the port
            wait_until(lambda: not any(psutil.pid_exists(pid) for pid in orphans), 15, "their end")
            wait_until(lambda: len(home.worker_pids() - orphans) == 2, 30, "new workers")
            home.wait_until_it_answers(again)
            home.wait_until_served(version)
            assert again.stop() == 0


def test_a_main_process_killed_while_its_workers_start_leaves_none_behind(tmp_path: Path) -> None:
    """The moment in which a worker does not yet watch its parent must not exist."""
    home = ApiHome(tmp_path)
    home.publish("m", 1)

    with home.starting() as process:
        main = psutil.Process(process.process.pid)
        children = wait_until(main.children, 30, "worker processes", every_s=0.01)
        process.kill()

        wait_until(
            lambda: not any(child.is_running() for child in children), 15, "every child to end"
        )


def test_a_request_in_flight_at_term_is_answered(tmp_path: Path) -> None:
    """A deployment is no reason for a client to see an error."""
    home = ApiHome(tmp_path)
    version = home.publish("m", 1)

    with home.running() as process:
        home.wait_until_served(version)
        answers: list[int] = []

        def ask_slowly() -> None:
            answers.append(home.ask("POST", "/predict", {"sleep_s": 2.5})[0])

        client = threading.Thread(target=ask_slowly)
        client.start()
        idle = http.client.HTTPConnection("127.0.0.1", home.port, timeout=10)
        idle.request("GET", "/livez")
        assert idle.getresponse().read()
        # Long enough to be under way, and much shorter than the answer takes.
        threading.Event().wait(0.7)

        assert process.stop() == 0
        client.join(30)

    assert answers == [200]
    assert list((home.path / "reports").glob("*.json")) == [], "reports go with a clean exit"
    assert not (home.path / "pids" / "api_service.pid").exists()


def test_a_cold_start_with_a_broken_wanted_version_is_degraded_not_down(tmp_path: Path) -> None:
    """After a power cut the newest good version answers, and health says what is wrong."""
    home = ApiHome(tmp_path)
    home.publish("m", 1)
    good = home.publish("m", 2)
    bad = home.publish("m", 3)
    path = home.store.version_dir("m", bad) / MODEL_NAME
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")

    with home.running():
        home.wait_until_served(good)
        status, answer = home.ask("POST", "/predict", {})
        assert (status, answer["version"]) == (200, good)
        status, health = home.get("/health")

    assert (status, health["status"]) == (200, "degraded")
    assert any(bad in problem and "SHA-256" in problem for problem in health["problems"])


def test_the_first_answer_of_a_worker_is_by_a_model(tmp_path: Path) -> None:
    """A worker takes no request before it has opened what exists."""
    home = ApiHome(tmp_path)
    home.publish("m", 1, load_s=1.0)

    with home.running():
        assert home.ask("POST", "/predict", {})[0] == 200


def test_a_worker_that_is_stopped_while_it_opens_a_version_leaves_nothing_against_it(
    tmp_path: Path,
) -> None:
    """Two impatient restarts must not put the only version into quarantine."""
    home = ApiHome(tmp_path)
    home.publish("m", 1, load_s=5.0)

    for _ in range(2):
        with home.starting() as process:

            def is_opening() -> bool:
                lines = [report.models.get("m") for report in home.workers()]
                return any(line is not None and line.state == "loading" for line in lines)

            wait_until(is_opening, 60, "a worker to open it", every_s=0.005)
            assert process.stop() == 0

    assert read_worker_reports(home.path / "reports") == []


def test_a_first_version_is_served_without_a_restart(tmp_path: Path) -> None:
    """A new installation: the API is up long before the first training has ended."""
    home = ApiHome(tmp_path)

    with home.running():
        assert home.get("/readyz")[0] == 503
        version = home.publish("m", 1)
        home.wait_until_served(version, timeout_s=10)
        assert home.get("/readyz")[0] == 200


def test_a_version_that_kills_its_process_does_not_take_the_service_down(tmp_path: Path) -> None:
    """Out of memory while opening: the replacement must not walk into the same trap for ever."""
    home = ApiHome(tmp_path)
    good = home.publish("m", 1)

    with home.running() as process:
        home.wait_until_served(good)
        bad = home.publish("m", 2, broken="kill")

        def quarantined() -> bool:
            reports = [report.models["m"] for report in home.workers() if "m" in report.models]
            return len(reports) == 2 and all(
                report.version == good and f"{bad} generation 2" in report.quarantined
                for report in reports
            )

        wait_until(quarantined, 60, "the version that kills to be quarantined")
        home.wait_until_it_answers(process)
        assert home.ask("POST", "/predict", {})[1]["version"] == good
        _, health = home.get("/health")
        assert "died while opening it" in str(health["problems"])


@pytest.mark.parametrize(
    ("api", "saying"),
    [
        ("workers = 0", "api.workers"),
        ("prot = 1", "api.prot"),
        ('host = "0.0.0.0"', "no API key exists"),
        ('host = "no-such-host.invalid"', "api.host"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_code_2(
    tmp_path: Path, api: str, saying: str
) -> None:
    """What to change, where, and no traceback."""
    home = ApiHome(tmp_path)
    text = home.config.read_text()
    setting = api.partition(" ")[0]
    kept = [line for line in text.splitlines() if not line.startswith(f"{setting} =")]
    home.config.write_text("\n".join(kept).replace("[api]", f"[api]\n{api}"))

    with home.starting() as process:
        assert saying in ends_with_one_line(process, 2)


def test_a_taken_port_is_one_line_and_code_2(tmp_path: Path) -> None:
    """Two servers on one port would share its clients."""
    home = ApiHome(tmp_path)
    with socket.socket() as other:
        if hasattr(socket, "SO_REUSEPORT"):
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", home.port))
        other.listen()

        with home.starting() as process:
            line = ends_with_one_line(process, 2)

    assert f"another process listens on 127.0.0.1:{home.port}" in line


def test_a_second_start_is_one_line_and_code_3(tmp_path: Path) -> None:
    """Refused, with the pid of the one that runs."""
    home = ApiHome(tmp_path)

    with home.running() as first:
        second_log = tmp_path / "second.log"
        home.log = second_log
        with home.starting() as second:
            line = ends_with_one_line(second, 3)

        assert str(first.process.pid) in line
        assert first.is_running


def test_a_home_that_cannot_be_used_is_one_line_and_code_4(tmp_path: Path) -> None:
    """Missing rights, or a file where the directory should be."""
    home = ApiHome(tmp_path)
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a directory")
    home.config.write_text(home.config.read_text().replace("/home", "/file/home"))

    with home.starting() as process:
        line = ends_with_one_line(process, 4)

    assert "file" in line


def test_slow_clients_do_not_stop_a_worker(tmp_path: Path) -> None:
    """A body that comes slowly, or never, costs its own client only."""
    home = ApiHome(tmp_path, workers=1)
    version = home.publish("m", 1)

    with home.running() as process:
        home.wait_until_served(version, workers=1)
        slow = [socket.create_connection(("127.0.0.1", home.port)) for _ in range(3)]
        for sock in slow:
            sock.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        threading.Event().wait(0.3)

        with steady_load(home.port, connections=4) as load:
            wait_until(lambda: load.n_answered > 200, 30, "answers")
        assert load.failures == []

        slow[0].sendall(b'"x": 1}\n')
        assert slow[0].recv(100).startswith(b"HTTP/1.1 200")
        assert process.is_running
        for sock in slow:
            sock.close()


def test_a_stop_after_load_is_quiet(tmp_path: Path) -> None:
    """Threads of the server that stand by must be gone before the interpreter is."""
    home = ApiHome(tmp_path, workers=1)
    version = home.publish("m", 1)

    with home.running() as process:
        home.wait_until_served(version, workers=1)
        with steady_load(home.port, connections=8) as load:
            wait_until(lambda: load.n_answered > 500, 30, "answers")

        assert process.stop() == 0
    assert "panicked" not in process.output()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="systemd is Linux only")
def test_the_service_manager_is_told_when_the_first_answer_can_come(tmp_path: Path) -> None:
    """What is ordered after us must not start against a closed port."""
    home = ApiHome(tmp_path)
    home.publish("m", 1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)

        with home.starting(NOTIFY_SOCKET=str(tmp_path / "notify")) as process:
            told = manager.recv(1000).decode()

            assert told.startswith("READY=1\n")
            assert home.ask("POST", "/predict", {})[0] == 200
            assert process.stop() == 0
