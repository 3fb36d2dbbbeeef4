"""All workers switch at one instant, also when one of them cannot. Real processes and sockets."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.api_process import ApiHome, steady_load
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="one worker there: nothing to agree on"),
]

CONNECTIONS = 64


def test_no_client_sees_the_old_version_after_the_first_answer_by_the_new_one(
    tmp_path: Path,
) -> None:
    """What one worker has told must not be taken back by another."""
    home = ApiHome(tmp_path)
    first = home.publish("m", 1)

    with home.running() as process:
        home.wait_until_served(first)
        with steady_load(home.port, connections=CONNECTIONS) as load:
            for number in range(2, 8):
                before = load.n_answered
                # One worker is warm long before the other.
                (tmp_path / "slow").touch()
                version = home.publish("m", number, slow_while=str(tmp_path / "slow"))
                home.wait_until_served(version)
                wait_until(lambda n=before: load.n_answered > n + 100, 10, "answers")  # type: ignore[misc]
        reports = home.workers()
        assert process.stop() == 0

    assert load.failures == []
    assert load.mixed == []
    assert {generation for *_, generation in load.moments} == set(range(1, 8))
    assert load.went_back() == []
    waits_ms: list[float] = []
    for report in reports:
        receipt = report.models["m"].receipt
        assert receipt is not None
        assert report.models["m"].prepared is None
        waits_ms.append(receipt.wait_ms)
    assert max(waits_ms) > 20, "the faster one waited for the other"


def test_a_stopped_worker_is_replaced_and_the_switch_goes_on(tmp_path: Path) -> None:
    """A worker that stands still must neither hold up a new version nor go on with the old one."""
    home = ApiHome(tmp_path, api="switch_timeout_s = 1.5")
    first = home.publish("m", 1)

    with home.running() as process:
        home.wait_until_served(first)
        pids = home.worker_pids()
        stopped = min(pids)
        with steady_load(home.port, connections=16) as load:
            wait_until(lambda: load.n_answered > 100, 10, "answers")
            os.kill(stopped, signal.SIGSTOP)
            try:
                second = home.publish("m", 2)
                wait_until(lambda: stopped not in home.worker_pids(), 15, "its end")
            finally:
                if psutil.pid_exists(stopped):
                    os.kill(stopped, signal.SIGCONT)
            home.wait_until_served(second)
            before = load.n_answered
            wait_until(lambda: load.n_answered > before + 100, 10, "answers by both")
        assert len(home.worker_pids()) == 2
        assert process.stop() == 0

    assert load.went_back() == []
    # What the stopped worker had taken is lost with it: an error, and no request that hangs.
    assert len(load.failures) <= 32
    assert all("200" not in failure for failure in load.failures)
    assert max(load.latencies_ms) < 5_000
    assert "the other workers wait for it to load the new version" in home.log.read_text()


def test_nobody_switches_to_what_one_worker_cannot_open(tmp_path: Path) -> None:
    """Half of the answers by a version that the other half could not open would be a lottery."""
    home = ApiHome(tmp_path)
    good = home.publish("m", 1)

    with home.running() as process:
        home.wait_until_served(good)
        once = tmp_path / "only-one"
        once.touch()
        with steady_load(home.port, connections=8) as load:
            bad = home.publish("m", 2, broken_while=str(once))

            def refused_by_all() -> bool:
                reports = [report.models["m"] for report in home.workers()]
                return len(reports) == 2 and all(
                    f"{bad} generation 2" in report.quarantined for report in reports
                )

            wait_until(refused_by_all, 20, "a refusal by both workers")
            newest = home.publish("m", 3)
            home.wait_until_served(newest)
        assert process.stop() == 0

    assert load.failures == []
    assert {generation for *_, generation in load.moments} == {1, 3}
    assert load.went_back() == []


def test_a_newer_version_overtakes_the_one_that_waits(tmp_path: Path) -> None:
    """Two promotions within a second: the last one counts, and nobody waits for the first."""
    home = ApiHome(tmp_path)
    first = home.publish("m", 1)

    with home.running() as process:
        home.wait_until_served(first)
        with steady_load(home.port, connections=8) as load:
            for number in range(2, 12):
                newest = home.publish("m", number, load_s=0.1 * (number % 3))
            home.wait_until_served(newest)
        assert process.stop() == 0

    assert load.failures == []
    assert load.went_back() == []
    assert load.moments[-1][2] == 11


def test_a_worker_that_is_replaced_answers_with_what_the_others_answer_with(
    tmp_path: Path,
) -> None:
    """A new process must not be ahead of the others, nor behind them."""
    home = ApiHome(tmp_path, workers=3, api="switch_timeout_s = 20")
    first = home.publish("m", 1)

    with home.running() as process:
        home.wait_until_served(first, workers=3)
        with steady_load(home.port, connections=16) as load:
            killed = 0
            for number in range(2, 5):
                version = home.publish("m", number, load_s=0.5)
                victim = max(home.worker_pids())
                os.kill(victim, signal.SIGKILL)  # in the middle of opening
                killed += 1
                home.wait_until_served(version, workers=3)
            last = load.n_answered
            wait_until(lambda: load.n_answered > last + 100, 10, "answers")
        assert process.stop() == 0

    assert killed == 3
    assert load.went_back() == []
    assert len(load.failures) <= 16 * killed


def test_a_main_process_that_is_killed_leaves_nothing_that_confuses_the_next(
    tmp_path: Path,
) -> None:
    """The number that everybody reads must not outlive those who read it."""
    home = ApiHome(tmp_path)
    first = home.publish("m", 1)

    with home.running() as process:
        home.wait_until_served(first)
        second = home.publish("m", 2, load_s=0.3)
        process.kill()

    started = time.monotonic()
    with home.running() as process:
        wait_until(lambda: len(home.worker_pids()) == 2, 30, "two workers")
        home.wait_until_served(second)
        assert time.monotonic() - started < 20
        home.wait_until_it_answers(process)  # a worker reports a moment before it listens
        with steady_load(home.port, connections=4) as load:
            third = home.publish("m", 3)
            home.wait_until_served(third)
        assert load.failures == []
        assert load.went_back() == []
        assert process.stop() == 0
