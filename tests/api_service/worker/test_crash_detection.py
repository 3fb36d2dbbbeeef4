"""A version whose opening kills the process is found by what the dead left behind."""

from __future__ import annotations

import socket

import msgspec
import pytest

from api_service import reload_manager
from api_service.status.workers import remove_stale
from api_service.worker.crash_detection import crash_reports, crashing_versions
from shared.exchange.json_files import read_struct, write_struct
from shared.exchange.worker_report import WorkerReport
from tests.api_service.conftest import Serving
from tests.api_service.worker.test_report import ended_pid, report_of
from tests.support.versions import ServingHome


def died_while(state: str, serving: Serving) -> None:
    """Leave the report of a worker that is dead and was in `state` with the wanted version."""
    path = report_of(ended_pid(), socket.gethostname(), serving.config.reports_dir)
    report = read_struct(path, WorkerReport)
    assert report is not None
    line = msgspec.structs.replace(serving.report(), state=state)
    write_struct(path, msgspec.structs.replace(report, models={"m": line}))


def test_one_death_while_opening_is_an_accident_two_are_the_version(
    home: ServingHome, serving: Serving
) -> None:
    """Somebody's kill -9 in the middle of a swap must not condemn a good version."""
    version = home.publish("m", 1)
    serving.tick()
    reports_dir = serving.config.reports_dir

    died_while("serving", serving)
    died_while("loading", serving)
    assert crashing_versions(crash_reports(reports_dir, home.store), home.store) == {}

    died_while("warming", serving)
    words = crash_reports(reports_dir, home.store)
    assert crashing_versions(words, home.store) == {"m": (version, 1)}

    remove_stale(reports_dir, keep=words)
    assert crash_reports(reports_dir, home.store) == words, "evidence stays until it is outdated"


def test_a_new_generation_is_a_new_chance(home: ServingHome, serving: Serving) -> None:
    """What killed at one generation may have been repaired at the next."""
    home.publish("m", 1)
    serving.tick()
    died_while("loading", serving)
    died_while("loading", serving)

    home.publish("m", 2)

    words = crash_reports(serving.config.reports_dir, home.store)
    assert words == []
    assert len(remove_stale(serving.config.reports_dir, keep=words)) == 2


def test_a_distrusted_version_is_not_opened_and_the_one_before_serves(
    home: ServingHome, serving: Serving
) -> None:
    """The replacement of a dead worker starts with the version before."""
    good = home.publish("m", 1)
    deadly = home.publish("m", 2)

    serving.manager.quarantine_crashing(
        "m", (deadly, 2), f"{deadly}: workers died while opening it."
    )
    serving.tick()
    serving.tick()

    assert serving.version() == good
    assert "workers died while opening it" in (serving.report().degraded or "")


def test_what_workers_died_of_is_tried_again_where_nothing_else_serves(
    home: ServingHome, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two power cuts during a start must not keep the only version from serving for ever."""
    only = home.publish("m", 1)
    serving.manager.quarantine_crashing("m", (only, 1), f"{only}: workers died while opening it.")
    serving.tick()
    assert serving.version() is None, "not at once: it may kill this worker too"

    monkeypatch.setattr(reload_manager, "LAST_RESORT_AFTER_S", (0.0, 0.0))
    serving.manager.quarantine_crashing("m", (only, 1), f"{only}: workers died while opening it.")
    serving.tick()

    assert serving.version() == only
    assert "workers died while opening it" in (serving.report().degraded or "")


def test_what_workers_died_of_is_left_alone_where_another_model_serves(
    home: ServingHome, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that serves others has something to lose."""
    home.publish("healthy", 1)
    deadly = home.publish("m", 1)
    monkeypatch.setattr(reload_manager, "LAST_RESORT_AFTER_S", (0.0, 0.0))
    serving.manager.quarantine_crashing(
        "m", (deadly, 1), f"{deadly}: workers died while opening it."
    )

    serving.tick()
    serving.tick()

    assert serving.version() is None
    assert serving.version("healthy")
