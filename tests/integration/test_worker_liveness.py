"""A worker that does not answer is replaced; what one request raises or blocks ends no service."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api_process import ApiHome
from tests.support.waiting import wait_until


@pytest.fixture
def two_workers(tmp_path: Path) -> ApiHome:
    home = ApiHome(tmp_path)
    home.publish("m", 1)
    return home


def answers(home: ApiHome) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return home.get("/livez")[0] == 200
    return False


def test_an_estimator_that_exits_is_answered_and_the_worker_goes_on(two_workers: ApiHome) -> None:
    """`sys.exit()` in code of a user hung the worker for good, while its heartbeat went on."""
    home = two_workers
    with home.running() as process:
        home.wait_until_served(home.store.versions("m")[0])
        pids = home.worker_pids()

        for _ in range(20):  # both workers take their share
            assert home.ask("POST", "/models/m/predict", {"exit": True})[0] == 500
        for _ in range(20):
            assert home.ask("POST", "/models/m/predict", {"instances": [{"x": 1.0}]})[0] == 200

        assert home.worker_pids() == pids
        assert "SystemExit" in process.output()


@pytest.mark.skipif(sys.platform == "win32", reason="there is one worker and no SIGSTOP")
def test_a_stopped_worker_is_replaced_and_requests_go_on(two_workers: ApiHome) -> None:
    """Half of all requests went into a process that never answers, for as long as it stayed."""
    home = two_workers
    with home.running() as process:
        home.wait_until_served(home.store.versions("m")[0])
        stopped = min(home.worker_pids())

        os.kill(stopped, signal.SIGSTOP)

        wait_until(lambda: stopped not in home.worker_pids(), 60, "the stopped worker to be ended")
        wait_until(lambda: len(home.worker_pids()) == 2, 60, "another in its place")
        for _ in range(20):
            assert home.ask("POST", "/models/m/predict", {"instances": [{"x": 1.0}]})[0] == 200
        assert process.is_running
        assert "its process is stopped" in process.output()


def test_a_worker_that_hangs_in_a_request_is_replaced(tmp_path: Path) -> None:
    """It lives, it reports, and nobody is ever answered again."""
    home = ApiHome(tmp_path, workers=1, api="worker_timeout_s = 3.0")
    home.publish("m", 1)
    with home.running() as process:
        home.wait_until_served(home.store.versions("m")[0], workers=1)
        (hanging,) = home.worker_pids()

        def ask_what_never_ends() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                home.ask("POST", "/models/m/predict", {"sleep_s": 1000})

        threading.Thread(target=ask_what_never_ends, daemon=True).start()

        wait_until(lambda: "worker_replaced" in process.output(), 60, "it to be noticed")
        wait_until(lambda: home.worker_pids() not in ({hanging}, set()), 60, "another worker")
        wait_until(lambda: answers(home), 60, "an answer")
        assert "it has answered no request for" in process.output()


def test_a_worker_whose_thread_is_gone_is_replaced(tmp_path: Path) -> None:
    """Its version would be served for ever, whatever is promoted."""
    home = ApiHome(tmp_path, workers=1)
    home.publish("m", 1)
    fault = tmp_path / "fault"
    with home.running(END_THREAD="reload", END_THREAD_WHILE=str(fault)) as process:
        home.wait_until_served(home.store.versions("m")[0], workers=1)
        (crippled,) = home.worker_pids()

        fault.touch()

        wait_until(lambda: "worker_replaced" in process.output(), 60, "it to be noticed")
        fault.unlink()
        wait_until(lambda: home.worker_pids() not in ({crippled}, set()), 60, "another worker")
        version = home.publish("m", 2)
        home.wait_until_served(version, workers=1)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are Linux only")
def test_a_worker_that_had_no_descriptors_while_a_version_drained_swaps_again(
    tmp_path: Path,
) -> None:
    """One such error ended the thread that swaps, and every later version was ignored."""
    import resource

    home = ApiHome(tmp_path, workers=1)
    first = home.publish("m", 1)
    with home.running() as process:
        home.wait_until_served(first, workers=1)
        (pid,) = home.worker_pids()
        slow = threading.Thread(
            target=home.ask, args=("POST", "/models/m/predict", {"sleep_s": 2.0}), daemon=True
        )
        slow.start()
        time.sleep(0.3)  # so that the request is in the model; were it not, nothing would drain
        second = home.publish("m", 2)
        wait_until(lambda: home.workers()[0].models["m"].version == second, 60, "the swap")

        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        slow.join(60)
        told = ('"thread": "reload"', "finish_draining")  # the log's line, or a thread's last one
        wait_until(lambda: any(sign in process.output() for sign in told), 60, "it to be without")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)

        third = home.publish("m", 3)
        home.wait_until_served(third, workers=1)
        assert home.worker_pids() == {pid}


@contextlib.contextmanager
def service_manager(directory: Path) -> Iterator[tuple[str, list[str]]]:
    """A socket as systemd's, and what was said to it."""
    said: list[str] = []
    path = directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))

        def listen() -> None:
            with contextlib.suppress(OSError):
                while content := sock.recv(4096):
                    said.extend(content.decode().splitlines())

        threading.Thread(target=listen, daemon=True).start()
        yield str(path), said
        sock.shutdown(socket.SHUT_RDWR)


@pytest.mark.skipif(sys.platform == "win32", reason="systemd is Linux only")
def test_a_disk_that_takes_no_report_is_named_and_is_no_death(tmp_path: Path) -> None:
    """A full disk starved systemd's watchdog while every prediction was answered."""
    home = ApiHome(tmp_path, workers=1)
    version = home.publish("m", 1)
    (home.path / "reports").touch()  # a file: whatever is written below is refused
    with (
        service_manager(tmp_path) as (address, said),
        home.running(NOTIFY_SOCKET=address, WATCHDOG_USEC="1000000"),
    ):
        wait_until(lambda: "READY=1" in said, 60, "READY")
        wait_until(lambda: said.count("WATCHDOG=1") >= 3, 60, "the watchdog to be fed")

        status, answer = home.ask("POST", "/models/m/predict", {"instances": [{"x": 1.0}]})
        assert (status, answer["version"]) == (200, version)
        _, health = home.get("/health")
        assert health["status"] == "degraded"
        told = [problem for problem in health["problems"] if "cannot be written" in problem]
        assert any("reports" in problem for problem in told), health["problems"]
