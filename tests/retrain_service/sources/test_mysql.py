"""MySQL and MariaDB tables as applications really make them, on a real MariaDB."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa

from retrain_service.sources import open_source
from retrain_service.sources.base import Source
from retrain_service.sources.sql import estimate
from shared.errors import SourceMisconfigured, SourceUnavailable
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings
from tests.retrain_service.sources.test_sql import FORMS, TIMES, read_ids
from tests.support.mariadb import MariadbServer

AT = datetime(2025, 11, 26, 10, 0, 0, 123456, tzinfo=UTC)
Run = Callable[..., Any]
Opener = Callable[..., Source]


@pytest.fixture
def run(mariadb_server: MariadbServer) -> Iterator[Run]:
    """Run a statement as the application does; its connection keeps a zone of its own."""
    with closing(
        pymysql.connect(
            host="127.0.0.1",
            port=mariadb_server.port,
            user="app",
            password="secret",
            database="shop",
            charset="utf8mb4",
            autocommit=True,
            init_command="SET time_zone = '+09:00', sql_mode = ''",
        )
    ) as connection:

        def _run(statement: str, parameters: Any = None) -> Any:
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters)
                return cursor.fetchall()

        _run("DROP TABLE IF EXISTS t, `order`")
        _run("DROP VIEW IF EXISTS v")
        yield _run


@pytest.fixture
def opened(mariadb_server: MariadbServer) -> Iterator[Opener]:
    sources: list[Source] = []

    def _open(user: str = "app", lag_s: float = 0, **stream: Any) -> Source:
        url = mariadb_server.url(user=user)
        settings = SourceSettings(kind="sql", url=url, lag_s=lag_s, timeout_s=2)
        sources.append(open_source(settings, StreamSettings(**{"collection": "t", **stream})))
        return sources[-1]

    yield _open
    for source in sources:
        source.close()


@pytest.mark.parametrize(
    ("declared", "form"),
    [
        ("DATETIME(6)", lambda t, i: t.replace(tzinfo=None)),
        ("DATETIME", lambda t, i: t.replace(tzinfo=None)),
        ("TIMESTAMP(3) NULL", lambda t, i: t.replace(tzinfo=None) + timedelta(hours=9)),
        ("DATE", lambda t, i: t.date()),
        ("BIGINT UNSIGNED", FORMS["epoch milliseconds"]),
        ("DECIMAL(20,6)", FORMS["epoch with fraction"]),
        ("VARCHAR(40)", FORMS["JavaScript"]),
        ("VARCHAR(40)", FORMS["two ways at once"]),
        ("TEXT", FORMS["offsets that differ"]),
    ],
)
def test_times_are_understood_whatever_the_column_and_the_zone_of_the_session(
    run: Run, opened: Opener, declared: str, form: Callable[[datetime, int], Any]
) -> None:
    """The application writes in Tokyo's zone: a TIMESTAMP is an instant, a DATETIME as it reads."""
    run(f"CREATE TABLE t (id INT UNSIGNED PRIMARY KEY, updated_at {declared})")
    for i, t in enumerate(TIMES):
        run("INSERT INTO t VALUES (%s, %s)", [i, form(t, i)])
    source = opened()

    records = source.read_after(None, 100).records

    assert sorted(read_ids(source), key=int) == [str(i) for i in range(10)]
    coarse = timedelta(days=1) if declared == "DATE" else timedelta(seconds=1)
    for record in records:
        assert TIMES[int(record.id)] - coarse < record.updated_at
        assert record.updated_at <= TIMES[int(record.id)] + timedelta(milliseconds=1)
    assert source.count_by_day([AT.date()]).by_day == {AT.date(): 10}
    assert source.missing(["1", "77"]).ids == {"77"}


def test_a_datetime_is_in_the_stream_s_zone_and_a_timestamp_is_an_instant(
    run: Run, opened: Opener
) -> None:
    """The session of the application is in Tokyo, and so is its DATETIME."""
    run("CREATE TABLE t (id INT PRIMARY KEY, updated_at DATETIME(6), at TIMESTAMP NULL)")
    run("INSERT INTO t VALUES (1, NOW(6), '2025-11-26 19:00:00')")
    source = opened(time_zone="Asia/Tokyo")

    (record,) = source.read_after(None, 5).records

    assert abs(datetime.now(UTC) - record.updated_at) < timedelta(minutes=5)
    assert record.fields["at"] == "2025-11-26T10:00:00Z"


