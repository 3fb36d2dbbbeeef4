"""Records in, training data out; the fleet's forecasts from windows that outlive every version."""

from __future__ import annotations

import dataclasses
import math
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient

from api_service.app import create_app
from api_service.config.feed import FedModel, FeedConfig
from api_service.context import Context
from retrain_service.publish.stage import stage
from retrain_service.sources.feed import FeedSource
from shared.feed.database import open_to_write
from shared.keys.api_keys import Role, ensure_api_keys
from shared.records import Table, to_epoch_us
from shared.settings.sections import SourceSettings
from shared.settings.streams import StreamSettings
from shared.versions.manifest import Holdout, Manifest, Promotion, ServingForm, Watermark
from shared.workloads.server_metrics.workload import STREAM, ServerMetrics
from tests.api_service.conftest import NOW, Serving, serving_config
from tests.support.counted_lock import LockedApplication
from tests.support.versions import ServingHome, version_name, write_signal

CRITICAL, WARNING, HEALTHY = "critical", "warning", "healthy"


def fed(workload: str, kind: str = "feed", **streams: StreamSettings) -> FedModel:
    return FedModel(workload, {}, "fed", kind, streams)


@pytest.fixture
def serving(home: ServingHome) -> Serving:
    """A worker whose models `m` (tiny) and `metrics` are fed."""
    feed = FeedConfig(
        path=home.path / "feed.sqlite",
        retention_days=90,
        max_records_per_request=200,
        models={
            "m": fed("tiny", rows=StreamSettings(collection="tiny_rows", deleted_field="gone")),
            "metrics": fed("server_metrics"),
            "elsewhere": fed("tiny", "sql"),
        },
    )
    config = dataclasses.replace(
        serving_config(home.path),
        feed=feed,
        workloads={"m": "tiny", "metrics": "server_metrics"},
        max_request_bytes=4_000_000,
    )
    ensure_api_keys(config.keys_dir)
    found = Serving(home, config)
    found.tick()
    return found


def key(serving: Serving, role: Role = Role.FEED) -> dict[str, str]:
    text = (serving.config.keys_dir / f"{role}.key").read_text().strip()
    return {"Authorization": f"Bearer {text}"}


def limited(serving: Serving, **changes: Any) -> FlaskClient:
    feed = dataclasses.replace(serving.config.feed, **changes)
    serving.config = dataclasses.replace(serving.config, feed=feed)
    return serving.client()


@pytest.fixture
def client(serving: Serving) -> FlaskClient:
    found = serving.client()
    found.environ_base["HTTP_AUTHORIZATION"] = key(serving)["Authorization"]
    return found


def post(client: FlaskClient, path: str, body: object, status: int = 200) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.json


