"""The paths that existing clients call: which model they mean, their keys, the fields they read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from api_service.config.feed import FedModel, FeedConfig
from api_service.routes.aliases import ALIASES
from shared.exchange.control_request import Request
from shared.exchange.event_burst import EventBurst
from shared.exchange.json_files import read_struct
from shared.keys.api_keys import Role, ensure_api_keys
from shared.run_log.run import RunStatus
from shared.run_log.writer import RunLog
from shared.versions.model_names import entity_name, full_name
from shared.workloads.product_recommender.workload import ProductRecommender
from tests.api_service.conftest import NOW, Serving, serving_config
from tests.api_service.routes.test_health import write_retrain_report
from tests.api_service.routes.test_models import run
from tests.shared.workloads.shop import events, products, rows_of
from tests.support.product_versions import publish_products
from tests.support.versions import ServingHome, write_signal
from tests.support.waiting import wait_until

MODELS = {
    "alike": "product_similarity",
    "goods": "product_recommender",
    "solar": "solar_power",
    "servers": "server_metrics",
}


def serving_of(home: ServingHome, **workloads: str) -> Serving:
    """A worker that is configured for these models; all of them are fed."""
    models = workloads or MODELS
    fed = {name: FedModel(own, {}, "fed", "feed", {}) for name, own in models.items()}
    config = replace(
        serving_config(home.path),
        workloads=models,
        feed=FeedConfig(path=home.path / "feed.sqlite", retention_days=0, models=fed),
    )
    ensure_api_keys(config.keys_dir)
    found = Serving(home, config)
    found.tick()
    return found


@pytest.fixture
def five(home: ServingHome) -> Serving:
    return serving_of(home)


def key(serving: Serving, role: Role = Role.ADMIN) -> dict[str, str]:
    return {"X-API-Key": (serving.config.keys_dir / f"{role}.key").read_text().strip()}


def log(serving: Serving, model: str, *runs: Any) -> None:
    found = RunLog.open(serving.config.run_log_path)
    for one in runs:
        found.add_run(replace(one, model=model))
    found.close()


def know_device(serving: Serving, device_id: str) -> None:
    """A device that has a version."""
    serving.home.publish(full_name("solar", entity_name(device_id)), 1)
    serving.tick()


def the_request(serving: Serving, n: int = 1) -> Request:
    """The newest of `n` requests in the box."""
    paths = sorted(serving.config.requests_dir.glob("2*.json"))
    assert len(paths) == n
    request = read_struct(paths[-1], Request)
    assert request is not None
    return request


def test_every_alias_that_changes_something_needs_its_key(five: Serving) -> None:
    """An old path must not be a way around the key of the new one."""
    client = five.client()
    checked = []

    for alias in ALIASES:
        path = alias.path.replace("<run_id>", "x").replace("<path:product_id>", "x")
        if alias.method != "GET":
            without = client.open(path, method=alias.method)
            lesser = client.open(path, method=alias.method, headers=key(five, Role.PREDICT))
            needed = 202 if path == "/train" else 401  # of a program on this machine
            assert (without.status_code, lesser.status_code) == (needed, 403), path
            checked.append(path)

    assert len(checked) == 7
    assert len(list(five.config.requests_dir.iterdir())) == 1


def test_off_loopback_every_alias_needs_a_key(home: ServingHome, five: Serving) -> None:
    """As every other route does there."""
    address = serving_config(home.path, host="192.0.2.1").address
    five.config = replace(five.config, address=address)
    client = five.client()

    for alias in ALIASES:
        path = alias.path.replace("<", "").replace(">", "").replace("path:", "")
        assert client.open(path, method=alias.method).status_code == 401, path


@pytest.mark.parametrize(
    ("method", "path", "workload"),
    [
        ("POST", "/train", "product_similarity"),
        ("POST", "/api/retrain", "product_recommender"),
        ("GET", "/api/recommendations/popular", "product_recommender"),
        ("GET", "/api/model/info", "product_recommender"),
        ("POST", "/api/ml/retrain", "solar_power"),
        ("GET", "/api/ml/runs", "solar_power"),
        ("GET", "/admin/training-stats", "server_metrics"),
        ("POST", "/admin/trigger-training", "server_metrics"),
    ],
)
def test_an_unclear_model_is_refused_with_the_names_there_are(
    home: ServingHome, method: str, path: str, workload: str
) -> None:
    """To train the wrong one of two models would be worse than to ask back."""
    several = serving_of(home, one=workload, two=workload)
    none = serving_of(home, m="tiny")

    unclear = several.client().open(path, method=method, headers=key(several))
    missing = none.client().open(path, method=method, headers=key(none))
    foreign = none.client().open(f"{path}?model=m", method=method, headers=key(none))

    assert (unclear.status_code, missing.status_code, foreign.status_code) == (400, 404, 404)
    assert "one of the models one, two" in unclear.get_data(as_text=True)
    assert "m (tiny)" in missing.get_data(as_text=True)
    if method == "POST":
        named = several.client().post(f"{path}?model=two", headers=key(several))
        assert named.status_code == 202


# -- product similarity ---------------------------------------------------------------------------


def test_train_is_an_event_so_that_a_burst_is_one_training(five: Serving) -> None:
    """A shop that saves a thousand products calls it a thousand times, and waits for none."""
    answers = [five.client().post("/train", headers=key(five, Role.FEED)) for _ in range(5)]

    assert {answer.status_code for answer in answers} == {202}
    assert answers[0].json is not None
    assert answers[0].json["success"] is True
    (path,) = five.config.requests_dir.iterdir()
    burst = read_struct(path, EventBurst)
    assert burst is not None
    assert (burst.model, burst.n) == ("alike", 5)


def _ask_and_answer(
    five: Serving, ask: Callable[[FlaskClient], Any], model: str, status: RunStatus, **changes: Any
) -> Any:
    """Ask for a training that waits, and end the run as the retrain daemon would."""
    write_retrain_report(five)  # a daemon that does not run is not waited for
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(ask(five.client())))
    asking.start()
    wait_until(lambda: list(five.config.requests_dir.glob("2*.json")), 10, "the request")
    log(five, model, run(the_request(five).id, 1, status, **changes))
    asking.join(15)
    return answers[0]


def test_train_with_wait_says_how_many_products_there_are(five: Serving) -> None:
    """Who waits trains at once, past the brakes: that takes the admin's key."""
    refused = five.client().post("/train?wait=20", headers=key(five, Role.FEED))
    answer = _ask_and_answer(
        five,
        lambda client: client.post("/train", json={"wait": 20}, headers=key(five)),
        "alike",
        RunStatus.SUCCEEDED,
    )

    assert refused.status_code == 403
    assert answer.status_code == 200
    assert answer.json["products_count"] == 100
    assert (answer.json["success"], answer.json["status"]) == (True, "succeeded")


