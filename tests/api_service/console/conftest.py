"""A home with real versions and a past, and a client of the real application without a server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from api_service.app import create_app
from api_service.config.serving import ServingConfig
from api_service.context import Context
from api_service.reload_manager import ReloadManager
from api_service.serving_slot import ServingTable
from api_service.web.auth import KeyRing
from shared.keys.api_keys import Role, ensure_api_keys
from shared.keys.console_secret import ensure_console_secret
from shared.keys.signing import VerifyKey
from tests.api_service.conftest import serving_config
from tests.support.versions import ServingHome, tiny_workload_known

HTML = {"Accept": "text/html"}


class Desk:
    """One worker's parts without its threads, and a browser without a screen.

    now : the clock of the application; a test may set it.
    """

    def __init__(
        self, directory: Path, config: ServingConfig | None = None, **changed: Any
    ) -> None:
        """config : of a home that is there already; else a new one below `directory`."""
        self.config = config or serving_config(directory / "home", **changed)
        self.home = ServingHome(self.config.models_dir.parent.parent)
        ensure_api_keys(self.config.keys_dir)
        ensure_console_secret(self.config.keys_dir)
        self.now = datetime.now(UTC)
        self.table, self.ring = ServingTable(), KeyRing(self.config.keys_dir)
        self.manager = ReloadManager(
            self.home.store,
            self.table,
            partial(VerifyKey.read, self.config.public_key_path),
            drain_timeout_s=self.config.drain_timeout_s,
            configured=self.config.workloads,
            on_change=lambda: None,
        )
        self.tick()

    def tick(self) -> None:
        """What the reload thread would do."""
        self.ring.refresh()
        self.manager.tick(self.now)

    def client(self) -> FlaskClient:
        context = Context(self.config, self.table, self.home.store, self.ring, lambda: self.now)
        return create_app(context).test_client()

    def key(self, role: Role = Role.ADMIN) -> str:
        return (self.config.keys_dir / f"{role}.key").read_text().strip()

    def sign_in(self, client: FlaskClient, role: Role = Role.ADMIN) -> None:
        answer = client.post("/console/sign-in", data={"key": self.key(role)}, headers=HTML)
        assert answer.status_code == 303, answer.text


@pytest.fixture(autouse=True)
def _tiny_workload() -> Iterator[None]:
    with tiny_workload_known():
        yield


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)
