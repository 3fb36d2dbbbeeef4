"""The line that `systemctl status hotfit-retrain` shows."""

from __future__ import annotations

import pytest

from retrain_service.observers.status_line import status_line
from shared.exchange.retrain_report import TrainingReport


def training(
    *, running: str | None = None, stage: str | None = None, error: str | None = None
) -> TrainingReport:
    return TrainingReport(
        new_records=1,
        new_records_needed=10,
        next_due="after 9 more new records",
        last_run_id=None,
        running_run_id=running,
        stage=stage,
        progress=None,
        error=error,
        hold=False,
        n_usable_records=0,
        sources=[],
    )


@pytest.mark.parametrize(
    ("trainings", "trouble", "expected"),
    [
        ({}, None, "0 models"),
        ({"a": training()}, None, "1 model; next a after 9 more new records"),
        (
            {"a": training(running="r", stage="fitting"), "b": training(error="no.")},
            None,
            "2 models; training a (fitting)",
        ),
        ({"a": training(error="too few\nrows.")}, None, "1 model; a: too few rows."),
        ({"a": training(running="r")}, "events: disk full", "events: disk full"),
    ],
)
def test_the_most_pressing_thing_is_said_in_one_line(
    trainings: dict[str, TrainingReport], trouble: str | None, expected: str
) -> None:
    """systemd shows one line; a line end in it would be read as another message."""
    assert status_line(trainings, trouble) == expected


def test_thousands_of_models_stay_one_short_line() -> None:
    """A datagram has its limits, and so has a terminal."""
    line = status_line({f"park/device{n}": training() for n in range(5000)}, None)

    assert line.startswith("5000 models; next park/device0 ")
    assert line.endswith("; and 4997 more")
