"""Models that are closed until somebody asks: what every route that asks them answers."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.keys.api_keys import Role, ensure_api_keys
from shared.workloads.product_recommender.workload import ProductRecommender
from tests.api_service.conftest import Serving, serving_config
from tests.shared.workloads import garage, shop
from tests.support.product_versions import publish_products
from tests.support.versions import ServingHome, write_signal

WORKLOADS = {"goods": "product_recommender", "parts": "spare_parts", "servers": "server_metrics"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the versions are made once; each test works on a copy."""
    directory = tmp_path_factory.mktemp("closed")
    home = ServingHome(directory)
    rows = shop.rows_of(ProductRecommender({}), shop.products(), shop.events())
    publish_products(home, "goods", "product_recommender", 1, rows)
    publish_products(home, "parts", "spare_parts", 1, garage.rows_of(garage.demand(120, n_parts=4)))
    home.publish("m", 1)
    return directory


@pytest.fixture
def home(made: Path, tmp_path: Path) -> ServingHome:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return ServingHome(tmp_path)


@pytest.fixture
def closed(home: ServingHome) -> Serving:
    """A worker whose models are all closed; the first by name has no version yet."""
    return _serving(home, {"a_new_garage": "spare_parts", **WORKLOADS})


def _serving(home: ServingHome, workloads: dict[str, str]) -> Serving:
    config = replace(serving_config(home.path), preload=0, workloads=workloads)
    serving = Serving(home, config)
    serving.tick()
    return serving


def _is_open(serving: Serving, model: str) -> bool:
    return serving.table.slot(model).live is not None


@pytest.mark.parametrize(
    ("method", "path", "model"),
    [
        ("POST", "/forecast_restock_demand", "parts"),
        ("GET", "/parts?model=parts", "parts"),
        ("GET", "/recommendations/popular", "goods"),
        ("GET", "/recommendations/product/p003?model=goods", "goods"),
        ("GET", "/api/recommendations/user/u001", "goods"),
        ("POST", "/models/m/predict", "m"),
        ("GET", "/v2/models/m", "m"),
        ("GET", "/v2/models/m/ready", "m"),
    ],
)
def test_a_closed_model_is_opened_by_whoever_asks_it(
    closed: Serving, method: str, path: str, model: str
) -> None:
    """That it was closed is our business, not the caller's."""
    assert not _is_open(closed, model)

    answer = closed.client().open(path, method=method, json={} if method == "POST" else None)

    assert answer.status_code == 200
    assert _is_open(closed, model)
    assert not any(_is_open(closed, other) for other in ("goods", "parts", "m") if other != model)


def test_a_closed_model_that_is_not_configured_here_is_known_by_its_manifest(
    home: ServingHome, closed: Serving
) -> None:
    """An API may serve a store that another machine trains."""
    serving = _serving(home, {})

    popular: Any = serving.client().get("/recommendations/popular")

    assert popular.status_code == 200
    assert popular.json["model"] == "goods"


def test_looking_for_who_can_answer_is_no_use_of_the_others(closed: Serving) -> None:
    """Else the models longest unused are not known, and the wrong ones are closed."""
    client = closed.client()
    assert client.get("/recommendations/popular").status_code == 200
    assert client.get("/parts").status_code == 200
    closed.tick()

    for path in ("/recommendations/popular", "/parts?model=parts", "/v2/repository/index"):
        method = "POST" if path.startswith("/v2") else "GET"
        assert client.open(path, method=method).status_code == 200
        used = [slot.name for slot in closed.table if slot.is_used]
        assert used == {"GET": ["goods" if "popular" in path else "parts"], "POST": []}[method]
        closed.tick()


def test_v2_lists_a_closed_model_as_ready_and_loads_it_without_a_new_generation(
    home: ServingHome, closed: Serving
) -> None:
    """It is ready as others are: the next request is answered by it."""
    client = closed.client()

    listed: Any = client.post("/v2/repository/index", json={"ready": True}).json
    loaded = client.post("/v2/repository/models/m/load", headers=_admin(closed))

    assert [(one["name"], one["state"]) for one in listed] == [
        ("goods", "READY"),
        ("m", "READY"),
        ("parts", "READY"),
    ]
    assert loaded.status_code == 200
    assert _is_open(closed, "m")
    assert not closed.config.requests_dir.exists()


def test_a_closed_model_shows_its_manifest_without_being_opened(closed: Serving) -> None:
    """What it takes can be read before the first request."""
    shown: Any = closed.client().get("/models/m").json

    assert (shown["loaded"], shown["manifest"]["model"]) == (False, "m")
    assert [feature["name"] for feature in shown["manifest"]["features"]] == ["x"]
    assert not _is_open(closed, "m")


def test_reloading_a_closed_model_under_the_old_path_says_what_served_before(
    home: ServingHome, closed: Serving
) -> None:
    """Opened first, so that the swap is seen."""
    first = home.publish("servers", 1)
    second = home.publish("servers", 2)
    closed.tick()

    answer: Any = closed.client().post(
        f"/admin/reload-model?version={first}", headers=_admin(closed)
    )
    write_signal(home.store, "servers", first)
    closed.tick()

    assert answer.status_code == 202
    assert answer.json["previous_model"] == second
    assert closed.version("servers") == first


def _admin(serving: Serving) -> dict[str, str]:
    ensure_api_keys(serving.config.keys_dir)
    serving.tick()
    return {"X-API-Key": (serving.config.keys_dir / f"{Role.ADMIN}.key").read_text().strip()}
