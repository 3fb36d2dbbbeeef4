"""Applications' databases to read from, one class per kind, all written to by their own clients.

Knows nothing of what is asserted: the suite writes through a Place and reads through a Source.
"""

from __future__ import annotations

import json
import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Protocol

import grpc
import psutil
import psycopg
import pymysql

from retrain_service.sources import open_source
from retrain_service.sources.base import Source
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings
from tests.support.firestore_server import FirestoreServer
from tests.support.mariadb import DATABASE, MariadbServer
from tests.support.postgres import PostgresServer


class Place(ABC):
    """One collection named `appointments`, whose records have a time, a text and an object."""

    kind: ClassVar[str]
    collection = "appointments"
    step: ClassVar[timedelta] = timedelta(microseconds=1)
    """The least by which two times may differ there."""
    reads_whole_exports: ClassVar[bool] = False
    """Whether one answer holds everything: pages then come from memory, and need no time field."""

    waits_for_lag: ClassVar[bool] = True
    """Whether records younger than the lag, or dated in the future, are left for later."""

    def __init__(self) -> None:
        self._opened: list[Source] = []

    def source(
        self, *, lag_s: float = 0, deleted_field: str = "", timeout_s: float = 5, **stream: Any
    ) -> Source:
        settings = SourceSettings(**self.address(), lag_s=lag_s, timeout_s=timeout_s, page_size=5)
        found = open_source(
            settings,
            StreamSettings(collection=self.collection, deleted_field=deleted_field, **stream),
        )
        self._opened.append(found)
        return found

    def close(self) -> None:
        for source in self._opened:
            source.close()

    @abstractmethod
    def address(self) -> dict[str, Any]:
        """What the [sources.…] section says."""

    @abstractmethod
    def put(self, id_: str, at: datetime | None, note: Any = None, gone: bool = False) -> None:
        """Write or overwrite a record; `at` None leaves the cursor field out or empty."""

    @abstractmethod
    def delete(self, id_: str) -> None: ...

    @abstractmethod
    def outage(self) -> AbstractContextManager[None]:
        """The database cannot be reached inside the block; its data is there afterwards."""

    @abstractmethod
    def refusal(self) -> AbstractContextManager[None]:
        """The database answers inside the block, but not this reader or not this request."""

    @abstractmethod
    def n_connections(self) -> int:
        """How many connections our source holds open."""

    def put_many(self, records: Mapping[str, datetime]) -> None:
        for id_, at in records.items():
            self.put(id_, at)


def n_connections_to(port: int) -> int:
    """How many open connections this process has to that port."""
    found = psutil.Process().net_connections(kind="tcp")
    return sum(
        bool(each.raddr) and each.raddr.port == port and each.status == "ESTABLISHED"
        for each in found
    )


class Stoppable(Protocol):
    """A server that keeps its data and its address while it is stopped."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


@contextmanager
def stopped(server: Stoppable) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextmanager
def away(path: Path) -> Iterator[None]:
    """The application's file is not there; a source must not make one."""
    elsewhere = path.with_suffix(".away")
    path.rename(elsewhere)
    try:
        yield
    finally:
        assert not path.exists(), f"the source must never create {path.name}"
        elsewhere.rename(path)


class SqlitePlace(Place):
    kind = "sqlite"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / "app.db"
        with self._connected() as connection:
            connection.execute(
                "CREATE TABLE appointments (id TEXT PRIMARY KEY, updated_at TEXT, note TEXT,"
                " gone INTEGER)"
            )

    def address(self) -> dict[str, Any]:
        return {"kind": "sql", "url": f"sqlite:///{self.path}"}

    def put(self, id_: str, at: datetime | None, note: Any = None, gone: bool = False) -> None:
        text = None if at is None else at.astimezone(UTC).isoformat(timespec="microseconds")
        with self._connected() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO appointments VALUES (?, ?, ?, ?)",
                [id_, text, json.dumps(note), gone],
            )

    def put_many(self, records: Mapping[str, datetime]) -> None:
        with self._connected() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO appointments VALUES (?, ?, 'null', 0)",
                [(id_, at.isoformat(timespec="microseconds")) for id_, at in records.items()],
            )

    def delete(self, id_: str) -> None:
        with self._connected() as connection:
            connection.execute("DELETE FROM appointments WHERE id = ?", [id_])

    def outage(self) -> AbstractContextManager[None]:
        return away(self.path)

    @contextmanager
    def refusal(self) -> Iterator[None]:
        with self._connected() as connection:
            connection.execute("ALTER TABLE appointments RENAME TO something_else")
        try:
            yield
        finally:
            with self._connected() as connection:
                connection.execute("ALTER TABLE something_else RENAME TO appointments")

    def n_connections(self) -> int:
        opened = {Path(found.path).name for found in psutil.Process().open_files()}
        return len(opened & {self.path.name})

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path)) as connection:
            yield connection
            connection.commit()


