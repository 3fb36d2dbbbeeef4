"""`check` says what is wrong with a stream, and which lines of the configuration mend it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.integration.cases.case_home import CaseHome
from tests.support.mongodb import MongoServer
from tests.support.postgres import PostgresServer

NOW = datetime.now(UTC).replace(microsecond=0)
SOURCE = """
[sources.shop]
kind = "sql"
url = "{sqlite}"
lag_s = 0
"""
PARTS = """
[models.parts]
workload = "spare_parts"
source = "shop"
"""
COLUMNS = 'id INTEGER, status TEXT, date TEXT, "spareParts" TEXT, updated_at TEXT'
LINE = json.dumps([{"name": "Oil filter", "quantity": 2}])


def appointments(n: int, first: int = 0, days: float = 1 / 3) -> list[tuple[Any, ...]]:
    """One every eight hours, the newest of this moment."""
    times = [NOW - timedelta(days=days * (n - i)) for i in range(n)]
    return [
        (first + i, "completed", at.date().isoformat(), LINE, at.strftime("%Y-%m-%d %H:%M:%S"))
        for i, at in enumerate(times)
    ]


def stream_of(place: CaseHome, model: str, stream: str) -> dict[str, Any]:
    models = {each["model"]: each for each in place.checked()["models"]}
    return next(each for each in models[model]["streams"] if each["stream"] == stream)


def test_fields_by_other_names_are_found_and_the_lines_that_mend_it_do(tmp_path: Path) -> None:
    """The lines are taken as they are printed, and the next check has nothing to say."""
    settings = SOURCE + PARTS + "[models.parts.streams.appointments]\ncollection = 'jobs'\n"
    place = CaseHome(tmp_path, settings)
    place.table(
        "jobs",
        "id INTEGER, state TEXT, finished_on TEXT, materials TEXT, updated_at TEXT, owner TEXT",
        [
            (id_, "erledigt", day, json.dumps([{"label": "Belt", "qty": 3}]), at, "Anna Bell")
            for id_, _, day, _, at in appointments(300)
        ],
    )

    broken = place.check()
    stream = stream_of(place, "parts", "appointments")
    before, after = settings.split("collection", 1)
    mend = [line for line in stream["mend"] if line != "[models.parts.streams.appointments]"]
    place.configure(f"{before}collection{after}" + "\n".join(mend))
    mended = place.check()

    assert broken.code == 1
    assert "date: not found; looked for date, appointmentDate" in broken.text
    assert "there is finished_on: a time (" in broken.text
    assert "Anna" not in broken.text
    assert 'complete = ["erledigt"]' in broken.text
    assert mended.code == 0, mended.everything
    assert "300 usable" in mended.text
    assert "quantity: found in materials[].qty, 300 of 300 usable" in mended.text


def test_one_broken_model_hides_no_other(tmp_path: Path) -> None:
    """Whatever is wrong with the first, the second is looked at; nothing ends in a traceback."""
    place = CaseHome(
        tmp_path,
        SOURCE
        + PARTS
        + PARTS.replace("[models.parts]", "[models.gone]")
        + "[models.gone.streams.appointments]\ncollection = 'nowhere'\n"
        + PARTS.replace("[models.parts]", "[models.typo]")
        + "[models.typo.streams.appointments]\ncollection = 'appointments'\nid_field = 'nr'\n"
        + '[sources.away]\nkind = "sql"\nurl = "postgresql://x:y@127.0.0.1:1/z"\ntimeout_s = 2\n'
        + PARTS.replace("[models.parts]", "[models.away]").replace('"shop"', '"away"'),
    )
    place.table("appointments", COLUMNS, appointments(300))

    done = place.check()
    alone = place.run("check", "--model", "parts")

    assert (done.code, alone.code) == (1, 0)
    assert "parts: a training would start" in done.text
    assert "no table 'nowhere'; the tables and views there are appointments" in done.text
    assert 'collection = "appointments"' in done.text
    assert "id_field is 'nr', but the columns are" in done.text
    assert done.text.count("a training would not start") == 3
    assert "spare_parts in source shop: not there, and not needed: read as empty" in done.text


def test_oldest_and_middle_records_are_looked_at(tmp_path: Path) -> None:
    """A form that changed a year ago is not among the newest twenty."""
    place = CaseHome(tmp_path, SOURCE + PARTS)
    old = [(i, "completed", None, LINE, at) for i, _, _, _, at in appointments(15_000, days=0.01)]
    place.table("appointments", COLUMNS, old)
    place.add("appointments", [(i + 20_000, *rest) for i, *rest in appointments(6_000, days=0.001)])

    stream = stream_of(place, "parts", "appointments")

    assert not stream["is_whole"]
    assert 0 < stream["sampled_usable"] < stream["sampled"] <= 60
    assert stream["not_usable"]["no date that can be read"] >= 40


def test_rows_imported_later_with_old_times_are_told(tmp_path: Path) -> None:
    """They lie behind the cursor: 940 are there, 240 have been read."""
    place = CaseHome(tmp_path, SOURCE + PARTS)
    place.table("appointments", COLUMNS, appointments(240))
    assert place.read("parts").n_usable == 240
    place.add("appointments", [(500, "completed", NOW.date().isoformat(), LINE, str(NOW)[:19])] * 1)
    assert "have been read" not in place.check().text, "what is newer is read at the next look"
    history = [(9_000 + i, *rest) for i, *rest in appointments(940, days=0.05)][:700]
    place.add("appointments", history)

    done = place.check()

    assert "940 records are there, 240 have been read" in done.text
    assert place.read("parts", at=NOW + timedelta(hours=25)).n_usable == 941


@pytest.mark.parametrize(
    ("behind_h", "every", "zone"),
    [(-5.5, timedelta(hours=8), "Asia/Kolkata"), (3, timedelta(minutes=1), "America/Sao_Paulo")],
)
def test_times_of_another_clock_are_noticed(
    tmp_path: Path, behind_h: float, every: timedelta, zone: str
) -> None:
    """A clock east of Greenwich writes the future; one west of it is late by whole hours."""
    place = CaseHome(tmp_path, SOURCE + PARTS)
    shift, now = timedelta(hours=behind_h), datetime.now(UTC).replace(microsecond=0)
    rows = [
        (i, "completed", at.date().isoformat(), LINE, at.strftime("%Y-%m-%d %H:%M:%S"))
        for i in range(240)
        for at in [now - shift - (239 - i) * every]
    ]
    place.table("appointments", COLUMNS, rows)

    stream = stream_of(place, "parts", "appointments")

    assert stream["mend"] == ["[models.parts.streams.appointments]", f'time_zone = "{zone}"']
    assert len(stream["warnings"]) == 1


def test_one_column_in_two_units_is_told(tmp_path: Path) -> None:
    """One client writes seconds and another milliseconds: both are read, and a person is told."""
    place = CaseHome(tmp_path, SOURCE + PARTS)
    seconds = [
        (i, *rest, int(datetime.fromisoformat(at + "+00:00").timestamp()))
        for i, *rest, at in appointments(200)
    ]
    rows = [(*row[:-1], row[-1] * 1000) if i == 70 else row for i, row in enumerate(seconds)]
    place.table("appointments", COLUMNS.replace("updated_at TEXT", "updated_at INTEGER"), rows)

    stream = stream_of(place, "parts", "appointments")

    assert stream["sampled_usable"] == 200
    assert any("seconds" in each and "milliseconds" in each for each in stream["warnings"])


def test_a_flag_that_is_mapped_to_a_word_is_explained(tmp_path: Path) -> None:
    """t, Y and 1 are true in many databases; 1 is also the number of a state."""
    place = CaseHome(
        tmp_path, f"{SOURCE}{PARTS}[models.parts.streams.appointments.fields]\nstatus = 'done'\n"
    )
    rows = [(*row, ("t", "f", "t", "1")[n % 4]) for n, row in enumerate(appointments(80))]
    place.table("appointments", f"{COLUMNS}, done", rows)

    asked = place.check().text
    place.configure(
        f"{SOURCE}{PARTS}[models.parts.streams.appointments.fields]\nstatus = 'done'\n"
        "[models.parts.streams.appointments.words]\ncomplete = [true]\n"
    )

    assert "complete = [true]" in asked
    assert place.read("parts").n_usable == 60


def test_tombstones_are_not_judged(tmp_path: Path) -> None:
    """A deleted record has no fields, and lacks nothing."""
    settings = "[models.parts.streams.appointments]\ndeleted_field = 'deleted_at'\n"
    place = CaseHome(tmp_path, SOURCE + PARTS + settings)
    rows = [(*row, None if row[0] % 60 else "2025-01-01 00:00:00") for row in appointments(240)]
    place.table("appointments", COLUMNS + ", deleted_at TEXT", rows)

    stream = stream_of(place, "parts", "appointments")

    assert (stream["sampled"], stream["sampled_usable"]) == (236, 236)
    assert not stream["not_usable"]


def test_ids_that_repeat_are_a_fault_and_a_join_mends_it(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """One row a line with the order's id: three quarters of the demand would be lost in silence."""
    url = postgres_server.url()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            """
            DROP SCHEMA IF EXISTS lines CASCADE; CREATE SCHEMA lines; SET search_path = lines;
            CREATE TABLE orders (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), status text,
                date timestamptz, updated_at timestamptz);
            CREATE TABLE order_lines (id bigserial PRIMARY KEY, order_id uuid REFERENCES orders,
                part text, qty numeric);
            INSERT INTO orders (status, date, updated_at) SELECT 'completed', at, at
                FROM (SELECT now() - n * interval '8 hours' AS at FROM generate_series(1, 240) n) t;
            INSERT INTO order_lines (order_id, part, qty) SELECT o.id, 'Part ' || n, n
                FROM orders o, generate_series(1, 4) n;
            CREATE VIEW rows AS SELECT o.id, status, date, updated_at,
                jsonb_build_array(jsonb_build_object('name', part, 'quantity', qty)) "spareParts"
                FROM orders o JOIN order_lines l ON l.order_id = o.id;
            """
        )
    settings = SOURCE.replace("{sqlite}", url) + PARTS + "[models.parts.streams.appointments]\n"
    place = CaseHome(tmp_path, settings + "collection = 'lines.rows'\n")

    broken = place.check()
    refused = place.once()
    mend = stream_of(place, "parts", "appointments")["mend"]
    place.configure(SOURCE.replace("{sqlite}", url) + PARTS + "\n".join(mend) + "\n")
    mended = place.check()

    assert broken.code == 1
    assert "960 rows have only 240 different ids" in broken.text
    assert refused.code != 0
    assert "different ids: id_field 'id' does not tell them apart" in refused.complaints
    assert mended.code == 0, mended.everything
    assert "960 records" in mended.text


