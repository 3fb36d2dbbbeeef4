"""SQL tables as applications really make them: odd times, odd ids, no rights, no driver."""

from __future__ import annotations

import builtins
import sqlite3
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
import sqlalchemy as sa

from retrain_service.sources import open_source
from retrain_service.sources.base import Source
from retrain_service.sources.sql import estimate as sql
from shared.errors import SourceMisconfigured, SourceUnavailable
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings
from tests.support.postgres import PostgresServer

AT = datetime(2025, 11, 26, 10, 0, 0, 123456, tzinfo=UTC)
TIMES = [AT + timedelta(seconds=i // 3) for i in range(10)]
BERLIN = ZoneInfo("Europe/Berlin")

Opener = Callable[..., Source]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


@pytest.fixture
def opened() -> Iterator[Opener]:
    sources: list[Source] = []

    def _open(url: str, clock: datetime | None = None, **stream: Any) -> Source:
        settings = SourceSettings(kind="sql", url=url, lag_s=0, timeout_s=2)
        streams = StreamSettings(**{"collection": "t", **stream})
        kept = {} if clock is None else {"clock": lambda: clock}
        sources.append(open_source(settings, streams, **kept))
        return sources[-1]

    yield _open
    for source in sources:
        source.close()


def run(path: Path, *statements: str, rows: list[tuple[Any, ...]] | None = None) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements[:-1] if rows else statements:
            connection.execute(statement)
        if rows:
            connection.executemany(statements[-1], rows)
        connection.commit()


def read_ids(source: Source, limit: int = 3) -> list[str]:
    cursor, ids = None, list[str]()
    while True:
        batch = source.read_after(cursor, limit)
        ids += [record.id for record in batch.records]
        cursor = batch.cursor
        if batch.is_last:
            return ids


FORMS: dict[str, Callable[[datetime, int], Any]] = {
    "ISO with Z": lambda t, i: t.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "JavaScript": lambda t, i: t.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    "SQLite CURRENT_TIMESTAMP": lambda t, i: t.strftime("%Y-%m-%d %H:%M:%S"),
    "Python isoformat": lambda t, i: t.isoformat(),
    "Python naive": lambda t, i: t.replace(tzinfo=None).isoformat(" "),
    "fractions that come and go": lambda t, i: (
        t if i % 2 else t.replace(microsecond=0)
    ).isoformat(),
    "two ways at once": lambda t, i: t.isoformat() if i % 2 else t.strftime("%Y-%m-%d %H:%M:%S"),
    "local offset": lambda t, i: t.astimezone(BERLIN).isoformat(),
    "offsets that differ": lambda t, i: t.astimezone(BERLIN if i % 2 else UTC).isoformat(),
    "epoch seconds": lambda t, i: int(t.timestamp()),
    "epoch milliseconds": lambda t, i: int(t.timestamp() * 1000),
    "epoch with fraction": lambda t, i: t.timestamp(),
    "epoch nanoseconds": lambda t, i: int(t.timestamp() * 1e6) * 1000,
    "epoch in two units": lambda t, i: int(t.timestamp() * (1000 if i % 3 else 1)),
    "numbers and texts": lambda t, i: t.isoformat() if i % 2 else int(t.timestamp() * 1000),
    "UTC behind it": lambda t, i: t.strftime("%Y-%m-%d %H:%M:%S UTC"),
    "unpadded": lambda t, i: f"{t.year}-{t.month}-{t.day}T{t.hour}:{t.minute}:{t.second}Z",
    "day first": lambda t, i: t.strftime("%d.%m.%Y %H:%M:%S"),
    "date alone": lambda t, i: t.date().isoformat(),
}


@pytest.mark.parametrize("declared", ["", "TEXT", "DATETIME", "TIMESTAMP", "INTEGER"])
@pytest.mark.parametrize("form", list(FORMS))
def test_times_are_understood_however_the_application_writes_them(
    database: Path, opened: Opener, form: str, declared: str
) -> None:
    """SQLite has no type for times, and each framework has its own idea."""
    if declared == "TEXT" and form == "epoch with fraction":
        pytest.skip("a TEXT column rounds such a number")
    rows = [(i, FORMS[form](t, i)) for i, t in enumerate(TIMES)]
    run(
        database,
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at {declared})",
        "INSERT INTO t VALUES (?, ?)",
        rows=rows,
    )
    source = opened(f"sqlite:///{database}")

    batch = source.read_after(None, 100)
    paged = read_ids(source)
    day = AT.date()

    assert sorted(paged, key=int) == [str(i) for i in range(10)]
    assert [r.updated_at for r in batch.records] == sorted(r.updated_at for r in batch.records)
    coarse = timedelta(days=1) if form == "date alone" else timedelta(seconds=1)
    for record in batch.records:
        assert TIMES[int(record.id)] - coarse < record.updated_at <= TIMES[int(record.id)]
    assert source.count_by_day([day, day + timedelta(days=1)]).by_day[day] == 10
    assert len(source.ids_of_day(day).ids) == 10
    assert source.inspect().n_without_cursor_field == 0
    if form != "date alone":
        third_second = (AT + timedelta(seconds=2)).replace(microsecond=0)
        later = source.read_after(source.cursor_at(third_second), 100)
        assert {record.id for record in later.records} == {"6", "7", "8", "9"}


BEGAN = AT - timedelta(days=2)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("SQLite CURRENT_TIMESTAMP", "JavaScript"),
        ("JavaScript", "SQLite CURRENT_TIMESTAMP"),
        ("ISO with Z", "day first"),
        ("epoch seconds", "epoch milliseconds"),
        ("epoch milliseconds", "epoch seconds"),
        ("epoch milliseconds", "ISO with Z"),
        ("Python isoformat", "epoch seconds"),
    ],
)
def test_a_new_release_of_the_application_may_write_times_in_another_form(
    database: Path, opened: Opener, first: str, then: str
) -> None:
    """Its rows sort behind the end, or before the cursor, of what the old form asks for."""
    run(
        database,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at)",
        "INSERT INTO t VALUES (?, ?)",
        rows=[(i, FORMS[first](BEGAN + timedelta(hours=i), i)) for i in range(20)] + [(99, "n/a")],
    )
    source = opened(f"sqlite:///{database}", clock=AT)
    cursor = source.read_after(None, 100).cursor
    insert = "INSERT INTO t VALUES (?, ?)"

    late = [AT - timedelta(minutes=20 - i) for i in range(20)]
    run(database, insert, rows=[(20 + i, FORMS[then](t, i)) for i, t in enumerate(late[:10])])
    new = source.read_after(cursor, 100)
    run(database, insert, rows=[(30 + i, FORMS[first](t, i)) for i, t in enumerate(late[10:])])
    old_again = source.read_after(new.cursor, 100)

    assert {record.id for record in new.records} >= {str(i) for i in range(20, 30)}
    assert {record.id for record in old_again.records} >= {str(i) for i in range(30, 40)}
    assert source.inspect().n_without_cursor_field == 1


