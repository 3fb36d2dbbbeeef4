"""The made-up solar devices: honest about being that, repeatable, and worth a model."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scripts.demo import solar
from scripts.demo.solar_park import COLOMBO, DEVICES, EVERY_MIN, readings_of_day
from shared.records import Table, to_epoch_us
from shared.workloads.solar_power.records import NOT_ONLINE
from shared.workloads.solar_power.workload import NO_TARGET, SolarPower

NOW = datetime(2026, 11, 21, 10, 30, tzinfo=UTC)
YESTERDAY = date(2026, 11, 20)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("solar") / "demo.db"
    solar.fill(path, until=YESTERDAY, now=NOW)
    return path


def rows(path: Path, order: str = "id") -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        found = connection.execute(f"SELECT * FROM readings ORDER BY {order}").fetchall()
    return [dict(row) for row in found]


def test_two_weeks_of_five_devices_up_to_yesterday_evening(filled: Path) -> None:
    """Enough for seven days of training and something before them."""
    found = rows(filled)

    counts = Counter(row["device_id"] for row in found)
    assert set(counts) == {device.id for device in DEVICES}
    a_fortnight = 14 * 24 * 60 // EVERY_MIN
    assert all(0.97 * a_fortnight < n <= a_fortnight for n in counts.values())
    newest = datetime.fromisoformat(max(row["updated_at"] for row in found))
    assert newest.astimezone(COLOMBO).date() == YESTERDAY


def test_the_data_says_that_it_is_synthetic(filled: Path) -> None:
    """Nobody may take it for a measurement, wherever it is copied to."""
    with closing(sqlite3.connect(filled)) as connection:
        about = dict(connection.execute("SELECT key, value FROM about").fetchall())

    assert about["content"].startswith("SYNTHETIC")
    assert {row["note"] for row in rows(filled)} == {"synthetic demo data"}


def test_a_day_is_the_same_whenever_it_is_made(filled: Path, tmp_path: Path) -> None:
    """Two people who talk about the demo see the same."""
    again = tmp_path / "demo.db"
    solar.fill(again, until=YESTERDAY - timedelta(days=2), now=NOW)
    solar.fill(again, until=YESTERDAY, now=NOW)
    first_day = {row["id"] for row in rows(filled)} & {row["id"] for row in rows(again)}

    def content(path: Path) -> list[dict[str, Any]]:
        return [
            {name: value for name, value in row.items() if name != "updated_at"}
            for row in rows(path)
            if row["id"] in first_day
        ]

    assert len(first_day) > 15_000
    assert content(filled) == content(again)
    assert solar.fill(again, until=YESTERDAY, now=NOW) == 0


def test_added_readings_are_the_next_ones_and_newer_than_all_that_was_read(
    tmp_path: Path,
) -> None:
    """A reader that has been past the newest row must find them, and none from the future."""
    path = tmp_path / "demo.db"
    solar.fill(path, until=YESTERDAY, now=NOW)
    before = max(row["updated_at"] for row in rows(path))

    n_added = solar.add(path, 12, now=NOW)

    added = [row for row in rows(path) if row["updated_at"] > before]
    assert len(added) == n_added
    assert 50 <= n_added <= 12 * len(DEVICES)
    assert min(row["timestamp"] for row in added if row["device_id"] == "roof-01").startswith(
        "2026-11-20T18:3"
    )
    n_today = solar.add(path, 10_000, now=NOW)
    assert n_today > 100 * len(DEVICES)
    assert solar.add(path, 1, now=NOW) == 0, "the clock has not come further"


def test_every_device_writes_as_firmwares_do_and_is_understood(filled: Path) -> None:
    """Texts for numbers, naive local times, epochs; what was offline or last is left out."""
    workload = SolarPower({"time_zone": "Asia/Colombo"})
    for device in DEVICES:
        documents = [row for row in rows(filled) if row["device_id"] == device.id]
        bodies = [msgspec.json.encode(row) for row in documents]
        written = [to_epoch_us(datetime.fromisoformat(row["updated_at"])) for row in documents]
        table = Table("readings", [row["id"] for row in documents], written, bodies)

        found = workload.training_set({"readings": table})

        assert set(found.rejected) == {NOT_ONLINE, NO_TARGET}
        assert found.n_days == 14
        assert found.n_rows > 0.93 * 14 * 24 * 60 / EVERY_MIN
        night = found.features[:, 0] < 5
        assert (found.target[night] == 0).all(), f"{device.id}: the sun shines at night"
        assert found.target.max() > 0.5 * device.peak_w
        train, holdout = workload.split(found)
        estimator = workload.fit(train, 0, lambda _fraction, _stage: None)
        mae = workload.score(estimator, holdout).metrics["mae"]
        assert mae <= workload.score_baseline(holdout).metrics["mae"], device.id


def test_the_shapes_differ_between_devices() -> None:
    """A demo of tidy data would show nothing of what reading does."""
    shapes = {
        device.id: (type(reading["power"]), str(reading["timestamp"])[10:11], reading["fan_status"])
        for device in DEVICES
        for _, reading in readings_of_day(device, YESTERDAY)[:1]
    }

    assert len(set(shapes.values())) == 4


def test_adding_to_nothing_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The most likely mistake of the first hour."""
    code = solar.main(["add", "1", "--database", str(tmp_path / "none.db")])

    assert code == 1
    assert "--preset solar_power" in capsys.readouterr().err
