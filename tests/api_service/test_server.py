"""The main process keeps its workers up, and what it uses of the server library exists."""

from __future__ import annotations

import inspect
import socket
import sys
from pathlib import Path

import pytest
from granian.server.common import AbstractServer, AbstractWorker
from granian.server.mp import MPServer

from api_service import server
from api_service.address import Address
from api_service.server import PatientServer, wait_for_port
from api_service.worker_reports import OwnReport
from shared.daemon import utc_now
from shared.errors import PortTaken
from shared.signals import WatcherReport


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
    assert issubclass(PatientServer, MPServer)


def test_a_worker_that_keeps_dying_is_replaced_with_growing_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A crash loop must neither end the daemon nor eat the processor."""
    now = 1000.0
    monkeypatch.setattr("api_service.server.time.monotonic", lambda: now)
    patient = PatientServer("none:none")
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


@pytest.mark.skipif(sys.platform == "win32", reason="shares no port there")
def test_a_port_held_by_workers_that_lost_their_main_process_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After kill -9 the next start must not fail because the old workers end a moment later."""
    monkeypatch.setattr(server, "_ORPHANS_END_WITHIN_S", 0.3)
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
