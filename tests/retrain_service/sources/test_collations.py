"""Ids that a database takes for equal, and that are not: no page may lose or repeat one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pymysql
import pytest

from retrain_service.sources import open_source
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings
from tests.retrain_service.sources.test_sql import read_ids
from tests.support.mariadb import DATABASE

IDS = ["A", "B", "C", "a", "a ", "b", "c", "Á", "á", "ß", "ss"]
"""In the order of their bytes."""

INSERT = "INSERT INTO ids SELECT '{}', '2025-11-26 10:00:00'"
NONDETERMINISTIC = (
    "CREATE COLLATION IF NOT EXISTS vague"
    " (provider = icu, locale = 'und-u-ks-level1', deterministic = false)"
)
UNIQUE = ["x1", "X2", "x3", "X4", "x5", "X6"]

TABLES: dict[str, tuple[str, list[str], list[str]]] = {
    "sqlite: NOCASE": (
        "sqlite",
        ["CREATE TABLE ids (id TEXT COLLATE NOCASE, updated_at TEXT)"],
        IDS,
    ),
    "sqlite: unique NOCASE": (
        "sqlite",
        ["CREATE TABLE ids (id TEXT COLLATE NOCASE PRIMARY KEY, updated_at TEXT)"],
        UNIQUE,
    ),
    "mariadb: no key": ("mariadb", ["CREATE TABLE ids (id VARCHAR(9), updated_at DATETIME)"], IDS),
    "mariadb: unicode, index": (
        "mariadb",
        [
            "CREATE TABLE ids (id VARCHAR(9) COLLATE utf8mb4_unicode_ci, updated_at DATETIME,"
            " INDEX (updated_at, id))"
        ],
        IDS,
    ),
    "mariadb: latin1": (
        "mariadb",
        ["CREATE TABLE ids (id VARCHAR(9) CHARACTER SET latin1, updated_at DATETIME)"],
        IDS,
    ),
    "mariadb: key of two": (
        "mariadb",
        [
            "CREATE TABLE ids (id VARCHAR(9), updated_at DATETIME, n INT AUTO_INCREMENT,"
            " PRIMARY KEY (id, n), INDEX (n))"
        ],
        IDS,
    ),
    "mariadb: unique": (
        "mariadb",
        ["CREATE TABLE ids (id VARCHAR(9) PRIMARY KEY, updated_at DATETIME)"],
        UNIQUE,
    ),
    "postgresql: ICU": (
        "postgresql",
        [NONDETERMINISTIC, "CREATE TABLE ids (id TEXT COLLATE vague, updated_at TIMESTAMP)"],
        IDS,
    ),
    "postgresql: citext": (
        "postgresql",
        [
            "CREATE EXTENSION IF NOT EXISTS citext",
            "CREATE TABLE ids (id CITEXT, updated_at TIMESTAMP(0))",
        ],
        IDS,
    ),
    "postgresql: ICU unique": (
        "postgresql",
        [NONDETERMINISTIC, "CREATE TABLE ids (id TEXT COLLATE vague UNIQUE, updated_at DATE)"],
        UNIQUE,
    ),
}


@pytest.fixture
def url_of(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database with the table, filled by its own client."""
    kind, statements, ids = TABLES[request.param]
    columns = "id, updated_at"
    inserts = [
        INSERT.format(id_).replace("ids SELECT", f"ids ({columns}) SELECT") for id_ in reversed(ids)
    ]
    if kind == "sqlite":
        with closing(sqlite3.connect(tmp_path / "app.db")) as connection:
            for statement in [*statements, *inserts]:
                connection.execute(statement)
            connection.commit()
        return f"sqlite:///{tmp_path / 'app.db'}"
    dropped = "DROP TABLE IF EXISTS ids"
    if kind == "postgresql":
        url: str = request.getfixturevalue("postgres_server").url()
        with psycopg.connect(url, autocommit=True) as postgres:
            inserts = [each.replace("'2025", "TIMESTAMP '2025") for each in inserts]
            for statement in [dropped, *statements, *inserts]:
                postgres.execute(statement)
        return url
    server = request.getfixturevalue("mariadb_server")
    with (
        pymysql.connect(
            host="127.0.0.1",
            port=server.port,
            user="app",
            password="secret",
            database=DATABASE,
            charset="utf8mb4",
            autocommit=True,
        ) as mariadb,
        mariadb.cursor() as cursor,
    ):
        for statement in [dropped, *statements, *inserts]:
            cursor.execute(statement)
    return str(server.url())


@pytest.mark.parametrize(("url_of", "case"), [(name, name) for name in TABLES], indirect=["url_of"])
def test_ids_that_compare_as_equal_are_each_read_once(url_of: str, case: str) -> None:
    """With a collation that sees no case, a page that ends at "a" is followed by what is > "a"."""
    settings = SourceSettings(kind="sql", url=url_of, lag_s=0, timeout_s=5)
    source = open_source(settings, StreamSettings(collection="ids"))
    try:
        pages = {limit: read_ids(source, limit) for limit in (1, 2, 3, 100)}
        gone = source.missing(["a", "zz"]).ids
    finally:
        source.close()

    wanted = sorted(TABLES[case][2])
    assert {limit: sorted(ids) for limit, ids in pages.items()} == dict.fromkeys(pages, wanted)
    assert gone == ({"zz"} if "a" in wanted else {"a", "zz"})
