"""Fixtures that start something real: servers of ours, and of others, on loopback ports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import elasticsearch, mariadb, mongodb, prometheus
from tests.support.export_server import ExportServer
from tests.support.firestore_server import FirestoreServer
from tests.support.postgres import PostgresServer, find_binaries, running_postgres
from tests.support.prometheus_store import PrometheusStore, running_prometheus_store


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


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[mariadb.MariadbServer]:
    """One server for the session; skipped where MariaDB is not installed."""
    binary = mariadb.find_binary()
    if binary is None:
        pytest.skip("MariaDB is not installed (Debian: apt-get install mariadb-server-core)")
    with mariadb.running_mariadb(binary) as server:
        yield server


@pytest.fixture(scope="session")
def mongodb_server() -> Iterator[mongodb.MongoServer]:
    """One server for the session; skipped where it has no build."""
    if not mongodb.is_there():
        pytest.skip(mongodb.WHY_NOT)
    with mongodb.running_mongodb() as server:
        yield server


@pytest.fixture(scope="session")
def elasticsearch_server() -> Iterator[elasticsearch.ElasticsearchServer]:
    """One server for the session; skipped where it has no build."""
    binary = elasticsearch.find_binary()
    if binary is None:
        pytest.skip("noida-db is not installed (it has no build for this machine)")
    with elasticsearch.running_elasticsearch(binary) as server:
        yield server


@pytest.fixture(scope="session")
def prometheus_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusStore]:
    """One server for the session; skipped where Prometheus is not installed."""
    if not prometheus.is_there():
        pytest.skip(prometheus.WHY_NOT)
    with running_prometheus_store(tmp_path_factory.mktemp("prometheus")) as store:
        yield store


@pytest.fixture
def export_server() -> Iterator[ExportServer]:
    """An empty HTTP export with the lists "appointments" and "products"."""
    with ExportServer() as server:
        yield server