@pytest.mark.parametrize(
    ("written", "stream", "n_read"),
    [
        ("%m/%d/%Y %I:%M %p", {}, 30),
        ("%d/%m/%Y %H:%M", {}, 30),
        ("%d.%m.%Y %H:%M", {}, 30),
        ("%m/11/%Y %H:%M", {}, 0),
        ("%m/11/%Y %H:%M", {"updated_at_format": "%m/%d/%Y %H:%M"}, 30),
    ],
)
def test_all_dates_of_a_column_say_whether_the_day_or_the_month_comes_first(
    database: Path, opened: Opener, written: str, stream: dict[str, Any], n_read: int
) -> None:
    """Those of the first twelve days of each month went unread, one by one."""
    run(
        database,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at TEXT)",
        "INSERT INTO t VALUES (?, ?)",
        rows=[
            (i, (BEGAN.replace(month=9) + timedelta(days=i)).strftime(written)) for i in range(30)
        ],
    )
    source = opened(f"sqlite:///{database}", clock=AT, **stream)

    assert len(source.read_after(None, 100).records) == n_read


def test_a_second_that_still_runs_is_not_read(database: Path, opened: Opener) -> None:
    """A row with a smaller id may still be written into it, behind the cursor."""
    run(
        database,
        "CREATE TABLE t (id TEXT PRIMARY KEY, updated_at TEXT)",
        "INSERT INTO t VALUES (?, ?)",
        rows=[("b", "2025-11-26 10:00:04"), ("c", "2025-11-26 10:00:05")],
    )
    url = f"sqlite:///{database}"
    in_that_second = datetime(2025, 11, 26, 10, 0, 5, 700_000, tzinfo=UTC)

    first = opened(url, clock=in_that_second).read_after(None, 10)
    run(database, "INSERT INTO t VALUES ('a', '2025-11-26 10:00:05')")
    later = opened(url, clock=in_that_second + timedelta(seconds=1))
    second = later.read_after(first.cursor, 10)

    assert [record.id for record in first.records] == ["b"]
    assert [record.id for record in second.records] == ["a", "c"]


