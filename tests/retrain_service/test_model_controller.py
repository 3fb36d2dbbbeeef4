"""One configured model with one training for each entity: what one raises is its own matter."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from shared.daemon.loop import utc_now
from shared.run_log.run import Run, RunStatus
from shared.run_log.writer import RunLog
from tests.support.hand_ticked_loop import HandTickedLoop
from tests.support.versions import ServingHome, version_name
from tests.support.waiting import wait_until


@pytest.fixture
def home(tmp_path: Path) -> ServingHome:
    """A home with versions of three devices."""
    made = ServingHome(tmp_path)
    for entity in ("roof-1", "roof-2", "roof-3"):
        made.publish(f"solar/{entity}", 1)
    return made


def test_an_entity_that_cannot_be_added_does_not_keep_its_siblings_away(
    home: ServingHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five hundred devices, one of them with a name or a past that makes our code raise."""
    loop = HandTickedLoop(home.path)
    controller = loop.loop.controller("solar")
    real = controller._new_training

    def new_training(name: str) -> Any:
        if name.endswith("roof-2"):
            raise ZeroDivisionError("no")
        return real(name)

    monkeypatch.setattr(controller, "_new_training", new_training)
    try:
        report = loop.tick()
    finally:
        loop.loop.shutdown(loop.now)

    assert {"solar/roof-1", "solar/roof-3"} <= report.models.keys()
    assert "solar/roof-2: internal error" in (report.models["solar/roof-1"].error or "")


def test_the_past_of_one_entity_that_cannot_be_understood_is_its_own_problem(
    home: ServingHome,
) -> None:
    """Its siblings are read, counted and reported as ever."""
    with closing(RunLog.open(home.path / "run_log.sqlite")) as log:
        name = "solar/roof-1"
        run = Run("r", name, "every", "", version_name(1), 1, RunStatus.QUEUED, utc_now())
        log.add_run(run)
        log.finish_run("r", utc_now(), RunStatus.SUCCEEDED)
        log._connection.execute("UPDATE runs SET details='{half'")
    loop = HandTickedLoop(home.path)
    try:
        loop.tick()
        wait_until(lambda: loop.tick() and loop.loop.controller("solar").sources, 30, "a reading")
        report = loop.tick()
    finally:
        loop.loop.shutdown(loop.now)

    assert "internal error" in (report.models["solar/roof-1"].error or "")
    assert "internal error" not in (report.models["solar/roof-2"].error or "")
