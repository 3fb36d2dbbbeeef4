"""A run as every command and route shows it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec

from shared.run_log.run import Run, RunStatus
from shared.run_log.view import IN_A_LIST, run_line, run_record

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
RUN = Run(
    run_id="run1",
    model="solar/device-7",
    trigger="manual",
    trigger_reason="asked for",
    version="v000001-20261121T083000Z",
    version_number=1,
    status=RunStatus.SUCCEEDED,
    requested_at=NOW,
    started_at=NOW + timedelta(seconds=1),
    finished_at=NOW + timedelta(seconds=3.5),
    high_seq=5,
    promoted=True,
    verdict="better.",
    error=None,
    details={
        "rows": 10,
        "metrics": {"candidate": {"mae": 1.0, "rmse": 2.0, "r2": 0.5}, "champion": {"mae": 3.0}},
        "trial_ms": {"load_ms": 4.0},
    },
)


def test_a_record_has_every_field_and_is_json() -> None:
    """What the issue of a run is, is asked in the same words everywhere."""
    record = run_record(RUN)

    assert (record["model"], record["entity"]) == ("solar", "device-7")
    assert record["duration_s"] == 2.5
    assert record["metrics"] == {"mae": 1.0, "rmse": 2.0, "r2": 0.5}
    assert record["champion_metrics"] == {"mae": 3.0}
    assert record["model_path"] == "models/solar/device-7/versions/v000001-20261121T083000Z"
    assert (record["progress"], record["stage"]) == (1.0, None)
    assert record["details"] == {"trial_ms": {"load_ms": 4.0}}
    assert record["libraries"] is None
    assert msgspec.json.decode(msgspec.json.encode(record)) == record
    assert list(run_line(RUN)) == list(IN_A_LIST)


def test_a_run_that_goes_on_says_how_far_it_is() -> None:
    """And promises nothing: whether it is promoted is not known yet."""
    running = replace(RUN, status=RunStatus.RUNNING, finished_at=None, promoted=False)

    record = run_record(running, stage="fitting", progress=0.4)

    assert (record["stage"], record["progress"]) == ("fitting", 0.4)
    assert record["promoted"] is None
    assert record["duration_s"] is None


def test_a_run_that_failed_was_not_promoted_and_has_no_path() -> None:
    """A path to nothing would be followed."""
    record = run_record(replace(RUN, status=RunStatus.FAILED, promoted=False, error="boom"))

    assert record["promoted"] is False
    assert record["model_path"] is None
    assert record["progress"] is None
