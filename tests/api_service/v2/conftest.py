"""One worker over a model of every dtype, and the same model in a real process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from shared.keys.api_keys import Role, ensure_api_keys
from tests.api_service.conftest import Serving
from tests.shared.workloads.garage import demand, rows_of
from tests.support.api_process import ApiHome
from tests.support.mixed_versions import ROWS, publish_mixed
from tests.support.product_versions import publish_products
from tests.support.versions import ServingHome, tiny_workload_known

DATATYPES = {"temperature": "FP64", "hour": "INT64", "is_open": "BOOL", "colour": "BYTES"}


@pytest.fixture
def client(home: ServingHome, serving: Serving) -> FlaskClient:
    """A model `mixed`, one of an entity, and one of a single column."""
    publish_mixed(home, "mixed")
    publish_mixed(home, "mixed/shop-1", 2)
    home.publish("m", 7)
    serving.tick()
    return serving.client()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiHome]:
    """The daemon with one worker, serving the same models, with keys."""
    home = ApiHome(tmp_path_factory.mktemp("v2"), workers=1)
    with tiny_workload_known():
        ensure_api_keys(home.path / "keys")
        publish_mixed(home, "mixed")
        publish_mixed(home, "mixed/shop-1", 2)
        rows = rows_of(demand(120, n_parts=4))
        publish_products(home, "spare_parts", "spare_parts", 1, rows)
        version = home.publish("m", 7)
        with home.running():
            home.wait_until_served(version, workers=1)
            yield home


@pytest.fixture(scope="module")
def admin_key(running: ApiHome) -> dict[str, str]:
    key = (running.path / "keys" / f"{Role.ADMIN}.key").read_text().strip()
    return {"X-API-Key": key}


def columns() -> list[dict[str, Any]]:
    """ROWS as one tensor a feature, in JSON."""
    return [
        {"name": name, "shape": [len(ROWS)], "datatype": of, "data": [row[name] for row in ROWS]}
        for name, of in DATATYPES.items()
    ]
