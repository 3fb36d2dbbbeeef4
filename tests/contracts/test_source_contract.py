"""One suite over all sources: what retrain_service/sources/base.py says they must do.

Every kind through its real client against a real server; PostgreSQL, MariaDB and Prometheus where
they are installed, the others always run, but MongoDB's stand-in, which has no build for Windows.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from retrain_service.sources.base import Source
from shared.errors import SourceMisconfigured, SourceUnavailable
from shared.records import Cursor, Record
from tests.contracts.document_places import ElasticsearchPlace, MongodbPlace
from tests.contracts.export_place import HttpExportPlace
from tests.contracts.feed_place import FeedPlace
from tests.contracts.files_place import FilesPlace
from tests.contracts.places import (
    FirestorePlace,
    MariadbPlace,
    Place,
    PostgresLogPlace,
    PostgresPlace,
    SqlitePlace,
)
from tests.contracts.prometheus_place import PrometheusPlace
from tests.support.waiting import wait_until

# Real servers keep their own time, so records are dated from now; far enough from midnight.
DAY = (datetime.now(UTC) - timedelta(days=3)).replace(hour=9, minute=0, second=0, microsecond=0)


PLACES: dict[str, tuple[Callable[[Any], Place], str]] = {
    "sqlite": (SqlitePlace, "tmp_path"),
    "postgresql": (PostgresPlace, "postgres_server"),
    "postgresql_log": (PostgresLogPlace, "postgres_server"),
    "mariadb": (MariadbPlace, "mariadb_server"),
    "firestore": (FirestorePlace, "firestore_server"),
    "mongodb": (MongodbPlace, "mongodb_server"),
    "elasticsearch": (ElasticsearchPlace, "elasticsearch_server"),
    "http_export": (HttpExportPlace, "export_server"),
    "files_csv": (partial(FilesPlace, form="csv"), "tmp_path"),
    "files_lines": (partial(FilesPlace, form="jsonl.gz"), "tmp_path"),
    "files_parquet": (partial(FilesPlace, form="parquet"), "tmp_path"),
    "prometheus": (PrometheusPlace, "prometheus_store"),
    "feed": (FeedPlace, "tmp_path"),
}
"""Kind -> how to make the place, and the fixture it is made from."""


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    make, server = PLACES[request.param]
    found = make(request.getfixturevalue(server))
    yield found
    found.close()


def read_all(source: Source, cursor: Cursor = None, limit: int = 5) -> tuple[list[Record], Cursor]:
    """Page on as the loop does: until a short page."""
    records: list[Record] = []
    while True:
        batch = source.read_after(cursor, limit)
        assert len(batch.records) <= limit
        records.extend(batch.records)
        cursor = batch.cursor
        if batch.is_last:
            return records, cursor


def answers(source: Source) -> bool:
    try:
        source.read_after(None, 1)
    except SourceUnavailable:
        return False
    return True


def ids(records: list[Record] | tuple[Record, ...]) -> list[str]:
    return [record.id for record in records]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 23, 24, 100])
def test_ties_across_page_borders_lose_and_double_nothing(place: Place, limit: int) -> None:
    """A bulk import stamps thousands with one time; a cursor of time alone loses them."""
    place.put_many({f"a{i:02d}": DAY + place.step * (i // 9) for i in range(23)})

    records, _ = read_all(place.source(), limit=limit)

    assert ids(records) == [f"a{i:02d}" for i in range(23)]
    assert [record.updated_at for record in records] == sorted(r.updated_at for r in records)


def test_the_same_cursor_brings_the_same_rows(place: Place) -> None:
    """After a crash between reading and storing, the read is repeated."""
    place.put_many({f"a{i}": DAY + timedelta(seconds=i // 2) for i in range(9)})
    source = place.source()
    first = source.read_after(None, 4)

    again = [source.read_after(first.cursor, 4) for _ in range(3)]
    fresh = place.source().read_after(json.loads(json.dumps(first.cursor)), 4)

    assert ids(again[0].records) == ["a4", "a5", "a6", "a7"]
    assert again[0] == again[1] == again[2]
    assert fresh.records == again[0].records


def test_only_a_short_page_is_the_last(place: Place) -> None:
    """A full page may be followed by more, even when it is not: one more look finds out."""
    place.put_many({f"a{i}": DAY for i in range(4)})
    source = place.source()

    full = source.read_after(None, 4)
    empty = source.read_after(full.cursor, 4)
    short = source.read_after(None, 5)

    assert (full.is_last, empty.is_last, short.is_last) == (False, True, True)
    assert empty.records == ()
    assert empty.cursor == full.cursor


def test_an_empty_collection_is_no_error(place: Place) -> None:
    """The first start often comes before the first record."""
    source = place.source()

    batch = source.read_after(None, 5)

    assert (batch.records, batch.cursor, batch.is_last) == ((), None, True)
    assert source.inspect(3).n_records == 0
    assert source.count_by_day([DAY.date()]).by_day == {DAY.date(): 0}
    place.put("a1", DAY)
    assert ids(source.read_after(batch.cursor, 5).records) == ["a1"]


def test_a_changed_record_comes_again_with_its_new_fields(place: Place) -> None:
    """The buffer holds each record as it is now, so a change must be met."""
    place.put_many({"a1": DAY, "a2": DAY + timedelta(seconds=1)})
    source = place.source()
    _, cursor = read_all(source)

    place.put("a1", DAY + timedelta(seconds=2), note={"status": "Completed"})
    records, _ = read_all(source, cursor)

    assert ids(records) == ["a1"]
    assert records[0].fields["note"] == {"status": "Completed"}


def test_young_records_are_left_so_that_a_late_commit_is_still_met(place: Place) -> None:
    """A time is taken when a transaction begins; the row appears when it ends."""
    if not place.waits_for_lag:
        pytest.skip("it sees each commit, late or not: see test_log_source.py")
    now = datetime.now(UTC)
    place.put("old", now - timedelta(hours=2))
    place.put("young", now - timedelta(minutes=20))
    careful, eager = place.source(lag_s=3600), place.source(lag_s=0)

    before, cursor = read_all(careful)
    again, cursor = read_all(careful, cursor)
    place.put("late", now - timedelta(minutes=30))
    after, _ = read_all(eager, cursor)

    assert ids(before) == ["old"]
    assert ids(again) == []
    assert ids(after) == ["late", "young"]


def test_a_record_dated_in_the_future_does_not_carry_the_cursor_away(place: Place) -> None:
    """One wrong clock in the field must not hide everything that comes after it."""
    if not place.waits_for_lag:
        pytest.skip("it sees each commit, late or not: see test_log_source.py")
    now = datetime.now(UTC)
    place.put("a1", now - timedelta(minutes=2))
    place.put("wrong", now + timedelta(days=3650))
    source = place.source(lag_s=0)

    first, cursor = read_all(source)
    place.put("a2", now - timedelta(minutes=1))
    second, _ = read_all(source, cursor)

    assert ids(first) == ["a1"]
    assert ids(second) == ["a2"]


def test_times_are_utc_and_fields_are_json_values(place: Place) -> None:
    """A naive time is wrong by hours somewhere in the world; bytes in a record fail far away."""
    at = DAY.astimezone(UTC) + place.step * 123
    odd: dict[str, Any] = {" ": None, "ключ": ["–", 1.5, True, {"deep": [{}]}], "n": 2**53}
    place.put("a1", at, note=odd)

    (record,), _ = read_all(place.source())

    assert record.updated_at == at
    assert record.updated_at.utcoffset() == timedelta(0)
    assert record.fields["note"] == odd
    assert json.loads(json.dumps(record.fields, allow_nan=False)) == record.fields


def test_a_tombstone_is_a_deletion_and_has_its_place_in_the_order(place: Place) -> None:
    """Applications that mark instead of deleting say so with a field of theirs."""
    place.put("a1", DAY)
    place.put("a2", DAY + timedelta(seconds=1), gone=True)

    records, _ = read_all(place.source(deleted_field="gone"))

    assert [(record.id, record.is_deleted) for record in records] == [("a1", False), ("a2", True)]


def test_records_without_the_cursor_field_are_counted_not_read(place: Place) -> None:
    """No ordered query ever brings them, so somebody has to be told that they are there."""
    if place.reads_whole_exports:
        pytest.skip("its records need no time: see test_http_export.py")
    place.put_many({"a1": DAY, "a2": DAY + timedelta(seconds=1)})
    place.put("lost", None)
    source = place.source()

    records, _ = read_all(source)
    found = source.inspect(n_sample=1)

    assert ids(records) == ["a1", "a2"]
    assert (found.n_records, found.n_without_cursor_field) == (3, 1)
    assert ids(tuple(found.sample)) == ["a2"]
    assert found.newest_updated_at == DAY + timedelta(seconds=1)


def test_days_are_counted_from_midnight_to_midnight_in_utc(place: Place) -> None:
    """Deletions are found by comparing days: a border that is off by one finds them daily."""
    midnight = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
    place.put_many(
        {
            "before": midnight - place.step,
            "first": midnight,
            "last": midnight + timedelta(days=1) - place.step,
            "after": midnight + timedelta(days=1),
        }
    )
    source = place.source()
    days = [date.fromordinal(midnight.toordinal() + n) for n in (-2, -1, 0, 1)]

    counts = source.count_by_day(days)

    assert [counts.by_day[day] for day in days] == [0, 1, 2, 1]
    assert source.ids_of_day(days[2]).ids == {"first", "last"}


def test_ids_that_are_gone_are_told_from_ids_that_only_moved(place: Place) -> None:
    """A record is deleted from the buffer only when the source, asked for it, has it no more."""
    place.put_many({f"a{i}": DAY for i in range(7)})
    source = place.source()
    place.delete("a3")
    place.put("a4", DAY + timedelta(days=1))

    found = source.missing(["a3", "a4", "a5", "never"])

    assert found.ids == {"a3", "never"}
    assert source.ids_of_day(DAY.date()).ids == {"a0", "a1", "a2", "a5", "a6"}


def test_a_cursor_made_from_a_time_begins_at_that_time(place: Place) -> None:
    """The daily second look goes back by a time, not by a number of records."""
    place.put_many({f"a{i}": DAY + timedelta(seconds=i) for i in range(5)})
    source = place.source()

    cursor = json.loads(json.dumps(source.cursor_at(DAY + timedelta(seconds=3))))
    records, _ = read_all(source, cursor, limit=1)

    assert ids(records) == ["a3", "a4"]


def test_an_outage_in_the_middle_of_a_read_loses_nothing(place: Place) -> None:
    """The database restarts while eighteen months are being read for the first time."""
    place.put_many({f"a{i:02d}": DAY + timedelta(seconds=i // 4) for i in range(14)})
    source = place.source()
    first = source.read_after(None, 5)

    with place.outage():
        for ask in (
            lambda: source.read_after(None if place.reads_whole_exports else first.cursor, 5),
            lambda: source.count_by_day([DAY.date()]),
            lambda: source.ids_of_day(DAY.date()),
            lambda: source.missing(["a01"]),
            lambda: source.inspect(1),
        ):
            with pytest.raises(SourceUnavailable):
                ask()
    wait_until(lambda: answers(source), 10, "the source to answer again")
    rest, _ = read_all(source, first.cursor)

    assert ids(first.records) + ids(rest) == [f"a{i:02d}" for i in range(14)]


def test_a_refusal_asks_for_a_person_and_passes_when_it_is_put_right(place: Place) -> None:
    """Trying again cannot help against a missing table or right; the sentence says which."""
    place.put("a1", DAY)
    source = place.source()
    source.read_after(None, 5)

    with place.refusal(), pytest.raises(SourceMisconfigured) as refused:
        source.read_after(None, 5)

    assert "appointments" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert ids(read_all(place.source())[0]) == ["a1"]


def test_the_origin_names_the_place_without_its_password(place: Place) -> None:
    """The buffer compares origins and logs them; a password has no business in either."""
    source = place.source()

    assert place.source().origin == source.origin
    assert "appointments" in source.origin
    assert "secret" not in source.origin


def test_close_leaves_no_connection_and_no_thread(place: Place) -> None:
    """The daemon lives for months; what each reload leaves behind adds up."""
    place.put_many({f"a{i}": DAY for i in range(7)})
    place.source().read_after(None, 2)
    place.close()
    wait_until(lambda: place.n_connections() == 0, 30, "the warm-up to be gone")
    threads_before = {thread.name for thread in threading.enumerate()}

    source = place.source()
    source.read_after(None, 2)
    source.inspect(1)
    source.close()
    source.close()

    wait_until(lambda: place.n_connections() == 0, 30, "connections to be closed")
    left = {
        thread.name
        for thread in threading.enumerate()
        if not thread.name.startswith(("firestore-server", "export-server"))
    }
    assert left <= threads_before
