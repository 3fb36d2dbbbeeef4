"""The made-up workshop: the same every time, plausible, and in the shapes of real documents."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from scripts.demo import seed
from scripts.demo.workshop import PARTS, day_of_work, season
from shared.workloads.spare_parts.records import (
    appointment_day,
    day_policy,
    part_lines,
    says_complete,
)

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
YESTERDAY = date(2026, 11, 20)
Row = dict[str, object]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "demo.db"
    seed.fill(path, until=YESTERDAY, now=NOW)
    return path


def rows(path: Path, table: str = "appointments") -> list[Row]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        order = f"SELECT * FROM {table} ORDER BY id"
        return [dict(row) for row in connection.execute(order)]


DAYS = day_policy(ZoneInfo("UTC"), day_first=True)


def usable(path: Path) -> list[tuple[date, Row]]:
    """Completed appointments with their day, as the workload reads them."""
    found = []
    for row in rows(path):
        day = appointment_day(row, DAYS)
        if says_complete(row["status"]) and isinstance(day, date):
            found.append((day, row))
    return found


def test_the_same_end_gives_the_same_data(filled: Path, tmp_path: Path) -> None:
    """A figure in the docs can be repeated on another machine."""
    again = tmp_path / "again.db"

    seed.fill(again, until=YESTERDAY, now=NOW + timedelta(hours=3))

    assert rows(again) == rows(filled)
    assert rows(again, "spare_parts") == rows(filled, "spare_parts")


def test_a_day_is_the_same_whenever_the_fill_ends(filled: Path, tmp_path: Path) -> None:
    """Filling in March and topping up in April tells the same story as filling in April."""
    earlier = tmp_path / "earlier.db"
    seed.fill(earlier, until=YESTERDAY - timedelta(days=3), now=NOW)

    n_added = seed.fill(earlier, until=YESTERDAY, now=NOW)

    assert n_added > 0
    last_days = {f"visit-{YESTERDAY - timedelta(days=i):%Y%m%d}" for i in range(3)}

    def told(path: Path) -> list[Row]:
        return [
            {name: value for name, value in row.items() if name != "updated_at"}
            for row in rows(path)
            if str(row["id"])[:14] in last_days
        ]

    assert told(earlier) == told(filled)


def test_days_added_later_are_newer_than_everything_read_before(tmp_path: Path) -> None:
    """A daemon that has read up to now would never see rows that are dated before its cursor."""
    path = tmp_path / "demo.db"
    seed.fill(path, until=YESTERDAY - timedelta(days=1), now=NOW)
    newest = max(str(row["updated_at"]) for row in rows(path))
    known = {row["id"] for row in rows(path)}

    seed.fill(path, until=YESTERDAY, now=NOW)

    added = [row for row in rows(path) if row["id"] not in known]
    assert added
    assert all(str(row["updated_at"]) > newest for row in added)


def test_a_second_fill_adds_nothing(tmp_path: Path) -> None:
    """start.sh calls it at every start."""
    path = tmp_path / "demo.db"
    seed.fill(path, until=YESTERDAY, now=NOW)

    assert seed.fill(path, until=YESTERDAY, now=NOW) == 0


def test_eighteen_months_of_about_fifteen_parts_up_to_yesterday(filled: Path) -> None:
    """Enough for a year's season to show, and recent enough to forecast from."""
    days = [day for day, _ in usable(filled)]

    assert max(days) == YESTERDAY
    assert 530 <= (max(days) - min(days)).days <= 560
    names = [row["name"] for row in rows(filled, "spare_parts")]
    assert len([name for name in names if name and str(name).strip()]) == len(PARTS) == 15
    assert len(names) > len(PARTS), "some catalogue documents have no name"


def test_weeks_have_a_pattern_and_sundays_are_closed(filled: Path) -> None:
    """A model that learns the day of week has something to learn."""
    per_weekday = Counter(day.weekday() for day, _ in usable(filled))

    assert per_weekday[6] == 0
    assert per_weekday[5] < 0.7 * per_weekday[0]
    assert per_weekday[0] > per_weekday[2]


