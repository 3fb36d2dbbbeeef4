"""The main process keeps its workers up, and what it uses of the server library exists."""

from __future__ import annotations

import inspect
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from granian.server.common import AbstractServer, AbstractWorker
from granian.server.mp import MPServer

from api_service.config.listen_address import Address
from api_service.supervisor import start_checks
from api_service.supervisor.start_checks import wait_for_port
from api_service.supervisor.supervisor import Supervisor
from api_service.worker.report import OwnReport
from shared.daemon.loop import utc_now
from shared.errors import PortTaken
from shared.exchange.worker_report import WatcherReport


def test_the_parts_of_the_server_library_that_we_replace_are_still_there() -> None:
    """They are not its public interface; an upgrade that moves them must be seen here."""
    assert "_serve_loop" in AbstractServer.__dict__
    source = inspect.getsource(AbstractServer) + inspect.getsource(AbstractWorker)
    for name in (
        "main_loop_interrupt",
        "interrupt_signal",
        "interrupt_children",
        "reload_signal",
        "_respawn_workers",
        "self.wrks",
        "self.birth",
    ):
        assert name in source
    assert "workers, spawn_target, target_loader" in source
    assert issubclass(Supervisor, MPServer)


def test_a_worker_that_keeps_dying_is_replaced_with_growing_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A crash loop must neither end the daemon nor eat the processor."""
    now = 1000.0
    monkeypatch.setattr("api_service.supervisor.supervisor.time.monotonic", lambda: now)
    patient = Supervisor("none:none")
    patient._pauses, patient._not_before = {}, {}

    pauses = []
    for _ in range(8):
        birth = now
        now += 1.0
        died_at = now
        while not patient._is_due(0, birth):
            now += 0.5
        patient._not_before.pop(0)
        pauses.append(now - died_at)

    assert pauses == [0, 1, 2, 4, 8, 16, 30, 30]
    now += 1000
    assert patient._is_due(0, now - 500), "one that lived long is replaced at once"


@pytest.mark.parametrize(("is_standby", "gives_up"), [(True, True), (False, False)])
def test_only_an_instance_on_trial_gives_up_on_workers_that_die(
    is_standby: bool, gives_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon is all there is and tries for ever; a standby that goes on holds up an upgrade."""
    patient = Supervisor("none:none", workers=2)
    patient.is_standby = is_standby
    workers: Any = [_Dead(idx) for idx in range(2)]
    patient.wrks = workers
    started: list[int] = []

    def respawn(due: list[int], *_: object) -> None:
        started.extend(due)
        patient.interrupt_signal = len(started) >= 20

    monkeypatch.setattr(patient, "_respawn_workers", respawn)
    monkeypatch.setattr(patient, "_is_due", partial(_die_at_once, patient))
    monkeypatch.setattr("api_service.supervisor.supervisor._CHECK_INTERVAL_S", 0.001)

    patient._serve_loop(None, None)

    assert patient.startup_failed is gives_up
    assert len(started) == (4 if gives_up else 20), "three lives of each; the first was given"


class _Dead:
    """A worker that has ended."""

    birth = 0.0

    def __init__(self, idx: int) -> None:
        self.idx, self.inner = idx, self

    def is_alive(self) -> bool:
        return False


def _die_at_once(patient: Supervisor, idx: int, birth: float) -> bool:
    """The real count of a death, without its pause."""
    Supervisor._is_due(patient, idx, birth)
    return True


@pytest.mark.skipif(sys.platform == "win32", reason="shares no port there")
def test_a_port_held_by_workers_that_lost_their_main_process_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After kill -9 the next start must not fail because the old workers end a moment later."""
    monkeypatch.setattr(start_checks, "_ORPHANS_END_WITHIN_S", 0.3)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        address = Address.resolve("127.0.0.1", held.getsockname()[1])
        started = utc_now()
        with pytest.raises(PortTaken):
            wait_for_port(address, tmp_path)
        assert (utc_now() - started).total_seconds() < 0.25, "a stranger is not waited for"

        orphan = OwnReport(tmp_path)  # a live process that reports: this one
        orphan.write(utc_now(), WatcherReport(is_well=True, sentence=""), {})
        started = utc_now()
        with pytest.raises(PortTaken):
            wait_for_port(address, tmp_path)
        assert (utc_now() - started).total_seconds() >= 0.3
    wait_for_port(address, tmp_path)