def get(client: FlaskClient, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.json


# -- records in ----------------------------------------------------------------------------------


def test_a_record_or_a_list_or_an_object_of_both_is_taken(client: FlaskClient) -> None:
    """One route for one click and for a nightly batch."""
    one = post(client, "/models/m/records", {"id": "a", "x": 1})
    several = post(client, "/models/m/records", [{"id": "a", "x": 1}, {"id": "b", "x": 1}])
    both = post(
        client, "/models/m/records", {"stream": "rows", "records": [{"id": 7}], "deleted": ["b"]}
    )
    marked = post(client, "/models/m/records", {"id": "a", "gone": True})
    left = get(client, "/models/m/records")

    assert (one["accepted"], one["new"], one["stream"]) == (1, 1, "rows")
    assert (several["accepted"], several["duplicates"]) == (1, 1)
    assert (both["new"], both["updated"]) == (1, 1)
    assert marked["updated"] == 1
    assert [record["id"] for record in left["records"]] == ["7"]


def test_what_cannot_be_used_is_refused_row_by_row_with_its_reason(client: FlaskClient) -> None:
    """One odd row must not cost the others, and somebody has to find it."""
    rows = [{"server": "a", "cpu": 1}, {"cpu": 2}, "text", {"server": "b", "id": ["?"], "cpu": 3}]

    some = post(client, "/models/metrics/records", rows)
    none = post(client, "/models/metrics/records", rows[1:3], 400)

    assert (some["accepted"], some["rejected"]) == (1, 3)
    assert [(one["index"], one["reason"]) for one in some["reasons"]] == [
        (1, "no server name"),
        (2, "expected an object, found str"),
        (3, "id: expected a text or a whole number"),
    ]
    assert none["accepted"] == 0
    assert "no server name" in none["detail"]


def test_records_without_an_id_are_told_apart_by_their_content(client: FlaskClient) -> None:
    """A click sent again because the answer was lost is still one click."""
    first = post(client, "/models/m/records", [{"user": 1, "at": "10:00"}])
    again = post(client, "/models/m/records", [{"at": "10:00", "user": 1}])

    assert (first["new"], again["new"], again["duplicates"]) == (1, 0, 1)


def test_feeding_needs_a_key_with_the_role_feed(serving: Serving) -> None:
    """Any web page in a local browser could post rows that a model then learns from."""
    client = serving.client()

    without = client.post("/models/m/records", json={"id": "a"})
    lesser = client.post("/feed/data", json={}, headers=key(serving, Role.PREDICT))
    admin = client.post("/models/m/records", json={"id": "a"}, headers=key(serving, Role.ADMIN))

    assert (without.status_code, lesser.status_code, admin.status_code) == (401, 403, 200)


def test_a_model_that_learns_from_elsewhere_takes_no_records(client: FlaskClient) -> None:
    """They would be kept, answered with 200, and never read by anybody."""
    conflict = post(client, "/models/elsewhere/records", {"id": "a"}, 409)
    unknown = client.post("/models/nobody/records", json={"id": "a"})
    stream = client.post("/models/m/records?stream=other", json={"id": "a"})

    assert "sql" in conflict["detail"]
    assert unknown.status_code == 404
    assert (stream.status_code, stream.json["where"] if stream.json else "") == (400, "stream")


def test_too_much_at_once_and_too_often_is_said_with_when_to_come_again(serving: Serving) -> None:
    """A client in a loop must not fill the disk, and must know how to go on."""
    client = limited(serving, max_records_per_request=5, max_records_a_minute=10)
    rows = [{"id": n} for n in range(6)]

    large = client.post("/models/m/records", json=rows, headers=key(serving))
    taken = [
        client.post("/models/m/records", json=rows[:4], headers=key(serving)).status_code
        for _ in range(2)
    ]
    refused = client.post("/models/m/records", json=rows[:4], headers=key(serving))
    other = client.post("/models/m/records", json=rows[:1], headers=key(serving, Role.ADMIN))

    assert large.status_code == 413
    assert taken == [200, 200]
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) == 12
    assert other.status_code == 200


def test_an_entity_s_route_takes_only_its_own_records(client: FlaskClient) -> None:
    """A device that posts another one's readings has a wrong configuration."""
    own = post(client, "/models/metrics/web-1/records", [{"server": "web-1", "cpu": 1}])
    other = post(client, "/models/metrics/web-1/records", [{"server": "b", "cpu": 1}], 400)
    post(client, "/models/metrics/records", [{"server": "b", "cpu": 1}])

    assert own["accepted"] == 1
    assert "belongs to 'b', not to 'web-1'" in other["reasons"][0]["reason"]
    assert get(client, "/models/metrics/web-1/records")["total"] == 1
    assert get(client, "/models/metrics/records")["total"] == 2


def test_a_feed_of_a_later_release_takes_nothing_and_says_why(serving: Serving) -> None:
    """After a step back the API must serve; a record answered 200 must be one that is read."""
    path = serving.config.feed.path
    assert path is not None
    open_to_write(path).close()
    with closing(sqlite3.connect(path)) as later:
        later.execute("PRAGMA user_version=2001")

    answer = serving.client().post("/models/m/records", json={"id": "a"}, headers=key(serving))

    assert answer.status_code == 503
    assert answer.json is not None
    assert "written by a later release" in answer.json["detail"]


def test_other_requests_are_answered_while_one_waits_for_the_disk(serving: Serving) -> None:
    """Predictions must not stand behind the disk's fsync."""
    app = create_app(
        Context(serving.config, serving.table, serving.home.store, serving.ring, lambda: NOW)
    )
    app.wsgi_app = LockedApplication(app.wsgi_app)  # type: ignore[method-assign]
    app.test_client().post("/models/m/records", json={"id": "first"}, headers=key(serving))
    path = serving.config.feed.path
    assert path is not None
    blocker = open_to_write(path)
    blocker.execute("BEGIN IMMEDIATE")
    statuses: list[int] = []

    def feed() -> None:
        answer = app.test_client().post("/models/m/records", json={"id": 1}, headers=key(serving))
        statuses.append(answer.status_code)

    waiting = threading.Thread(target=feed)
    waiting.start()
    alive = {app.test_client().get("/livez").status_code for _ in range(100)}
    was_waiting = waiting.is_alive()
    blocker.execute("ROLLBACK")
    waiting.join(timeout=20)
    blocker.close()

    assert (alive, was_waiting, statuses) == ({200}, True, [200])


