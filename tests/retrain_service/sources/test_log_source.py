"""PostgreSQL by the log of changes: late commits, deletions, lost slots, and what it asks for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from click.testing import CliRunner

from retrain_service.cli import main
from retrain_service.sources import open_source
from retrain_service.sources.base import Source
from retrain_service.sources.sql import log_source
from shared.errors import SourceMisconfigured
from shared.records import Cursor, Record, to_epoch_us
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings
from tests.support.postgres import PostgresServer

DAY = timedelta(days=1)
OLD = datetime(2024, 1, 1, tzinfo=UTC)
SLOT = "hotfit_t"
Opener = Callable[..., Source]
Database = psycopg.Connection[Any]


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS t, elsewhere CASCADE")
        connection.execute("DROP PUBLICATION IF EXISTS hotfit")
        connection.execute("CREATE TABLE t (id INT PRIMARY KEY, updated_at TIMESTAMPTZ, note TEXT)")
        connection.execute("CREATE PUBLICATION hotfit FOR TABLE t")
        yield connection
        connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


@pytest.fixture
def opened(postgres_server: PostgresServer, database: Database) -> Iterator[Opener]:
    sources: list[Source] = []

    def _open(lag_s: float = 3600, **stream: Any) -> Source:
        settings = SourceSettings(kind="sql", url=postgres_server.url(), lag_s=lag_s, timeout_s=5)
        own = {"collection": "t", "read_by": "log", "slot": SLOT, **stream}
        sources.append(open_source(settings, StreamSettings(**own)))
        return sources[-1]

    yield _open
    for source in sources:
        source.close()


def read(source: Source, cursor: Cursor, limit: int = 3) -> tuple[list[Record], Cursor]:
    records: list[Record] = []
    while True:
        batch = source.read_after(cursor, limit)
        records += batch.records
        cursor = json.loads(json.dumps(batch.cursor))
        if batch.is_last:
            return records, cursor


def told(records: list[Record]) -> set[tuple[str, bool]]:
    return {(record.id, record.is_deleted) for record in records}


def confirmed(database: Database) -> int:
    found = database.execute(
        "SELECT pg_wal_lsn_diff(confirmed_flush_lsn, '0/0')::bigint FROM pg_replication_slots"
    ).fetchone()
    assert found is not None
    return int(found[0])


def insert(database: Database, *ids: int, at: datetime = OLD) -> None:
    database.cursor().executemany("INSERT INTO t VALUES (%s, %s, 'x')", [(id_, at) for id_ in ids])


def test_what_the_cursor_cannot_see_is_read_by_the_log(
    database: Database, opened: Opener, postgres_server: PostgresServer
) -> None:
    """A commit that is hours late, a change without a new time, a deletion, another id."""
    insert(database, 1, 2, 3, 4, at=datetime.now(UTC))
    source = opened()
    first, cursor = read(source, None)

    with psycopg.connect(postgres_server.url()) as late:
        late.execute("INSERT INTO t VALUES (9, %s, 'late')", [OLD])
        meanwhile, cursor = read(source, cursor)
        late.commit()
    database.execute("UPDATE t SET note = 'y' WHERE id = 1")
    database.execute("DELETE FROM t WHERE id = 2")
    database.execute("UPDATE t SET id = 33 WHERE id = 3")
    insert(database, 5)
    database.execute("DELETE FROM t WHERE id = 5")
    changed, cursor = read(source, cursor)
    again, cursor = read(source, cursor)

    assert told(first) == {(str(n), False) for n in (1, 2, 3, 4)}  # young ones too: no lag
    assert meanwhile == []
    assert told(changed) == {
        ("9", False), ("1", False), ("2", True), ("3", True), ("33", False), ("5", True),
    }  # fmt: skip
    assert [record.fields["note"] for record in changed if record.id == "1"] == ["y"]
    assert again == []
    assert "up to date" not in source.remark
    assert source.remark.startswith("by the log; slot hotfit_t holds back 0 MB")


def test_changes_are_confirmed_when_the_cursor_behind_them_comes_back(
    database: Database, opened: Opener
) -> None:
    """A crash before the buffer has stored them must find them again, page by page."""
    source = opened()
    _, cursor = read(source, None)
    insert(database, 1)
    _, cursor = read(source, cursor)
    with database.transaction():
        insert(database, *range(10, 17))
    begin = confirmed(database)

    page = source.read_after(cursor, 3)
    same = opened().read_after(json.loads(json.dumps(cursor)), 3)
    rest, cursor = read(opened(), page.cursor)
    before = confirmed(database)
    read(source, cursor)

    assert page.records == same.records
    # The first row was written behind the slot, so the log has it as well.
    assert told([*page.records, *rest]) == {(str(n), False) for n in (1, *range(10, 17))}
    assert len(page.records) + len(rest) == 8
    assert (before <= cursor["lsn"], confirmed(database) >= cursor["lsn"]) == (True, True)
    assert begin <= before


def test_a_busy_database_elsewhere_does_not_fill_the_disk(
    database: Database, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slot holds the log of all tables back, also where ours does not change for weeks."""
    monkeypatch.setattr(log_source, "_KEPT_BYTES", 100_000)
    monkeypatch.setattr(log_source, "_STRETCH_BYTES", 300_000)
    source = opened()
    insert(database, 1)
    _, cursor = read(source, None)
    begin = confirmed(database)

    database.execute(
        "CREATE TABLE elsewhere AS SELECT n, repeat('x', 200) FROM generate_series(1, 9000) n"
    )
    records, cursor = read(source, cursor)
    read(source, cursor)

    assert records == []
    assert confirmed(database) > begin + 1_000_000