def test_parts_have_their_season(filled: Path) -> None:
    """Batteries are for winter, coolant is for summer."""
    used: dict[str, Counter[int]] = defaultdict(Counter)
    for day, row in usable(filled):
        for line in part_lines(row):
            if not isinstance(line, str):
                used[line.name][day.month] += int(line.pieces)

    assert used["Battery 60 Ah"][12] + used["Battery 60 Ah"][1] > 2 * used["Battery 60 Ah"][7]
    assert used["Winter tyre"][10] > 3 * used["Winter tyre"][5]
    assert used["Summer tyre"][4] > 3 * used["Summer tyre"][12]


def test_business_grows_a_little() -> None:
    """A trend, but no explosion."""
    first = sum(len(day_of_work(date(2025, 6, 1) + timedelta(days=i))) for i in range(91))
    later = sum(len(day_of_work(date(2026, 6, 1) + timedelta(days=i))) for i in range(91))

    assert 1.02 < later / first < 1.2
    winter, summer = (season(PARTS[8], date(2026, month, 15)) for month in (1, 7))
    assert winter > summer


def test_documents_come_in_the_shapes_of_real_ones(filled: Path) -> None:
    """The demo exercises the same readers as a database that grew over years."""
    every = rows(filled)

    statuses = {str(row["status"]) for row in every}
    assert {"Completed", "COMPLETE - paid", "Cancelled", "Pending"} <= statuses
    for field in ("date", "appointmentDate", "completedDate", "timestamp", "createdAt"):
        assert any(row[field] is not None for row in every), field
    assert any(row["spareParts"] is None for row in every)
    assert any(row["spareParts"] == "" for row in every)
    assert any('"quantity": "2"' in str(row["spareParts"]) for row in every)
    share = len(usable(filled)) / len(every)
    assert 0.8 < share < 0.95
    assert all(isinstance(appointment_day(row, DAYS), date) for row in every)


def test_the_data_says_that_it_is_synthetic(filled: Path) -> None:
    """Nobody takes it for somebody's customers, even without this repository at hand."""
    assert "SYNTHETIC" in str(rows_of_about(filled)["content"])
    assert {row["note"] for row in rows(filled)} == {"synthetic demo data"}


def rows_of_about(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT key, value FROM about"))


def test_added_appointments_are_complete_of_today_and_the_newest(tmp_path: Path) -> None:
    """Each call must be visible to a reader that has just been at the end."""
    path = tmp_path / "demo.db"
    seed.fill(path, until=YESTERDAY, now=NOW)

    first = seed.add(path, 12, now=NOW)
    second = seed.add(path, 3, now=NOW)

    by_id = {row["id"]: row for row in rows(path)}
    assert len(set(first) | set(second)) == 15
    stamps = [{str(by_id[id_]["updated_at"]) for id_ in ids} for ids in (first, second)]
    assert max(stamps[0]) < min(stamps[1]), "the clock stood still, the stamps did not"
    for id_ in (*first, *second):
        assert says_complete(by_id[id_]["status"])
        assert by_id[id_]["date"] == NOW.date().isoformat()
        assert json.loads(str(by_id[id_]["spareParts"]))


def test_adding_waits_for_a_reader_and_a_writer(filled: Path, tmp_path: Path) -> None:
    """The daemons read while rows are added."""
    path = tmp_path / "demo.db"
    seed.fill(path, until=YESTERDAY, now=NOW)
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        before = reader.execute("SELECT count(*) FROM appointments").fetchone()[0]

        seed.add(path, 2, now=NOW)

        assert reader.execute("SELECT count(*) FROM appointments").fetchone()[0] == before
        reader.execute("COMMIT")
        after = reader.execute("SELECT count(*) FROM appointments").fetchone()[0]
    assert after == before + 2


def test_adding_to_nothing_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No database appears out of a typing error in its path."""
    path = tmp_path / "no such.db"

    code = seed.main(["add", "1", "--database", str(path)])

    assert code == 1
    assert "start.sh" in capsys.readouterr().err
    assert not path.exists()