def test_a_time_of_another_type_is_not_called_missing(
    tmp_path: Path, mongodb_server: MongoServer
) -> None:
    """ "without createdAt" sends a person to look for a field that every document has."""
    import pymongo

    with pymongo.MongoClient[dict[str, Any]](mongodb_server.url) as client:
        client["shop"].drop_collection("stamped")
        at_ms = round(NOW.timestamp() * 1000)
        reading = {"device_id": "roof", "power": 10, "status": "online", "timestamp": at_ms}
        client["shop"]["stamped"].insert_many([{**reading, "at": [at_ms]} for _ in range(30)])
    place = CaseHome(
        tmp_path,
        f'[sources.plant]\nkind = "mongodb"\nurl = "{mongodb_server.url}"\nlag_s = 0\n'
        '[models.solar]\nworkload = "solar_power"\nsource = "plant"\n'
        "[models.solar.streams.readings]\ncollection = 'stamped'\nupdated_at_field = 'at'\n",
    )

    done = place.check()

    assert done.code == 1
    assert "30 of 30 records are never read: at is there, but is a list" in done.text


def test_rows_that_are_too_young_to_be_read_are_no_lack_of_rows(tmp_path: Path) -> None:
    """Who fills a table and looks at once was told that nothing would be trained."""
    place = CaseHome(tmp_path, SOURCE.replace("lag_s = 0", "lag_s = 300") + PARTS)
    young = [(*row[:4], NOW.isoformat()) for row in appointments(600)]
    place.table("appointments", COLUMNS, young)

    checked = place.check()

    assert checked.code == 0, checked.everything
    assert "580 records are not read yet" in checked.text
    assert "a training would start, as far as the records looked at tell" in checked.text