# -- training data out ---------------------------------------------------------------------------


def test_the_export_comes_in_pages_that_another_service_can_train_from(
    client: FlaskClient,
) -> None:
    """Nothing twice and nothing missing, however many pages it takes."""
    post(client, "/models/m/records", [{"id": f"r{n:02d}", "x": n} for n in range(23)])

    seen, path, n_pages = [], "/models/m/records?days=90&format=json&limit=10", 0
    while path:
        body = get(client, path)
        seen += body["records"]
        path, n_pages = body.get("next", ""), n_pages + 1

    assert [record["x"] for record in seen] == list(range(23))
    assert n_pages == 3
    assert body["total"] == 23
    assert body["metadata"]["model"] == "m"
    assert {"id", "received_at", "x"} == seen[0].keys()
    for wrong in ("days=0", "format=xml", "after=x", "limit=x", "page=2", "since=x"):
        assert client.get(f"/models/m/records?{wrong}").status_code == 400


def test_the_retrain_daemon_s_source_reads_what_was_posted(
    client: FlaskClient, serving: Serving
) -> None:
    """The two halves agree on the file by the same settings."""
    post(client, "/models/m/records", [{"id": "a", "x": 1}])
    source = FeedSource(
        SourceSettings(kind="feed", url=str(serving.config.feed.path), lag_s=0),
        StreamSettings(collection="tiny_rows"),
        lambda: NOW + timedelta(seconds=1),
    )

    (record,) = source.read_after(None, 10).records

    assert (record.id, record.fields) == ("a", {"id": "a", "x": 1})


def test_the_statistics_say_how_much_is_kept(client: FlaskClient) -> None:
    """Before the disk is full somebody wants to know of what."""
    post(client, "/models/m/records", [{"id": "a", "x": 1}])

    body = get(client, "/feed/stats")

    assert body["collections"][0]["n_records"] == 1
    assert body["size_bytes"] > 0


# -- server metrics ------------------------------------------------------------------------------


def publish_metrics(home: ServingHome, number: int) -> None:
    """A real signed version of server_metrics, trained on a day of two servers."""
    workload = ServerMetrics({})
    begin = NOW - timedelta(days=2)
    bodies, times = [], []
    for minute in range(2000):
        at = begin + timedelta(minutes=minute)
        wave = 20 * math.sin(minute / 40)
        for server in ("web-1", "db"):
            row = {"server": server, "ts": at.timestamp(), "cpu": 50 + wave, "memory": 40 + number}
            bodies.append(msgspec.json.encode(row))
            times.append(to_epoch_us(at))
    table = Table(STREAM, [str(n) for n in range(len(bodies))], times, bodies)
    rows = workload.training_set({STREAM: table})
    estimator = workload.fit(rows, 0, lambda _share, _stage: None)
    staged = home.store.stage("metrics", f"run-{number}")
    manifest = Manifest(
        model="metrics",
        version=version_name(number),
        run_id=f"run-{number}",
        workload="server_metrics",
        parameters={},
        features=list(workload.features),
        metrics={},
        metric_unit="none",
        holdout=Holdout("2026-10-01", "2026-10-31", 31, 31),
        watermark=Watermark(NOW, "2026-10-31", 100, 100, "none"),
        libraries={},
        serving_form=ServingForm("scikit-learn"),
        golden_tolerance=1e-6,
        promotion=Promotion(0, "a test wants it"),
        trained_at=NOW,
        files={},
    )
    stage(staged, workload, estimator, rows, manifest, home.key)
    home.store.commit("metrics", staged, version_name(number))
    write_signal(home.store, "metrics", version_name(number))


def last_hour(server: str, cpu: float, until: datetime = NOW) -> list[dict[str, Any]]:
    return [
        {"server": server, "timestamp": (until - timedelta(minutes=n)).isoformat(), "cpu": cpu}
        for n in range(60)
    ]


