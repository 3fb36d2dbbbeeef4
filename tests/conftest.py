"""Fixtures that start something real: a Firestore server of ours, a PostgreSQL cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.firestore_server import FirestoreServer
from tests.support.postgres import PostgresServer, find_binaries, running_postgres


@pytest.fixture
def firestore_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FirestoreServer]:
    """An empty Firestore; the environment of this process points to it."""
    with FirestoreServer() as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One cluster for the session; skipped where PostgreSQL is not installed."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with running_postgres(binaries) as server:
        yield server
