"""From "the data changed" to a new version, through real processes and a kill."""

from __future__ import annotations

from pathlib import Path

from shared.daemon.loop import utc_now
from shared.exchange.event_burst import record_event
from shared.run_log.run import Run
from tests.support.daemons import MeanHome, daemon
from tests.support.waiting import wait_until

ONLY_EVENTS = 'new_records = 0\nevery = "0s"\ndebounce = "1s"\nmax_wait = "3s"\n'


def finished(place: MeanHome, trigger: str) -> list[Run]:
    return [run for run in place.runs() if run.trigger == trigger and run.promoted]


def test_events_lead_to_one_run_also_when_the_daemon_is_killed_in_between(tmp_path: Path) -> None:
    """Whoever was told "noted" will not tell it again."""
    place = MeanHome(tmp_path, ONLY_EVENTS)
    place.add_rows(100)
    requests, output = place.home / "requests", tmp_path / "retrain.log"
    with daemon("retrain_service", "run", config=place.config, output=output) as running:
        wait_until(lambda: finished(place, "first"), 40, "the first version")
        place.add_rows(5)
        for _ in range(50):
            record_event(requests, "m", utc_now())
        wait_until(lambda: not list(requests.iterdir()), 20, "the events to be taken")
        running.kill()
    place.add_rows(5)
    record_event(requests, "m", utc_now())

    with daemon("retrain_service", "run", config=place.config, output=output) as running:
        wait_until(lambda: finished(place, "event"), 40, "the run for the events")
        assert running.stop() == 0

    (run,) = finished(place, "event")
    assert run.trigger_reason.startswith("51 events since ")
    assert run.details["records"] == 110
    assert not list(requests.iterdir())