def test_a_training_that_failed_is_no_success(five: Serving) -> None:
    """The field is what old clients look at."""
    answer = _ask_and_answer(
        five,
        lambda client: client.post("/train", json={"wait": 20}, headers=key(five)),
        "alike",
        RunStatus.FAILED,
        error="out of memory",
    )

    assert (answer.json["success"], answer.json["message"]) == (False, "out of memory")


# -- recommender ---------------------------------------------------------------------------


def test_api_retrain_is_a_training_of_so_many_days(five: Serving) -> None:
    """`?days=` of the old path is `days` of the new one."""
    answer = five.client().post("/api/retrain?days=30", headers=key(five))
    wrong = five.client().post("/api/retrain?days=many", headers=key(five))

    assert answer.status_code == 202
    assert set(answer.json or {}) >= {"success", "job_id", "status", "message"}
    request = the_request(five)
    assert (request.model, request.options, request.id) == (
        "goods",
        {"days": 30},
        (answer.json or {})["job_id"],
    )
    assert wrong.status_code == 400


def test_recommendations_are_the_same_under_the_old_paths(home: ServingHome) -> None:
    """And come from the recommender, also where a model of similarity serves beside it."""
    rows = rows_of(ProductRecommender({}), products(), events())
    publish_products(home, "goods", "product_recommender", 3, rows)
    serving = serving_of(home)
    client = serving.client()

    for path in ("product/p003?n=3", "user/u001?n=3", "popular?n=3"):
        old: Any = client.get(f"/api/recommendations/{path}").json
        new: Any = client.get(f"/recommendations/{path}&model=goods").json
        assert old == new
        assert set(old["recommendations"][0]) >= {
            "product_id",
            "name",
            "category",
            "price",
            "rating",
            "similarity_score",
        }
    info: Any = client.get("/api/model/info").json
    assert (info["name"], info["version"]) == ("goods", "v000003-20261101T110000Z")