@pytest.mark.parametrize("how", ["dropped", "read by another"])
def test_a_lost_slot_leads_to_one_whole_read_and_never_round_in_a_circle(
    database: Database, opened: Opener, how: str
) -> None:
    """What was changed in the gap is found; lost twice within a day, the cursor goes on alone."""
    insert(database, 1, 2)
    source = opened(lag_s=0)
    _, cursor = read(source, None)
    insert(database, 3)
    _, cursor = read(source, cursor)

    def lose() -> None:
        if how == "dropped":
            database.execute("SELECT pg_drop_replication_slot(%s)", [SLOT])
        else:
            database.execute("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", [SLOT])

    insert(database, 4)
    lose()
    insert(database, 5)
    long_ago = {**cursor, "made_us": to_epoch_us(datetime.now(UTC) - 2 * DAY)}
    whole, behind = read(source, long_ago)
    insert(database, 6)
    by_log, behind = read(source, behind)

    insert(database, 7)
    lose()
    alone, by_cursor = read(source, behind)
    database.execute("DELETE FROM t WHERE id = 1")
    insert(database, 8, at=datetime.now(UTC) - timedelta(seconds=1))
    more, by_cursor = read(source, by_cursor)
    remark = source.remark
    insert(database, 9)
    later, _ = read(source, {**by_cursor, "until_us": 1})

    everything = {(str(n), False) for n in range(1, 6)}
    assert told(whole) == everything
    assert told(by_log) - {("5", False)} == {("6", False)}  # what the slot still has comes twice
    assert told(alone) == everything | {("6", False), ("7", False)}
    assert told(more) == {("8", False)}
    assert "by the cursor for a day" in remark
    assert told(later) == {(str(n), False) for n in range(2, 10)}


