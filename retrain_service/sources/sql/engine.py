"""Connections to SQLite, PostgreSQL and MySQL that can only read. Knows no table."""

from __future__ import annotations

import socket
import sqlite3
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.pool import NullPool, QueuePool

from retrain_service.sources.base import how_to_install
from retrain_service.sources.sql.mysql import open_mysql_engine
from retrain_service.sources.sql.postgresql import make_lenient
from retrain_service.sources.sql.times import CONVERT, convert
from shared.errors import SourceMisconfigured, SourceUnavailable

_DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    # One dialect for both: which of the two a server is, it says itself.
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "mysql+pymysql": "mysql+pymysql",
    "mariadb+pymysql": "mysql+pymysql",
}


def parse_url(url: str) -> sa.URL:
    """The address, its driver filled in.

    Raises:
        SourceMisconfigured: not an address, or of a database that is not supported.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        # Not the text itself: it may hold a password.
        raise SourceMisconfigured(
            'url: expected "sqlite:///file.db", "postgresql://user:password@host/database" or'
            ' "mysql://user:password@host/database".'
        ) from None
    if parsed.drivername in _DRIVERS:
        return parsed.set(drivername=_DRIVERS[parsed.drivername])
    raise SourceMisconfigured(
        "url: expected sqlite, postgresql (driver psycopg), mysql or mariadb (driver pymysql),"
        f" found {parsed.drivername!r}."
    )


Connections = weakref.WeakSet[Any]
"""The driver's own, as long as they exist."""


def open_engine(url: sa.URL, timeout_s: float) -> tuple[sa.Engine, Connections]:
    """An engine that has not connected yet, and where it keeps the connections it will make.

    Raises:
        SourceMisconfigured: the driver is not installed, or the address names no file.
    """
    connections: Connections = weakref.WeakSet()
    backend = url.get_backend_name()
    if backend == "sqlite":
        return _sqlite_engine(url, timeout_s), connections  # its own limit holds: no server
    try:
        engine = (_postgresql_engine if backend == "postgresql" else open_mysql_engine)(
            url, timeout_s
        )
    except ModuleNotFoundError as error:
        raise SourceMisconfigured(
            f"url: the driver for {backend} is not installed"
            f" (no module {error.name!r}): {how_to_install(backend)}"
        ) from None
    sa.event.listen(engine, "connect", lambda connection, _record: connections.add(connection))
    return engine, connections


def server_time(connection: sa.Connection, clock: Callable[[], datetime]) -> datetime:
    """The server's time; an SQLite file has no server, and its time is `clock`'s."""
    match connection.dialect.name:
        case "sqlite":
            return clock()
        case "mysql":
            now: datetime = connection.execute(sa.select(sa.func.utc_timestamp(6))).scalar_one()
            return now.replace(tzinfo=UTC)
    now = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return now.astimezone(UTC)


def break_off(connections: Connections) -> None:
    """End what other threads wait for on these connections. Asks no server.

    Not the driver's own way to cancel: that asks the server to, over a connection of its own.
    """
    for connection in list(connections):
        with suppress(Exception):  # it was closed meanwhile, and has no descriptor any more
            ours = socket.socket(fileno=_descriptor(connection))
            try:
                ours.shutdown(socket.SHUT_RDWR)
            finally:
                ours.detach()


def _descriptor(connection: Any) -> int:
    # PyMySQL has no public way to its socket.
    found: int = getattr(connection, "_sock", connection).fileno()
    return found


def check_file(url: sa.URL) -> None:
    """Say clearly when an SQLite file is not there; it is never created here.

    Raises:
        SourceUnavailable: no such file; it may still appear.
        SourceMisconfigured: it is a directory.
    """
    if url.get_backend_name() != "sqlite":
        return
    path = Path(str(url.database))
    if path.is_dir():
        raise SourceMisconfigured(f"{path}: expected a database file, found a directory.")
    if not path.exists():
        raise SourceUnavailable(f"{path}: no such file; waiting for it to appear.")


def _postgresql_engine(url: sa.URL, timeout_s: float) -> sa.Engine:
    engine = sa.create_engine(
        url,
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        pool_pre_ping=True,
        pool_timeout=timeout_s,
        connect_args={
            "connect_timeout": max(2, round(timeout_s)),
            # A server that vanished without a word must not hold the loop for hours.
            "tcp_user_timeout": round(timeout_s * 1000),
            "keepalives_idle": max(1, round(timeout_s)),
            "application_name": "hotfit",
            **url.query,
        },
    )

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        # UTC, so that zones of sessions and roles play no part; read-only, whatever rights we have.
        make_lenient(connection)
        connection.execute("SET TIME ZONE 'UTC'")
        connection.execute("SET default_transaction_read_only = on")
        connection.execute(f"SET statement_timeout = {round(timeout_s * 1000)}")
        connection.commit()

    return engine


def _sqlite_engine(url: sa.URL, timeout_s: float) -> sa.Engine:
    if not url.database or url.database == ":memory:":
        raise SourceMisconfigured(
            'url: expected a file as in "sqlite:///file.db"; a database in memory belongs to one'
            " process alone."
        )
    address = f"file:{quote(str(Path(url.database).absolute().as_posix()))}?mode=ro"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            address, uri=True, timeout=min(timeout_s, 5.0), check_same_thread=False
        )
        # SQLite does not insist on UTF-8, and one bad byte must not stop a stream.
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        connection.create_function(CONVERT, 2, convert, deterministic=True)
        deadline = time.monotonic() + timeout_s
        connection.set_progress_handler(lambda: int(time.monotonic() > deadline), 20_000)
        return connection

    # A connection for each read: a file that was replaced is then the new file.
    return sa.create_engine("sqlite://", creator=connect, poolclass=NullPool)
