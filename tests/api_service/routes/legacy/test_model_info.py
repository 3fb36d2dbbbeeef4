"""What clients of earlier systems read of a model: their documented requests and answers."""

from __future__ import annotations

from typing import Any

import pytest

from shared.run_log.run import RunStatus
from shared.workloads.product_recommender.workload import ProductRecommender
from tests.api_service.routes.test_aliases import (
    _ask_and_answer,
    key,
    log,
    serving_of,
)
from tests.api_service.routes.test_models import run
from tests.shared.workloads.shop import events, products, rows_of
from tests.support.product_versions import publish_products
from tests.support.versions import ServingHome


def test_the_recommenders_model_is_trained_or_not(home: ServingHome) -> None:
    """`status` and `num_products` are all that its client looks at."""
    before: Any = serving_of(home).client().get("/api/model/info").json
    rows = rows_of(ProductRecommender({}), products(), events())
    version = publish_products(home, "goods", "product_recommender", 3, rows)

    info: Any = serving_of(home).client().get("/api/model/info").json

    assert before["status"] == "not_trained"
    assert "num_products" not in before
    assert (info["status"], info["num_products"]) == ("trained", 80)
    assert info["num_features"] > 0
    assert info["model_path"] == f"models/goods/versions/{version}"


def test_no_stored_version_is_an_empty_list_and_no_error(home: ServingHome) -> None:
    """An operator's page asks before the first training."""
    client = serving_of(home).client()

    models = client.get("/admin/models")
    info: Any = client.get("/admin/model-info").json
    device: Any = client.get("/api/ml/model/current").json

    assert models.status_code == 200
    assert models.json == {
        "models": [],
        "total": 0,
        "count": 0,
        "models_dir": "models/servers/versions",
        "current_model": None,
    }
    assert (info["loaded"], info["model_path"], info["loaded_at"]) == (False, None, None)
    assert device == {"model_exists": False}


def test_models_of_servers_have_the_fields_of_their_page(home: ServingHome) -> None:
    """Path, size, time and which one serves; `loaded_at` tells that a reload has happened."""
    first, second = home.publish("servers", 1), home.publish("servers", 2)
    client = serving_of(home).client()

    listed: Any = client.get("/admin/models").json
    info: Any = client.get("/admin/model-info").json

    assert (listed["count"], listed["current_model"]) == (2, f"models/servers/versions/{second}")
    assert [one["name"] for one in listed["models"]] == [second, first]
    assert listed["models"][0]["timestamp"] == "20261101_100000"
    assert set(listed["models"][0]) >= {"path", "name", "timestamp", "is_current", "size_mb"}
    assert (info["loaded"], info["model_name"]) == (True, second)
    assert info["model_path"] == f"models/servers/versions/{second}"
    assert info["loaded_at"]
    assert info["training_config"]["epochs"] == 1
    assert info["servers"] == {"total": 0, "known": 0}


def test_a_version_that_cannot_be_read_is_listed_all_the_same(home: ServingHome) -> None:
    """One broken manifest must not hide the others."""
    first, second = home.publish("servers", 1), home.publish("servers", 2)
    (home.store.version_dir("servers", first) / "manifest.json").write_text("{}")

    listed: Any = serving_of(home).client().get("/admin/models").json

    assert [one["name"] for one in listed["models"]] == [second, first]


def test_the_model_of_a_device_says_where_it_lies_and_how_good_it_is(home: ServingHome) -> None:
    """As the pointer file of that system did."""
    version = home.publish("solar/roof-1", 1)

    found: Any = serving_of(home).client().get("/api/ml/model/current").json

    assert (found["model_exists"], found["version"]) == (True, version)
    assert found["model_path"] == f"models/solar/roof-1/versions/{version}"
    assert found["metrics"] == {"mae": 1.0}
    assert found["updated_at"]


@pytest.mark.parametrize(
    ("status", "of_servers", "of_devices"),
    [
        (RunStatus.SUCCEEDED, "completed", "success"),
        (RunStatus.SKIPPED, "completed", "success"),
        (RunStatus.FAILED, "failed", "failed"),
        (RunStatus.CANCELLED, "cancelled", "failed"),
        (RunStatus.ABANDONED, "failed", "failed"),
        (RunStatus.RUNNING, "running", "running"),
    ],
)
def test_a_run_ends_in_the_words_that_clients_wait_for(
    home: ServingHome, status: RunStatus, of_servers: str, of_devices: str
) -> None:
    """Their loops end at these words, and at no other."""
    serving = serving_of(home)
    log(serving, "servers", run("s", 1, status))
    log(serving, "solar/roof-1", run("d", 2, status))
    client = serving.client()

    job: Any = client.get("/admin/training-status?job_id=s").json
    device_run: Any = client.get("/api/ml/runs/d").json
    page: Any = client.get("/api/ml/runs?limit=10&skip=0").json
    beyond: Any = client.get("/api/ml/runs?limit=10&skip=1").json

    assert (job["status"], job["epochs"], job["incremental"]) == (of_servers, 1, False)
    assert device_run["status"] == page["runs"][0]["status"] == of_devices
    assert beyond["runs"] == []


def test_blocking_waits_for_the_end_of_the_training(home: ServingHome) -> None:
    """`blocking=true` of the old path is `wait` of the new one."""
    serving = serving_of(home)

    answer = _ask_and_answer(
        serving,
        lambda client: client.post(
            "/admin/trigger-training?epochs=10&incremental=true&blocking=true", headers=key(serving)
        ),
        "servers",
        RunStatus.SUCCEEDED,
    )

    assert answer.status_code == 200
    assert (answer.json["success"], answer.json["status"]) == (True, "completed")
    assert (answer.json["epochs"], answer.json["incremental"]) == (10, True)


def test_a_refusal_says_so_in_the_fields_that_clients_print(home: ServingHome) -> None:
    """`success` and `error`, beside the problem that every route answers with."""
    serving = serving_of(home)

    answer = serving.client().post("/admin/reload-model", headers=key(serving))

    assert answer.status_code == 409
    assert answer.json is not None
    assert answer.json["success"] is False
    assert "no version of servers has been promoted yet" in answer.json["error"]
    assert answer.json["detail"] == answer.json["error"]