@pytest.mark.parametrize(
    ("statements", "stream", "expected"),
    [
        (["DROP PUBLICATION hotfit"], {}, "CREATE PUBLICATION hotfit FOR TABLE t;"),
        (["ALTER PUBLICATION hotfit DROP TABLE t"], {}, "ALTER PUBLICATION hotfit ADD TABLE t;"),
        (["ALTER TABLE t DROP CONSTRAINT t_pkey"], {}, "ALTER TABLE t REPLICA IDENTITY FULL;"),
        ([], {"id_field": "note"}, "a deletion would not tell note"),
        (["CREATE VIEW v AS SELECT * FROM t"], {"collection": "v"}, "a view has no log"),
        (
            ["ALTER PUBLICATION hotfit SET (publish = 'insert')"], {},
            "expected inserts, updates and deletes",
        ),
        (
            [f"SELECT pg_create_logical_replication_slot('{SLOT}', 'test_decoding')"], {},
            "decoded by pgoutput, found one of test_decoding",
        ),
    ],
)  # fmt: skip
def test_what_the_log_needs_is_asked_for(
    database: Database, opened: Opener, statements: list[str], stream: dict[str, str], expected: str
) -> None:
    """Else changes or deletions would stay away in silence; the sentence has the statement."""
    for statement in statements:
        database.execute(statement)

    with pytest.raises(SourceMisconfigured) as refused:
        opened(**stream).read_after(None, 5)

    assert expected in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "url"), [("sql", "sqlite:///x.db"), ("mongodb", "mongodb://host/shop")]
)
def test_other_databases_have_no_such_log(kind: str, url: str) -> None:
    """Silence would be taken for success."""
    settings = SourceSettings.model_validate({"kind": kind, "url": url})

    with pytest.raises(SourceMisconfigured, match='read_by = "log"'):
        open_source(settings, StreamSettings(collection="t", read_by="log", slot=SLOT))


@pytest.mark.parametrize(
    ("columns", "values", "stream", "ids"),
    [
        ("id UUID", f"'{UUID(int=10)}'", {}, str(UUID(int=10))),
        ("id BYTEA", "'\\x00ff'", {}, "00ff"),
        ("id TEXT", "'50 %|é'", {}, "50 %|é"),
        ("a INT, b TEXT", "7, 'x|y'", {"id_field": ("a", "b")}, "7|x%7Cy"),
    ],
)  # fmt: skip
def test_ids_of_any_type_are_found_again(
    database: Database, opened: Opener, columns: str, values: str, stream: dict[str, Any], ids: str
) -> None:
    """The id in the log, the id of the row and the id in the buffer are one text."""
    names = [each.split()[0] for each in columns.split(", ")]
    database.execute("DROP TABLE t")
    database.execute(
        f"CREATE TABLE t ({columns}, updated_at TIMESTAMP, PRIMARY KEY ({', '.join(names)}))"
    )
    database.execute("ALTER PUBLICATION hotfit ADD TABLE t")
    source = opened(**stream)
    source.read_after(None, 5)

    database.execute(f"INSERT INTO t VALUES ({values}, '2025-11-26')")
    first, cursor = read(source, None)
    database.execute("UPDATE t SET updated_at = '2025-11-27'")
    changed, cursor = read(source, cursor)
    database.execute("DELETE FROM t")
    gone, _ = read(source, cursor)

    assert [told(each) for each in (first, changed, gone)] == [
        {(ids, False)}, {(ids, False)}, {(ids, True)},
    ]  # fmt: skip


def test_a_slot_that_nobody_reads_any_more_is_told_and_dropped_by_a_command(
    database: Database, opened: Opener, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """A forgotten slot fills the disk of the application's database."""
    insert(database, 1)
    _, cursor = read(opened(), None)
    source = opened(read_by="cursor", lag_s=0)
    insert(database, 2)
    config = tmp_path / "hotfit.toml"
    config.write_text(
        f'[sources.shop]\nkind = "sql"\nurl = "{postgres_server.url()}"\n'
        '[models.m]\nworkload = "spare_parts"\nsource = "shop"\n'
        f'[models.m.streams.appointments]\ncollection = "t"\nslot = "{SLOT}"\n'
    )
    drop = ["--config", str(config), "drop-slot", "m", "appointments"]
    environment = {"HOTFIT_HOME": str(tmp_path / "home")}

    records, _ = read(source, cursor)
    remark = source.remark
    dropped = CliRunner().invoke(main, drop, env=environment)
    again = CliRunner().invoke(main, drop, env=environment)

    assert told(records) == {("2", False)}
    assert "slot hotfit_t is not read any more and holds back" in remark
    assert (dropped.exit_code, again.exit_code) == (0, 0)
    assert "slot hotfit_t is dropped" in dropped.output
    assert "no slot hotfit_t" in again.output
    assert database.execute("SELECT count(*) FROM pg_replication_slots").fetchone() == (0,)