def test_types_become_json_values(run: Run, opened: Opener) -> None:
    """A bit is a number, a zero date is nothing, and half of the emoji is not lost."""
    run(
        "CREATE TABLE `order` (`id` BIGINT UNSIGNED PRIMARY KEY, `updated at` DATETIME(6),"
        " `gro``up` VARCHAR(20) CHARACTER SET utf8mb4, old VARCHAR(20) CHARACTER SET latin1,"
        " paid TINYINT(1), stars TINYINT(1), flag BIT(1), price DECIMAL(20,4), `lines` JSON,"
        " never DATETIME, nor DATE, at TIME, raw VARBINARY(4), kind ENUM('a','b'), y YEAR,"
        " tags SET('x','y'))"
    )
    lines = json.dumps([{"sku": "Ä", "qty": 2}])
    run(
        "INSERT INTO `order` VALUES (18446744073709551615, %s, '🔧ü', 'ü€', 1, 5, b'0', 12.3450,"
        " %s, '0000-00-00 00:00:00', '2024-00-00', '-01:02:03', 'ab', 'b', 2025, 'x,y')",
        [AT.replace(tzinfo=None), lines],
    )
    source = opened(collection="order", updated_at_field="updated at", deleted_field="flag")

    (record,) = source.read_after(None, 5).records

    assert record.fields == {
        "id": 18446744073709551615,
        "updated at": "2025-11-26T10:00:00.123456Z",
        "gro`up": "🔧ü",
        "old": "ü€",
        "paid": 1,
        "stars": 5,
        "flag": 0,
        "price": 12.345,
        "lines": [{"sku": "Ä", "qty": 2}],
        "never": None,
        "nor": None,
        "at": "-01:02:03",
        "raw": "YWI=",
        "kind": "b",
        "y": 2025,
        "tags": "x,y",
    }
    assert not record.is_deleted


def test_rows_whose_time_is_zero_are_counted_and_stop_nothing(run: Run, opened: Opener) -> None:
    """'0000-00-00' is what older applications write for "never"."""
    run("CREATE TABLE t (id BINARY(16) PRIMARY KEY, updated_at DATETIME)")
    for n, at in enumerate(["0000-00-00", None, "2025-11-26 10:00:00", "2025-11-26 10:00:00"]):
        run("INSERT INTO t VALUES (%s, %s)", [bytes([n] * 16), at])
    source = opened()

    assert read_ids(source, limit=1) == ["02" * 16, "03" * 16]
    found = source.inspect(1)
    assert (found.n_records, found.n_without_cursor_field) == (4, 2)
    assert source.missing(["02" * 16, "09" * 16]).ids == {"09" * 16}


@pytest.mark.parametrize("declared", ["DATETIME", "TIMESTAMP", "DATETIME(1)"])
def test_a_step_of_time_that_still_runs_is_not_read(
    run: Run, opened: Opener, declared: str
) -> None:
    """With whole seconds, a row may yet be written into the second whose rows have been read."""
    run(f"CREATE TABLE t (id INT PRIMARY KEY, updated_at {declared})")
    source = opened()
    cursor, ids = None, list[str]()

    for n in range(60, 0, -1):  # each id is less than those before it
        run("INSERT INTO t VALUES (%s, UTC_TIMESTAMP(6))" if "DATETIME" in declared else
            "INSERT INTO t VALUES (%s, CURRENT_TIMESTAMP(6))", [n])  # fmt: skip
        batch = source.read_after(cursor, 100)
        cursor = batch.cursor
        ids += [record.id for record in batch.records]
    run("UPDATE t SET updated_at = updated_at - INTERVAL 0 SECOND")
    rest = opened(lag_s=0)
    while len(ids) < 60:
        batch = rest.read_after(cursor, 100)
        cursor = batch.cursor
        ids += [record.id for record in batch.records]

    assert sorted(ids, key=int) == [str(n) for n in range(1, 61)]