def test_the_training_data_come_in_pages_with_products_and_interactions(five: Serving) -> None:
    """Another service trains from it: whole, page by page, and 304 when nothing has changed."""
    client = five.client()
    feed = key(five, Role.FEED)
    for stream, rows in (("products", products()[:5]), ("interactions", events()[:3])):
        path = f"/models/goods/records?stream={stream}"
        assert client.post(path, json=rows, headers=feed).status_code == 200
    path = "/api/products/training_data/?days=90&format=json"

    whole = client.get(path)
    unchanged = client.get(path, headers={"If-None-Match": whole.headers["ETag"]})
    pages: list[Any] = [client.get(f"{path}&limit=2").json]
    while "next" in pages[-1]:
        pages.append(client.get(pages[-1]["next"]).json)

    assert whole.json is not None
    assert (len(whole.json["products"]), len(whole.json["interactions"])) == (5, 3)
    assert whole.json["metadata"]["total"] == {"products": 5, "interactions": 3}
    assert unchanged.status_code == 304
    for name in ("products", "interactions"):
        assert [one for page in pages for one in page[name]] == whole.json[name]
    assert client.get("/api/products/training_data/?format=xml").status_code == 400


# -- solar power ---------------------------------------------------------------------------


def test_a_device_is_retrained_by_its_id(five: Serving) -> None:
    """The id of the application, not our name for it."""
    body = {"device_id": "Roof 1", "days": 7, "background": True}
    know_device(five, "Roof 1")

    unknown = five.client().post("/api/ml/retrain", json={"device_id": "R2"}, headers=key(five))
    answer = five.client().post("/api/ml/retrain", json=body, headers=key(five))
    wrong = five.client().post("/api/ml/retrain", json={"background": 1}, headers=key(five))

    assert unknown.status_code == 404
    assert "solar/roof-1-" in unknown.get_data(as_text=True)
    assert answer.status_code == 202
    assert the_request(five).model.startswith("solar/roof-1-")
    assert the_request(five).options == {"days": 7}
    assert wrong.status_code == 400


def test_in_the_foreground_the_answer_is_how_it_ended(five: Serving) -> None:
    """`background: false` waits."""
    body = {"device_id": "roof-1", "background": False}
    know_device(five, "roof-1")

    answer = _ask_and_answer(
        five,
        lambda client: client.post("/api/ml/retrain", json=body, headers=key(five)),
        "solar/roof-1",
        RunStatus.SUCCEEDED,
        verdict="better",
    )

    assert (answer.status_code, answer.json["message"]) == (200, "better")


def test_runs_of_devices_are_listed_in_pages_and_of_no_other_model(five: Serving) -> None:
    """`model_runs` over HTTP."""
    details = {"rows": 100, "days": 7, "metrics": {"candidate": {"mae": 2.0}}}
    for n in range(3):
        log(five, f"solar/roof-{n}", run(f"r{n}", n, RunStatus.SUCCEEDED, details=details))
    log(five, "solaris", run("other", 5, RunStatus.FAILED))
    client = five.client()

    page: Any = client.get("/api/ml/runs?limit=2").json
    rest: Any = client.get(page["next"]).json
    of_one: Any = client.get("/api/ml/runs?device_id=roof-1").json
    one: Any = client.get("/api/ml/runs/r1").json

    assert [each["run_id"] for each in page["runs"] + rest["runs"]] == ["r2", "r1", "r0"]
    assert (page["total"], of_one["total"]) == (3, 1)
    assert one == of_one["runs"][0]
    assert (one["device_id"], one["days_used"], one["rows_used"], one["mae"]) == (
        "roof-1",
        7,
        100,
        2.0,
    )
    assert set(one) >= {
        "trained_at",
        "rmse",
        "r2",
        "train_samples",
        "test_samples",
        "features",
        "model_path",
        "status",
        "error",
        "promoted",
    }
    assert client.get("/api/ml/runs/none").status_code == 404


def test_a_run_is_forgotten_under_the_old_path(five: Serving) -> None:
    """The same request as DELETE /runs/<run_id>."""
    log(five, "solar/roof-1", run("r1", 1, RunStatus.FAILED))

    answer = five.client().delete("/api/ml/runs/r1", headers=key(five))

    assert answer.status_code == 202
    assert (the_request(five).kind, the_request(five).run_id) == ("forget", "r1")


def test_the_current_model_of_a_device_is_named_or_the_only_one(
    tmp_path: Path, home: ServingHome
) -> None:
    """With two devices and no name the answer says which there are."""
    home.publish("solar/roof-1", 1)
    one: Any = serving_of(home).client().get("/api/ml/model/current").json
    home.publish("solar/roof-2", 1)
    client = serving_of(home).client()

    named: Any = client.get("/api/ml/model/current?device_id=roof-2").json
    unclear = client.get("/api/ml/model/current")

    assert (one["name"], named["name"]) == ("solar/roof-1", "solar/roof-2")
    assert unclear.status_code == 400
    assert "roof-1, roof-2" in unclear.get_data(as_text=True)


# -- server metrics ---------------------------------------------------------------------------