def test_what_is_written_after_a_clock_was_set_back_is_read(database: Path, opened: Opener) -> None:
    """It is older than what was read before; else training stops until the clock has caught up."""
    run(database, "CREATE TABLE t (id TEXT PRIMARY KEY, updated_at TEXT)")
    run(database, "INSERT INTO t VALUES ('a', '2025-11-26 10:00:00')")
    url, at = f"sqlite:///{database}", datetime(2025, 11, 26, 9, 0, 10, tzinfo=UTC)

    first = opened(url, clock=at + timedelta(hours=1)).read_after(None, 10)
    run(database, "INSERT INTO t VALUES ('b', '2025-11-26 09:00:05')")
    second = opened(url, clock=at).read_after(first.cursor, 10)
    run(database, "INSERT INTO t VALUES ('c', '2025-11-26 09:00:20')")
    third = opened(url, clock=at + timedelta(minutes=1)).read_after(second.cursor, 10)

    assert [record.id for record in first.records] == ["a"]
    assert [record.id for record in second.records] == ["b"]
    assert [record.id for record in third.records] == ["c"]


def test_rows_whose_time_is_no_time_are_counted_and_stop_nothing(
    database: Path, opened: Opener
) -> None:
    """Somebody typed "n/a" into one of ten thousand rows."""
    odd: list[Any] = ["n/a", "", None, b"\x00", 7, "0000-00-00 00:00:00"]
    rows = [(i, AT.strftime("%Y-%m-%d %H:%M:%S")) for i in range(20)]
    rows += [(100 + i, value) for i, value in enumerate(odd)]
    run(
        database,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at)",
        "INSERT INTO t VALUES (?, ?)",
        rows=rows,
    )
    source = opened(f"sqlite:///{database}")

    assert len(read_ids(source)) == 20
    assert source.inspect().n_without_cursor_field == len(odd)


