"""Workers are forks of a template process: what happens to it, to them, and to the main process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.api_process import ApiHome
from tests.support.daemons import Daemon
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only"),
]


def named(process: Daemon, name: str) -> list[psutil.Process]:
    """The daemon's processes of a name that live."""
    found = []
    for child in psutil.Process(process.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.name() == name and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


def test_workers_are_children_of_the_main_process_and_start_with_one_clean_template(
    tmp_path: Path,
) -> None:
    """A thread, a lock or a socket that the template held would be held by every worker."""
    home = ApiHome(tmp_path)
    version = home.publish("m", 1)

    with home.running() as process:
        home.wait_until_served(version)
        (template,) = named(process, "hotfit-template")
        workers = named(process, "hotfit-worker")

        assert {worker.pid for worker in workers} == home.worker_pids()
        assert {worker.ppid() for worker in workers} == {process.process.pid}
        assert template.num_threads() == 1
        assert template.net_connections() == []
        opened = [str(path.readlink()) for path in Path(f"/proc/{template.pid}/fd").iterdir()]
        assert [path for path in opened if str(home.path) in path] == [], "no lock of ours"
        assert sum(path.startswith(("socket:", "pipe:")) for path in opened) == 1, opened
        assert process.stop() == 0
    wait_until(lambda: not any(each.is_running() for each in [template, *workers]), 10, "their end")


def test_a_template_that_is_killed_costs_no_worker_and_the_next_one_is_forked_from_another(
    tmp_path: Path,
) -> None:
    """It may be killed for its memory, as any process; what serves must not notice."""
    home = ApiHome(tmp_path)
    version = home.publish("m", 1)

    with home.running() as process:
        home.wait_until_served(version)
        home.wait_until_it_answers(process)
        (template,) = named(process, "hotfit-template")
        workers = home.worker_pids()
        template.kill()
        wait_until(lambda: not template.is_running(), 30, "the template's end to be collected")
        assert home.ask("POST", "/predict", {})[0] == 200
        assert home.worker_pids() == workers

        victim = min(workers)
        os.kill(victim, signal.SIGKILL)
        wait_until(
            lambda: victim not in home.worker_pids() and len(home.worker_pids()) == 2,
            60,
            "a new worker in its place",
        )
        home.wait_until_served(version)
        assert process.stop() == 0


def test_everything_ends_when_the_main_process_is_killed(tmp_path: Path) -> None:
    """The template too, which nobody would ask for a worker any more."""
    home = ApiHome(tmp_path)
    version = home.publish("m", 1)

    with home.running() as process:
        home.wait_until_served(version)
        family = psutil.Process(process.process.pid).children(recursive=True)
        assert len(family) == 3
        process.kill()

        wait_until(lambda: not any(each.is_running() for each in family), 30, "their end")


def test_ctrl_c_in_a_terminal_ends_all_without_a_traceback(tmp_path: Path) -> None:
    """It reaches every process of the terminal at once, the template among them."""
    home = ApiHome(tmp_path)
    version = home.publish("m", 1)

    with home.running() as process:
        home.wait_until_served(version)
        home.wait_until_it_answers(process)
        family = psutil.Process(process.process.pid).children(recursive=True)
        for each in [*family, psutil.Process(process.process.pid)]:
            each.send_signal(signal.SIGINT)

        assert process.process.wait(20) == 0
    wait_until(lambda: not any(each.is_running() for each in family), 10, "their end")
    assert "Traceback" not in process.output()


def test_settings_are_read_in_a_process_of_its_own(tmp_path: Path) -> None:
    """The settings library is larger than all that the main process needs of it."""
    home = ApiHome(tmp_path)

    with home.running() as process:
        mapped = Path(f"/proc/{process.process.pid}/maps").read_text()

        assert "pydantic" not in mapped
        assert "granian" in mapped
        lines = [json.loads(line) for line in process.output().splitlines()]
        assert {line["daemon"] for line in lines} == {"api_service"}
