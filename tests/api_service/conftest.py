"""A home with real signed versions, a reload manager on it, and a client of the real app."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from api_service.app import create_app
from api_service.config.listen_address import Address
from api_service.config.serving import ServingConfig
from api_service.context import Context
from api_service.reload_manager import ReloadManager
from api_service.serving_slot import ServingTable
from api_service.web.auth import KeyRing
from shared.exchange.worker_report import ServingReport
from shared.keys.api_keys import Role, ensure_api_keys
from shared.keys.signing import VerifyKey
from tests.support.versions import ServingHome, tiny_workload_known

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class Serving:
    """One worker's parts without its threads: `tick` is what the reload thread would do."""

    def __init__(self, home: ServingHome, config: ServingConfig) -> None:
        self.home = home
        self.store = home.reading() if home.is_signed else home.store
        self.config = config
        self.table = ServingTable(lambda slot: self.manager.open_cold(slot.name, NOW))
        self.ring = KeyRing(config.keys_dir)
        self.n_published = 0
        self.manager = ReloadManager(
            self.store,
            self.table,
            partial(VerifyKey.read, config.public_key_path),
            drain_timeout_s=config.drain_timeout_s,
            configured=config.workloads,
            on_change=self._count,
            preload=config.preload,
        )

    def _count(self) -> None:
        self.n_published += 1

    def tick(self) -> None:
        self.ring.refresh()
        self.manager.tick(NOW)

    def version(self, model: str = "m") -> str | None:
        live = self.table.slot(model).current()
        return live.version if live else None

    def report(self, model: str = "m") -> ServingReport:
        return self.manager.reports[model]

    def client(self) -> FlaskClient:
        app = create_app(Context(self.config, self.table, self.store, self.ring, lambda: NOW))
        return app.test_client()


def serving_config(
    home: Path, *, host: str = "127.0.0.1", default_model: str = "", workers: int = 1
) -> ServingConfig:
    return ServingConfig(
        models_dir=home / "models",
        reports_dir=home / "reports",
        requests_dir=home / "requests",
        keys_dir=home / "keys",
        run_log_path=home / "run_log.sqlite",
        public_key_path=home / "keys" / "signing.pub",
        address=Address(host, host, 5000),
        workers=workers,
        default_model=default_model,
        workloads={"m": "tiny"},
        allowed_hosts=("models.example.org",),
        reconcile_interval_s=0.1,
        drain_timeout_s=0.2,
        max_request_bytes=10_000,
        log_format="text",
    )


@pytest.fixture(autouse=True)
def _tiny_workload() -> Iterator[None]:
    with tiny_workload_known():
        yield


@pytest.fixture
def home(tmp_path: Path) -> ServingHome:
    return ServingHome(tmp_path)


@pytest.fixture
def serving(home: ServingHome) -> Serving:
    return Serving(home, serving_config(home.path))


@pytest.fixture
def admin(serving: Serving) -> dict[str, str]:
    """Headers with the admin key."""
    ensure_api_keys(serving.config.keys_dir)
    serving.tick()
    key = (serving.config.keys_dir / f"{Role.ADMIN}.key").read_text().strip()
    return {"Authorization": f"Bearer {key}"}