@pytest.mark.parametrize("index", ["(updated_at, id)", "(updated_at)"])
def test_the_page_is_served_by_an_index(
    database: Path, opened: Opener, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poll each half minute must not walk through a million rows."""
    run(
        database,
        "CREATE TABLE t (id TEXT PRIMARY KEY, updated_at TEXT)",
        f"CREATE INDEX by_time ON t {index}",
        "INSERT INTO t VALUES (?, ?)",
        rows=[(f"a{i}", (AT + timedelta(seconds=i)).isoformat()) for i in range(50)],
    )
    source = opened(f"sqlite:///{database}")
    cursor = source.read_after(None, 10).cursor
    statements: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        statements.append((statement, parameters))

    engine: sa.Engine = source._engine  # type: ignore[attr-defined]
    sa.event.listen(engine, "before_cursor_execute", note)
    source.read_after(cursor, 10)
    with closing(sqlite3.connect(database)) as connection:
        (page,) = [each for each in statements if "LIMIT" in each[0]]
        plan = " ".join(
            str(row[3]) for row in connection.execute("EXPLAIN QUERY PLAN " + page[0], page[1])
        )

    assert "SEARCH t USING" in plan
    assert "by_time (updated_at>" in plan or "by_time ((updated_at,id)>" in plan
    if index == "(updated_at, id)":
        assert "TEMP B-TREE" not in plan


def test_text_with_json_becomes_what_it_holds(database: Path, opened: Opener) -> None:
    """SQLite keeps JSON as text; a workload must not need to know which database it came from."""
    run(
        database,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at TEXT, parts, note, odd, raw, price)",
        "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?)",
        rows=[(1, AT.isoformat(), '[{"name": "belt"}]', "[sic] a note", '"x"', b"\xff", 1e999)],
    )

    (record,) = opened(f"sqlite:///{database}").read_after(None, 5).records

    assert record.fields == {
        "id": 1,
        "updated_at": AT.isoformat(),
        "parts": [{"name": "belt"}],
        "note": "[sic] a note",
        "odd": '"x"',
        "raw": "/w==",
        "price": None,
    }


def test_a_missing_file_is_waited_for_and_never_made(tmp_path: Path, opened: Opener) -> None:
    """Creating an empty database in the application's place would hide that the path is wrong."""
    path = tmp_path / "later" / "app.db"
    source = opened(f"sqlite:///{path}")

    with pytest.raises(SourceUnavailable, match="no such file"):
        source.read_after(None, 5)
    assert not path.exists()
    path.parent.mkdir()
    run(path, "CREATE TABLE t (id, updated_at)", f"INSERT INTO t VALUES (1, '{AT.isoformat()}')")

    assert read_ids(source) == ["1"]


def test_the_application_s_data_cannot_be_written(database: Path, opened: Opener) -> None:
    """Whatever mistake we make, it must not reach the application's own records."""
    run(database, "CREATE TABLE t (id, updated_at)")
    engine: sa.Engine = opened(f"sqlite:///{database}")._engine  # type: ignore[attr-defined]

    with engine.connect() as connection, pytest.raises(sa.exc.OperationalError, match="readonly"):
        connection.execute(sa.text("INSERT INTO t VALUES (1, 2)"))


def test_a_locked_database_is_tried_later(database: Path, opened: Opener) -> None:
    """A migration holds the file for a minute; that is no reason to wake anybody."""
    run(database, "CREATE TABLE t (id, updated_at)", "INSERT INTO t VALUES (1, 1)")
    source = opened(f"sqlite:///{database}")
    with closing(sqlite3.connect(database)) as holder:
        holder.execute("BEGIN EXCLUSIVE")

        with pytest.raises(SourceUnavailable, match="locked"):
            source.read_after(None, 5)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        ({"collection": "appointment"}, "no table 'appointment'; the tables .* orders, t"),
        ({"updated_at_field": "changed"}, "updated_at_field is 'changed', .* id, updated_at"),
        ({"id_field": "key"}, "id_field is 'key', but the columns are id, updated_at"),
        ({"deleted_field": "gone"}, "deleted_field is 'gone'"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_ones(
    database: Path, opened: Opener, stream: dict[str, str], expected: str
) -> None:
    """The person who reads it has a typing error to find, not a database to explore."""
    run(database, "CREATE TABLE t (id, updated_at)", "CREATE TABLE orders (id)")

    with pytest.raises(SourceMisconfigured, match=expected):
        opened(f"sqlite:///{database}", **stream).read_after(None, 5)


def test_a_column_that_holds_no_times_is_shown(database: Path, opened: Opener) -> None:
    """It names what it found, so that the person sees which column was meant."""
    run(database, "CREATE TABLE t (id, updated_at)", "INSERT INTO t VALUES (1, 'yesterday')")

    with pytest.raises(SourceMisconfigured, match="found 'yesterday'"):
        opened(f"sqlite:///{database}").read_after(None, 5)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite://", "expected a file"),
        ("sqlite:///:memory:", "expected a file"),
        ("oracle://root:hunter2@h/d", "expected sqlite, postgresql"),
        ("mysql://root:hunter2@h/d?useSSL=false", "no parameter 'useSSL'"),
        ("what is this hunter2", 'expected "sqlite:///file.db"'),
    ],
)
def test_an_address_that_cannot_work_is_refused_without_its_password(
    opened: Opener, url: str, expected: str
) -> None:
    """Refused when it is opened, and the password is not in the log for it."""
    with pytest.raises(SourceMisconfigured, match=expected) as refused:
        opened(url)

    assert "hunter2" not in str(refused.value)


def test_a_file_that_is_no_database_is_said(database: Path, opened: Opener) -> None:
    """Waiting would not make it one."""
    database.write_bytes(b"id;updated_at\n" * 200)

    with pytest.raises(SourceMisconfigured, match="not a database"):
        opened(f"sqlite:///{database}").read_after(None, 5)