def test_trigger_training_takes_epochs_and_incremental(five: Serving) -> None:
    """`epochs` is accepted and of no effect: this model is fitted in one pass."""
    path = "/admin/trigger-training?epochs=20&incremental=true"

    answer = five.client().post(path, headers=key(five))
    wrong = five.client().post("/admin/trigger-training?epochs=0", headers=key(five))

    assert answer.status_code == 202
    assert answer.json is not None
    assert (answer.json["status"], answer.json["epochs"]) == ("queued", 20)
    assert (the_request(five).model, the_request(five).options) == (
        "servers",
        {"incremental": True},
    )
    assert wrong.status_code == 400


def test_a_job_can_be_followed_from_the_queue_to_its_end(five: Serving) -> None:
    """Without a job_id the newest is meant."""
    client = five.client()
    assert client.get("/admin/training-status").status_code == 404
    asked: Any = client.post("/admin/trigger-training", headers=key(five)).json

    queued: Any = client.get(f"/admin/training-status?job_id={asked['job_id']}").json
    log(five, "servers", run("done", 1, RunStatus.SUCCEEDED, started_at=NOW, finished_at=NOW))
    newest: Any = client.get("/admin/training-status").json

    assert queued["status"] == "queued"
    assert set(queued) >= {
        "job_id",
        "status",
        "progress_pct",
        "started_at",
        "completed_at",
        "duration_seconds",
        "model_path",
        "error",
    }
    assert (newest["job_id"], newest["progress_pct"], newest["duration_seconds"]) == (
        "done",
        100.0,
        0.0,
    )


def test_stats_say_what_there_is_to_train_from_and_why_not(five: Serving) -> None:
    """The page of an operator."""
    log(five, "servers", run("a", 1, RunStatus.SUCCEEDED), run("b", 2, RunStatus.FAILED))
    log(five, "servers", run("c", 3, RunStatus.RUNNING))

    stats: Any = five.client().get("/admin/training-stats").json

    assert stats["current_job"]["job_id"] == "c"
    assert (stats["history"]["total_trainings"], stats["history"]["successful"]) == (3, 1)
    assert stats["history"]["failed"] == 1
    assert set(stats["data_buffer"]) == {
        "total_records",
        "file_count",
        "date_range",
        "disk_usage_mb",
    }
    assert stats["ready_to_train"] is False
    assert "has not started" in stats["ready_reason"]
    assert stats["config"]["workload"] == "server_metrics"


def test_cancelling_asks_for_the_job_that_is_named(five: Serving) -> None:
    """As POST /models/<model>/training/cancel does."""
    answer = five.client().post("/admin/cancel-training?job_id=c", headers=key(five))

    assert answer.status_code == 202
    assert (the_request(five).kind, the_request(five).run_id) == ("cancel", "c")


def test_stored_models_are_listed_and_the_current_one_is_marked(home: ServingHome) -> None:
    """`name` is what reload-model takes."""
    first, second = home.publish("servers", 1), home.publish("servers", 2)
    client = serving_of(home).client()

    listed: Any = client.get("/admin/models").json
    info: Any = client.get("/admin/model-info").json

    assert [(one["name"], one["is_current"]) for one in listed["models"]] == [
        (second, True),
        (first, False),
    ]
    assert listed["models"][0]["path"] == f"models/servers/versions/{second}"
    assert listed["models"][0]["created"]
    assert info["version"] == second


def test_reloading_waits_for_the_swap_and_says_how_long_it_took(home: ServingHome) -> None:
    """The answer of the old path: from which to which."""
    first, second = home.publish("servers", 1), home.publish("servers", 2)
    serving = serving_of(home)
    client = serving.client()
    not_running: Any = client.post("/admin/reload-model", headers=key(serving))
    for path in serving.config.requests_dir.iterdir():
        path.unlink()
    write_retrain_report(serving)
    answers: list[Any] = []
    ask = {"model_path": f"models/servers/versions/{first}"}
    asking = threading.Thread(
        target=lambda: answers.append(
            client.post("/admin/reload-model", json=ask, headers=key(serving))
        )
    )

    asking.start()
    wait_until(lambda: list(serving.config.requests_dir.glob("2*.json")), 10, "the request")
    write_signal(home.store, "servers", first)
    serving.tick()
    asking.join(25)

    assert (not_running.status_code, not_running.json["success"]) == (202, False)
    assert the_request(serving).version == first
    assert answers[0].status_code == 200
    assert answers[0].json["success"] is True
    assert (answers[0].json["previous_model"], answers[0].json["new_model"]) == (second, first)
    assert answers[0].json["reload_time_seconds"] >= 0
    unknown = client.post("/admin/reload-model?version=v9", headers=key(serving))
    assert unknown.status_code == 400