@pytest.mark.parametrize("index", ["(updated_at, id)", "(updated_at)"])
def test_the_page_is_served_by_an_index(
    run: Run, opened: Opener, index: str, mariadb_server: MariadbServer
) -> None:
    """MySQL uses no index for a comparison of row values, so none is asked for."""
    run(f"CREATE TABLE t (id VARCHAR(20) PRIMARY KEY, updated_at DATETIME, INDEX by_time {index})")
    run(
        "INSERT INTO t SELECT CONCAT('a', seq), '2025-11-26' + INTERVAL seq DIV 3 SECOND"
        " FROM seq_1_to_5000"
    )
    run("ANALYZE TABLE t")
    source = opened()
    cursor = source.read_after(None, 3000).cursor
    plans = list[Any]()

    def explain(connection: Any, statement: Any, parameters: Any, *_rest: Any) -> None:
        if "LIMIT" in statement:
            with connection.connection.cursor() as mine:
                mine.execute("EXPLAIN " + statement, parameters)
                plans.extend(mine.fetchall())

    engine: sa.Engine = source._engine  # type: ignore[attr-defined]
    sa.event.listen(engine, "before_cursor_execute", lambda c, cur, s, p, *r: explain(c, s, p))
    source.read_after(cursor, 10)

    ((_, _, table, how, _, key, *_, n_rows, extra),) = plans
    assert (table, how, key) == ("t", "range", "by_time")
    assert int(n_rows) < 3000
    assert "filesort" not in extra  # InnoDB's index on the time ends with the key


def test_a_reader_needs_the_right_to_select_alone_and_can_write_nothing(
    run: Run, opened: Opener
) -> None:
    """Of a view as well, whose definition it may not see."""
    run("CREATE TABLE t (id INT PRIMARY KEY, updated_at DATETIME)")
    run("INSERT INTO t VALUES (1, '2025-11-26')")
    run("CREATE VIEW v AS SELECT * FROM t")
    run("CREATE OR REPLACE USER reader@'127.0.0.1' IDENTIFIED BY 'secret'")
    run("GRANT SELECT ON shop.v TO reader@'127.0.0.1'")

    assert read_ids(opened(user="reader", collection="v")) == ["1"]
    assert read_ids(opened(user="reader", collection="shop.v")) == ["1"]
    with pytest.raises(SourceMisconfigured, match="no table 't'; the tables and views there are v"):
        opened(user="reader").read_after(None, 5)
    source = opened()
    source.read_after(None, 5)
    engine: sa.Engine = source._engine  # type: ignore[attr-defined]
    with engine.connect() as ours, pytest.raises(sa.exc.DBAPIError, match="READ ONLY"):
        ours.execute(sa.text("INSERT INTO t VALUES (2, NOW())"))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"password": "wrong-hunter2"}, r"Access denied for user .* \(1045\)"),
        ({"database": "nowhere"}, r"Unknown database .* \(1049\)"),
    ],
)
def test_a_refused_login_asks_for_a_person(
    mariadb_server: MariadbServer, change: dict[str, str], expected: str
) -> None:
    """A wrong password does not become right by waiting."""
    settings = SourceSettings(kind="sql", url=mariadb_server.url(**change))
    with pytest.raises(SourceMisconfigured, match=expected) as refused:
        open_source(settings, StreamSettings(collection="t")).read_after(None, 5)

    assert "hunter2" not in str(refused.value)


def test_what_the_server_can_mend_is_tried_later(
    run: Run, opened: Opener, mariadb_server: MariadbServer, tmp_path: Path
) -> None:
    """A lock, a killed session, a slow view, a frozen server: each is unavailable, then well."""
    run("CREATE TABLE t (id INT PRIMARY KEY, updated_at DATETIME)")
    run("INSERT INTO t VALUES (1, '2025-11-26')")
    run("CREATE VIEW v AS SELECT id, updated_at, SLEEP(5) AS nap FROM t")
    source = opened()
    source.read_after(None, 5)

    for (process,) in run(
        "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID()"
    ):
        run(f"KILL {process}")
    assert read_ids(source) == ["1"]
    with pytest.raises(SourceUnavailable, match="no answer within 2 s"):
        opened(collection="v").read_after(None, 5)
    with mariadb_server.frozen(), pytest.raises(SourceUnavailable, match="Lost connection"):
        source.read_after(None, 5)
    assert read_ids(source) == ["1"]


def test_the_daily_count_of_a_large_table_asks_the_server_s_own_figure(
    run: Run, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """InnoDB counts by walking through the whole table."""
    monkeypatch.setattr(estimate, "COUNTED_UP_TO", 2_000)
    run("CREATE TABLE t (id INT PRIMARY KEY, updated_at DATETIME, INDEX (updated_at))")
    run("INSERT INTO t SELECT seq, IF(seq % 4 > 0, NOW(), NULL) FROM seq_1_to_8000")
    run("ANALYZE TABLE t")
    source = opened()

    daily, asked_for = source.inspect(), source.inspect(1)

    assert daily.n_records == pytest.approx(8_000, rel=0.2)
    assert daily.n_without_cursor_field == 2_000
    assert (asked_for.n_records, asked_for.n_without_cursor_field) == (8_000, 2_000)
