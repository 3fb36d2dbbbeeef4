"""When the API's watchdog is fed, by the reports that its workers write."""

from __future__ import annotations

import os
import socket
import sys
from datetime import datetime, timedelta

import pytest

from api_service.address import Address
from api_service.handed_over import from_service_manager
from api_service.service_manager import COLD_START_S, Wellbeing
from api_service.worker_reports import STALE_AFTER_S
from shared.daemon import utc_now
from shared.errors import FixConfiguration
from shared.signals import WatcherReport, WorkerReport

NOW = utc_now()
OLD_S = STALE_AFTER_S + 1


def report(pid: int, *, age_s: float = 0.0, is_stuck: bool = False, host: str = "") -> WorkerReport:
    watcher = WatcherReport(is_well=not is_stuck, sentence="has not looked.", is_stuck=is_stuck)
    return WorkerReport(
        host=host or socket.gethostname(),
        pid=pid,
        started_at=NOW,
        updated_at=NOW - timedelta(seconds=age_s),
        watcher=watcher,
        models={},
    )


def complaint(
    wellbeing: Wellbeing, workers: dict[int, float], *reports: WorkerReport, now: datetime = NOW
) -> str | None:
    return wellbeing.complaint(workers, list(reports), now)


def test_workers_that_report_and_look_are_well() -> None:
    """The usual state; anything said here would restart a healthy daemon."""
    assert complaint(Wellbeing(), {1: 10.0, 2: 10.0}, report(1), report(2)) is None


def test_a_worker_that_falls_silent_is_a_reason_to_restart() -> None:
    """A frozen process holds its connections open and answers none of them."""
    wellbeing = Wellbeing()
    assert complaint(wellbeing, {1: 20.0, 2: 20.0}, report(1), report(2)) is None

    found = complaint(wellbeing, {1: 40.0, 2: 40.0}, report(1), report(2, age_s=OLD_S))

    assert found == "worker 2 lives and does not report."


def test_a_worker_whose_reload_loop_is_stuck_is_a_reason_to_restart() -> None:
    """It answers, and would serve its version for ever."""
    assert complaint(Wellbeing(), {1: 500.0}, report(1, is_stuck=True)) == (
        "worker 1: has not looked."
    )


def test_a_new_worker_is_given_time_to_open_its_models() -> None:
    """Many models take minutes; a restart would begin anew and never come to an end."""
    wellbeing = Wellbeing()

    assert complaint(wellbeing, {1: 20.0}) is None
    assert complaint(wellbeing, {1: 20.0}, report(1, age_s=OLD_S)) is None
    assert complaint(wellbeing, {1: COLD_START_S + 1}) == "worker 1 lives and does not report."


def test_a_worker_that_died_is_no_reason_to_restart_the_others() -> None:
    """The main process replaces it; those that answer must go on answering."""
    wellbeing = Wellbeing()
    assert complaint(wellbeing, {1: 20.0, 2: 20.0}, report(1), report(2)) is None

    assert complaint(wellbeing, {1: 60.0}, report(1), report(2, age_s=60)) is None
    assert complaint(wellbeing, {1: 60.0, 2: 0.5}, report(1)) is None, "its number came again"


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([], False),
        ([report(7)], False),
        ([report(1, host="elsewhere")], False),
        ([report(1, age_s=OLD_S)], False),
        ([report(1)], True),
    ],
)
def test_readiness_is_a_worker_of_our_own(reports: list[WorkerReport], expected: bool) -> None:
    """Beside an older instance the port answers before we can; its end would then lose requests."""
    assert Wellbeing().has_begun({1: 1.0, 2: 1.0}, reports, NOW) is expected


@pytest.mark.skipif(sys.platform == "win32", reason="systemd is Linux only")
@pytest.mark.parametrize("meant_for", [None, "1"])
def test_a_socket_that_is_meant_for_another_process_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, meant_for: str | None
) -> None:
    """The variables are inherited by every child of a shell that was started by a socket."""
    monkeypatch.setenv("LISTEN_FDS", "1")
    if meant_for is None:
        monkeypatch.delenv("LISTEN_PID", raising=False)
    else:
        monkeypatch.setenv("LISTEN_PID", meant_for)

    assert from_service_manager(Address.resolve("127.0.0.1", 5000)) is None
    assert "LISTEN_FDS" not in os.environ, "no child of ours must believe in it"


@pytest.mark.skipif(sys.platform == "win32", reason="systemd is Linux only")
def test_more_than_one_socket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which one to serve on would be a guess."""
    monkeypatch.setenv("LISTEN_FDS", "2")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))

    with pytest.raises(FixConfiguration, match="expected one socket handed over, found 2"):
        from_service_manager(Address.resolve("127.0.0.1", 5000))