def test_the_fleet_is_forecast_with_risk_and_alerts(
    home: ServingHome, serving: Serving, client: FlaskClient
) -> None:
    """What an operator looks at: who will be in trouble within the hour, and why."""
    publish_metrics(home, 1)
    serving.tick()
    body = {
        "servers": {
            "calm": [{**row, "server": "calm"} for row in last_hour("calm", 20)],
            "eu/hot": last_hour("eu/hot", 99.5),
        }
    }
    post(client, "/feed/data", body)
    post(client, "/feed/data", {"server": "busy", "rows": last_hour("busy", 89)[:60]})
    post(client, "/feed/data", last_hour("gone", 20, until=NOW - timedelta(minutes=30)))

    answer = get(client, "/predictions/current")
    alerts = get(client, "/alerts/active")

    found = {one["server"]: one for one in answer["servers"]}
    assert {name: one["alert_level"] for name, one in found.items()} == {
        "calm": HEALTHY,
        "eu/hot": CRITICAL,
        "busy": HEALTHY,  # steadily far from its limit
        "gone": WARNING,  # nothing was heard of it for half an hour
    }
    assert all(0 <= one["risk_score"] <= 100 for one in found.values())
    steps = found["calm"]["forecast"]
    assert [step["horizon_min"] for step in steps] == [1, 5, 15, 30, 60]
    assert datetime.fromisoformat(steps[-1]["at"]) == NOW + timedelta(hours=1)
    assert steps[0]["cpu"]["low"] <= steps[0]["cpu"]["expected"] <= steps[0]["cpu"]["high"]
    assert answer["fleet"]["critical"] == answer["fleet"]["warning"] == 1
    assert answer["version"] == version_name(1)
    assert [one["server"] for one in alerts["alerts"]] == ["eu/hot", "gone"]
    assert "cpu is 99.5 of 100" in alerts["alerts"][0]["reasons"][0]
    assert get(client, "/alerts/active?level=warning")["total"] == 1
    assert get(client, "/predictions/current?server=eu/hot")["total"] == 1
    wide = get(client, "/predictions/current?band=90&server=calm")["servers"][0]
    narrow = found["calm"]
    assert (wide["risk_score"], wide["reasons"]) == (narrow["risk_score"], narrow["reasons"])
    narrow_band, wide_band = (one["forecast"][0]["cpu"] for one in (narrow, wide))
    assert wide_band["low"] <= narrow_band["low"] <= narrow_band["high"] <= wide_band["high"]
    assert wide_band["expected"] == narrow_band["expected"]
    assert client.get("/predictions/current?band=70").status_code == 400
    assert client.get("/predictions/current?server=nobody").status_code == 404
    assert client.get("/alerts/active?level=odd").status_code == 400


def test_windows_survive_a_swap_and_a_restart(
    home: ServingHome, serving: Serving, client: FlaskClient
) -> None:
    """A new version must not begin with an empty past, nor a restarted worker."""
    publish_metrics(home, 1)
    serving.tick()
    post(client, "/feed/data", last_hour("web", 55))
    before = get(client, "/predictions/current")
    publish_metrics(home, 2)
    serving.tick()

    after = get(serving.client(), "/predictions/current")

    assert (before["version"], after["version"]) == (version_name(1), version_name(2))
    assert after["servers"][0]["current"] == before["servers"][0]["current"] == {"cpu": 55.0}


def test_before_the_first_version_rows_are_taken_and_forecasts_say_why_not(
    client: FlaskClient,
) -> None:
    """Data comes first; the model is made from it."""
    taken = post(client, "/feed/data", last_hour("web", 55))

    answer = client.get("/predictions/current")

    assert taken["accepted"] == 60
    assert answer.status_code == 503
    assert "metrics" in answer.get_data(as_text=True)


def test_a_row_from_the_future_is_refused_and_one_without_a_time_is_of_now(
    client: FlaskClient,
) -> None:
    """One wrong clock would push all good rows out of the window."""
    future = (datetime.now(UTC) + timedelta(days=300)).isoformat()

    body = post(
        client, "/feed/data", [{"host": "a", "cpu": 1}, {"host": "a", "time": future, "cpu": 1}]
    )

    assert body["accepted"] == 1
    assert body["reasons"][0]["reason"] == "dated in the future"
    assert get(client, "/models/metrics/records")["records"][0]["timestamp"] == NOW.isoformat()


def test_nothing_is_fed_where_nothing_is_configured(serving: Serving) -> None:
    """A server without fed models says so, instead of taking rows nobody reads."""
    client = limited(serving, models={})

    answer = client.post("/feed/data", json=[], headers=key(serving))

    assert answer.status_code == 404
    assert client.get("/predictions/current").status_code == 404