class PostgresPlace(Place):
    kind = "postgresql"

    def __init__(self, server: PostgresServer) -> None:
        super().__init__()
        self.server = server
        self._run("DROP TABLE IF EXISTS appointments, something_else")
        self._run(
            "CREATE TABLE appointments (id TEXT PRIMARY KEY, updated_at TIMESTAMPTZ, note JSONB,"
            " gone BOOLEAN)"
        )

    def address(self) -> dict[str, Any]:
        return {"kind": "sql", "url": self.server.url()}

    def put(self, id_: str, at: datetime | None, note: Any = None, gone: bool = False) -> None:
        self._run(
            "INSERT INTO appointments VALUES (%s, %s, %s, %s) ON CONFLICT (id) DO UPDATE"
            " SET updated_at = excluded.updated_at, note = excluded.note, gone = excluded.gone",
            [id_, at, json.dumps(note), gone],
        )

    def put_many(self, records: Mapping[str, datetime]) -> None:
        with psycopg.connect(self.server.url()) as connection:
            connection.cursor().executemany(
                "INSERT INTO appointments VALUES (%s, %s, 'null', false)", list(records.items())
            )

    def delete(self, id_: str) -> None:
        self._run("DELETE FROM appointments WHERE id = %s", [id_])

    def outage(self) -> AbstractContextManager[None]:
        return stopped(self.server)

    @contextmanager
    def refusal(self) -> Iterator[None]:
        self._run("ALTER TABLE appointments RENAME TO something_else")
        try:
            yield
        finally:
            self._run("ALTER TABLE something_else RENAME TO appointments")

    def n_connections(self) -> int:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hotfit'"
        with psycopg.connect(self.server.url()) as connection:
            found = connection.execute(query).fetchone()
        assert found is not None
        return int(found[0])

    def _run(self, statement: str, parameters: list[Any] | None = None) -> None:
        with psycopg.connect(self.server.url()) as connection:
            connection.execute(statement, parameters)  # type: ignore[call-overload, unused-ignore]


class PostgresLogPlace(PostgresPlace):
    """Read by the log of its changes."""

    waits_for_lag = False

    def __init__(self, server: PostgresServer) -> None:
        super().__init__(server)
        self._run("DROP PUBLICATION IF EXISTS hotfit")
        self._run("CREATE PUBLICATION hotfit FOR TABLE appointments")

    def source(self, **settings: Any) -> Source:
        return super().source(read_by="log", slot="hotfit_appointments", **settings)

    def close(self) -> None:
        super().close()
        self._run("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


class MariadbPlace(Place):
    kind = "mariadb"

    def __init__(self, server: MariadbServer) -> None:
        super().__init__()
        self.server = server
        self._run("DROP TABLE IF EXISTS appointments, something_else")
        self._run(
            "CREATE TABLE appointments (id VARCHAR(40) PRIMARY KEY, updated_at DATETIME(6),"
            " note JSON, gone TINYINT(1)) CHARACTER SET utf8mb4"
        )

    def address(self) -> dict[str, Any]:
        return {"kind": "sql", "url": self.server.url()}

    def put(self, id_: str, at: datetime | None, note: Any = None, gone: bool = False) -> None:
        naive = None if at is None else at.astimezone(UTC).replace(tzinfo=None)
        self._run(
            "REPLACE INTO appointments VALUES (%s, %s, %s, %s)",
            [id_, naive, json.dumps(note), gone],
        )

    def put_many(self, records: Mapping[str, datetime]) -> None:
        rows = [(id_, at.astimezone(UTC).replace(tzinfo=None)) for id_, at in records.items()]
        with self.connected() as connection, connection.cursor() as cursor:
            cursor.executemany("INSERT INTO appointments VALUES (%s, %s, 'null', 0)", rows)

    def delete(self, id_: str) -> None:
        self._run("DELETE FROM appointments WHERE id = %s", [id_])

    def outage(self) -> AbstractContextManager[None]:
        return stopped(self.server)

    @contextmanager
    def refusal(self) -> Iterator[None]:
        self._run("RENAME TABLE appointments TO something_else")
        try:
            yield
        finally:
            self._run("RENAME TABLE something_else TO appointments")

    def n_connections(self) -> int:
        return n_connections_to(self.server.port)

    def _run(self, statement: str, parameters: list[Any] | None = None) -> None:
        with self.connected() as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)

    @contextmanager
    def connected(self) -> Iterator[pymysql.Connection[Any]]:
        with pymysql.connect(
            host="127.0.0.1",
            port=self.server.port,
            user="app",
            password="secret",
            database=DATABASE,
            charset="utf8mb4",
            autocommit=True,
        ) as connection:
            yield connection


class FirestorePlace(Place):
    kind = "firestore"

    def __init__(self, server: FirestoreServer) -> None:
        super().__init__()
        self.server = server
        self.client = server.client()
        self.documents = self.client.collection(self.collection)

    def address(self) -> dict[str, Any]:
        assert os.environ["FIRESTORE_EMULATOR_HOST"] == self.server.host
        return {"kind": "firestore", "project": self.server.project}

    def put(self, id_: str, at: datetime | None, note: Any = None, gone: bool = False) -> None:
        fields = {"note": note, "gone": gone}
        self.documents.document(id_).set(fields if at is None else {"updated_at": at, **fields})

    def delete(self, id_: str) -> None:
        self.documents.document(id_).delete()

    def outage(self) -> AbstractContextManager[None]:
        return stopped(self.server)

    @contextmanager
    def refusal(self) -> Iterator[None]:
        with self.server.faults.fail(grpc.StatusCode.PERMISSION_DENIED):
            yield

    def n_connections(self) -> int:
        return n_connections_to(self.server.port)

    def close(self) -> None:
        super().close()
        self.client._firestore_api.transport.close()