def test_a_missing_driver_names_what_to_install(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL is an extra; who needs it gets the command, not an import error."""
    for name in [name for name in sys.modules if name.split(".")[0] == "psycopg"]:
        monkeypatch.delitem(sys.modules, name)
    original = builtins.__import__

    def without_psycopg(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name.split(".")[0] == "psycopg":
            raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")
        return original(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without_psycopg)

    with pytest.raises(SourceMisconfigured, match=r"pip install -e '\.\[postgresql\]'"):
        opened("postgresql://u:p@localhost/d")


@pytest.mark.parametrize("separator", ["T", " "])
def test_local_times_are_read_in_the_zone_that_the_stream_names(
    database: Path, opened: Opener, separator: str
) -> None:
    """Written in Kolkata, the newest row seems to lie five and a half hours in the future."""
    kolkata = ZoneInfo("Asia/Kolkata")
    rows = [
        (i, t.astimezone(kolkata).replace(tzinfo=None).isoformat(separator))
        for i, t in enumerate(TIMES)
    ]
    run(
        database,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at TEXT)",
        "INSERT INTO t VALUES (?, ?)",
        rows=rows,
    )
    source = opened(
        f"sqlite:///{database}", clock=TIMES[-1] + timedelta(seconds=1), time_zone="Asia/Kolkata"
    )

    assert [record.updated_at for record in source.read_after(None, 20).records] == TIMES
    assert read_ids(source) == [str(i) for i in range(10)]
    assert source.count_by_day([AT.date()]).by_day == {AT.date(): 10}
    assert len(source.read_after(source.cursor_at(TIMES[5]), 20).records) == 7


def test_the_hour_that_comes_twice_is_read_when_both_are_over(
    database: Path, opened: Opener
) -> None:
    """A local time of the second hour is less than those of the first that were read before it."""
    begin = datetime(2025, 10, 25, 23, 0, tzinfo=UTC)  # the clock is set back at 01:00
    written = [begin + timedelta(minutes=10 * i) for i in range(24)]
    run(database, "CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at TEXT)")
    cursor, ids = None, list[str]()

    for n, at in enumerate(written):
        local = at.astimezone(BERLIN).replace(tzinfo=None).isoformat(" ")
        run(database, "INSERT INTO t VALUES (?, ?)", rows=[(100 - n, local)])
        source = opened(
            f"sqlite:///{database}", clock=at + timedelta(seconds=1), time_zone="Europe/Berlin"
        )
        batch = source.read_after(cursor, 50)
        cursor, ids = batch.cursor, ids + [record.id for record in batch.records]

    assert sorted(ids, key=int) == [str(100 - n) for n in reversed(range(24))]


# --- PostgreSQL alone ---------------------------------------------------------------------------


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS t")
        connection.execute("DROP SCHEMA IF EXISTS shop CASCADE")
        yield connection


@pytest.mark.parametrize(
    ("declared", "form"),
    [
        ("TIMESTAMPTZ", lambda t, i: t.astimezone(BERLIN)),
        ("TIMESTAMP", lambda t, i: t.replace(tzinfo=None)),
        ("DATE", lambda t, i: t.date()),
        ("BIGINT", FORMS["epoch milliseconds"]),
        ("INTEGER", FORMS["epoch seconds"]),
        ("BIGINT", FORMS["epoch in two units"]),
        ("BIGINT", FORMS["epoch nanoseconds"]),
        ("DOUBLE PRECISION", FORMS["epoch with fraction"]),
        ("NUMERIC(20,6)", FORMS["epoch with fraction"]),
        ("TEXT", FORMS["JavaScript"]),
        ("VARCHAR(40)", FORMS["two ways at once"]),
        ("TEXT", FORMS["offsets that differ"]),
    ],
)
def test_postgresql_times_are_understood_too(
    postgres: psycopg.Connection[Any],
    postgres_server: PostgresServer,
    opened: Opener,
    declared: str,
    form: Callable[[datetime, int], Any],
) -> None:
    """The zone of the server or the session must play no part: here it is Tokyo."""
    postgres.execute("ALTER ROLE app SET timezone = 'Asia/Tokyo'")
    ids = [str(uuid.UUID(int=i * 10**30)) for i in range(10)]
    postgres.execute(f"CREATE TABLE t (id UUID PRIMARY KEY, updated_at {declared})")
    for i, t in enumerate(TIMES):
        postgres.execute("INSERT INTO t VALUES (%s, %s)", [ids[i], form(t, i)])
    source = opened(postgres_server.url())

    records = source.read_after(None, 100).records

    assert sorted(read_ids(source)) == ids
    coarse = timedelta(days=1) if declared == "DATE" else timedelta(seconds=1)
    for record in records:
        assert TIMES[ids.index(record.id)] - coarse < record.updated_at
        assert record.updated_at <= TIMES[ids.index(record.id)] + timedelta(milliseconds=1)
    assert source.count_by_day([AT.date()]).by_day == {AT.date(): 10}
    assert source.missing([*ids[:2], str(uuid.UUID(int=5))]).ids == {str(uuid.UUID(int=5))}


def test_a_value_that_python_cannot_hold_is_null_and_costs_no_row(
    postgres: psycopg.Connection[Any], postgres_server: PostgresServer, opened: Opener
) -> None:
    """One "infinity", in a column that nobody needs, failed every read of the stream."""
    postgres.execute(
        "CREATE TABLE t (id INT, updated_at TIMESTAMPTZ, until TIMESTAMPTZ, day DATE, at TIMESTAMP,"
        " days DATE[], hour TIME, span INTERVAL)"
    )
    for values in (
        "(1, '2025-11-26 10:00+00', 'infinity', '-infinity', '0044-03-15 BC', '{infinity}',"
        " '24:00', '1 day')",
        "(2, '2025-11-26 10:01+00', '2026-01-01Z', '2026-01-01', '2026-01-01', NULL, '10:00',"
        " '1s')",
        "(3, 'infinity', NULL, NULL, NULL, NULL, NULL, NULL)",
        "(4, '-infinity', NULL, NULL, NULL, NULL, NULL, NULL)",
    ):
        postgres.execute(f"INSERT INTO t VALUES {values}")
    source = opened(postgres_server.url())

    first, second = source.read_after(None, 100).records

    assert {**first.fields, "id": 0, "updated_at": 0} == {
        **dict.fromkeys(("id", "updated_at"), 0),
        **dict.fromkeys(("until", "day", "at", "hour")),
        "days": [None],
        "span": 86_400.0,
    }
    assert second.fields["until"] == "2026-01-01T00:00:00Z"
    assert source.inspect(5).n_without_cursor_field == 2


def test_columns_without_a_zone_are_in_the_stream_s(
    postgres: psycopg.Connection[Any], postgres_server: PostgresServer, opened: Opener
) -> None:
    """All of them, not only the one that is ordered by; a column with a zone keeps its own."""
    postgres.execute(
        "CREATE TABLE t (id INT, updated_at TIMESTAMP, made TIMESTAMP[], at TIMESTAMPTZ)"
    )
    postgres.execute(
        "INSERT INTO t VALUES (1, '2025-11-26 15:30', '{2025-11-26 15:30}', '2025-11-26 10:00+00')"
    )

    source = opened(postgres_server.url(), time_zone="Asia/Kolkata")
    (record,) = source.read_after(None, 5).records

    utc = "2025-11-26T10:00:00Z"
    assert record.updated_at == AT.replace(microsecond=0)
    assert record.fields == {"id": 1, "updated_at": utc, "made": [utc], "at": utc}


def test_postgresql_types_become_json_values(
    postgres: psycopg.Connection[Any], postgres_server: PostgresServer, opened: Opener
) -> None:
    """Whatever a column holds, the workload sees what it would see from any other source."""
    postgres.execute("CREATE SCHEMA shop")
    postgres.execute(
        "CREATE TABLE shop.t (id BIGINT PRIMARY KEY, updated_at TIMESTAMPTZ, price NUMERIC,"
        " parts JSONB, tags TEXT[], raw BYTEA, day DATE, took INTERVAL, who UUID, ip INET)"
    )
    postgres.execute(
        "INSERT INTO shop.t VALUES (1, %s, 'NaN', '[{\"a\": 1.50}]', '{x,y}', '\\x6162',"
        " '2025-11-26', '90 s', %s, '10.0.0.1')",
        [AT, uuid.UUID(int=1)],
    )

    (record,) = opened(postgres_server.url(), collection="shop.t").read_after(None, 5).records

    assert record.fields == {
        "id": 1,
        "updated_at": "2025-11-26T10:00:00.123456Z",
        "price": None,
        "parts": [{"a": 1.5}],
        "tags": ["x", "y"],
        "raw": "YWI=",
        "day": "2025-11-26",
        "took": 90.0,
        "who": "00000000-0000-0000-0000-000000000001",
        "ip": "10.0.0.1",
    }


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"password": "wrong-hunter2"}, "password authentication failed"),
        ({"database": "nowhere"}, "does not exist"),
    ],
)
def test_a_refused_login_asks_for_a_person(
    postgres_server: PostgresServer, opened: Opener, change: dict[str, str], expected: str
) -> None:
    """A wrong password does not become right by waiting."""
    with pytest.raises(SourceMisconfigured, match=expected) as refused:
        opened(postgres_server.url(**change)).read_after(None, 5)

    assert "hunter2" not in str(refused.value)


def test_a_slow_answer_is_given_up_in_time(
    postgres: psycopg.Connection[Any], postgres_server: PostgresServer, opened: Opener
) -> None:
    """A lock that is held for an hour must not hold the daemon for an hour."""
    postgres.execute("CREATE TABLE t (id INT PRIMARY KEY, updated_at TIMESTAMPTZ)")
    with psycopg.connect(postgres_server.url()) as holder:
        holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")

        with pytest.raises(SourceUnavailable, match="no answer within 2 s"):
            opened(postgres_server.url()).read_after(None, 5)


def test_the_daily_count_of_a_large_table_looks_at_a_part_of_it(
    postgres_server: PostgresServer, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A figure for people is not worth a scan of a billion rows, which never ends in time."""
    monkeypatch.setattr(sql, "COUNTED_UP_TO", 2_000)
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS large")
        connection.execute(
            "CREATE TABLE large AS SELECT n AS id, CASE WHEN n % 4 > 0 THEN now() END AS updated_at"
            " FROM generate_series(1, 40000) n"
        )
        connection.execute("ANALYZE large")
    source = opened(postgres_server.url(), collection="large")

    daily, asked_for = source.inspect(), source.inspect(1)

    assert daily.n_records == pytest.approx(40_000, rel=0.05)
    assert daily.n_without_cursor_field == pytest.approx(10_000, rel=0.05)
    assert (asked_for.n_records, asked_for.n_without_cursor_field) == (40_000, 10_000)


def test_a_query_is_read_as_a_table_is(tmp_path: Path) -> None:
    """Lines in a table of their own are joined without a view in somebody else's database."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute('CREATE TABLE orders (no INTEGER, "updatedAt" TEXT)')
        database.execute("CREATE TABLE items (order_no INTEGER, pos TEXT, label TEXT)")
        for n in range(20):
            database.execute("INSERT INTO orders VALUES (?, ?)", (n, f"2026-01-{n + 1:02d} 10:00"))
            for pos in ("a|b", "50 %"):
                database.execute("INSERT INTO items VALUES (?, ?, 'x:y')", (n, pos))
    query = """
      SELECT o.*, i.pos, i.label AS "the label" FROM orders o -- a colon: and 100 %
      JOIN items i ON i.order_no = o.no WHERE label LIKE '%:y';
    """

    def opened(text: str) -> Source:
        return open_source(
            SourceSettings(kind="sql", url=f"sqlite:///{path}", lag_s=0),
            StreamSettings(query=text, id_field=("no", "pos"), updated_at_field="updatedAt"),
        )

    with closing(opened(query)) as source:
        first = source.read_after(None, 7)
        records = [*first.records, *source.read_after(first.cursor, 100).records]
        assert len({record.id for record in records}) == len(records) == 40
        assert records[0].id == "0|50 %25"
        assert records[0].fields["the label"] == "x:y"
        assert source.inspect().n_records == 40
        assert source.missing(["0|a%7Cb", "0|c"]).ids == {"0|c"}
        assert source.origin != opened("SELECT 1").origin
    for text, sentence in (
        ("DELETE FROM orders", "expected one SELECT"),
        ("SELECT no, no FROM orders", "the columns are no"),
        ("SELECT 1; DELETE FROM orders", "syntax error"),
        ("SELECT nope FROM orders", "no such column: nope"),
    ):
        with closing(opened(text)) as source, pytest.raises(SourceMisconfigured, match=sentence):
            source.read_after(None, 5)
