"""What is served and what exists, pointing at a version, training on demand, the run log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from shared.exchange.control_request import Request
from shared.exchange.json_files import read_struct
from shared.keys.api_keys import Role
from shared.run_log.run import Run, RunStatus
from shared.run_log.writer import RunLog
from shared.versions.manifest import MANIFEST_NAME, MODEL_NAME
from tests.api_service.conftest import NOW, Serving
from tests.api_service.routes.test_health import write_retrain_report, write_worker_report
from tests.support.versions import ServingHome, version_name, write_signal


def get(client: FlaskClient, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.json


def the_request(serving: Serving) -> Request:
    """The only request in the box."""
    (path,) = serving.config.requests_dir.iterdir()
    request = read_struct(path, Request)
    assert request is not None
    assert path.stem == request.id
    return request


def run(run_id: str, number: int, status: RunStatus, **changes: Any) -> Run:
    fields: dict[str, Any] = {
        "run_id": run_id,
        "model": "m",
        "trigger": "new_records",
        "trigger_reason": "12 new records",
        "version": version_name(number),
        "version_number": number,
        "status": status,
        "requested_at": NOW + timedelta(minutes=number),
        "started_at": None,
        "finished_at": None,
        "high_seq": None,
        "promoted": False,
        "verdict": None,
        "error": None,
        "details": {"rows": 100},
    }
    return Run(**(fields | changes))


def test_models_are_listed_with_what_they_serve(home: ServingHome, serving: Serving) -> None:
    """The list that tools read: names are fixed by the design."""
    home.publish("m", 1)
    home.publish("other", 2)
    serving.tick()
    write_worker_report(serving)

    body = get(serving.client(), "/models")

    assert body["total"] == 2
    assert [(one["name"], one["state"]) for one in body["models"]] == [
        ("m", "serving"),
        ("other", "serving"),
    ]
    first = body["models"][0]
    assert {"version", "generation", "trained_at", "watermark", "workers"} <= first.keys()
    assert "next" not in body


def test_lists_come_in_pages(home: ServingHome, serving: Serving) -> None:
    """No answer grows without bound; the link to the next page keeps the window."""
    for number in range(5):
        home.publish(f"m{number}", 1)
    serving.tick()
    client = serving.client()

    seen = []
    path = "/models?limit=4"
    while path:
        body = get(client, path)
        seen += [one["name"] for one in body["models"]]
        path = body.get("next", "")

    assert seen == ["m", "m0", "m1", "m2", "m3", "m4"]
    assert body["total"] == 6
    refused = client.get("/models?limit=0")
    assert refused.status_code == 400
    assert "1 to 500" in refused.get_data(as_text=True)
    assert client.get("/models?pagesize=3").status_code == 400


def test_one_model_shows_its_manifest_and_what_it_can_be_asked(
    home: ServingHome, serving: Serving
) -> None:
    """Enough to see why this version serves and with what it was measured."""
    home.publish("m", 1)
    serving.tick()
    write_worker_report(serving)

    body = get(serving.client(), "/models/m")

    assert body["manifest"]["metrics"] == {"candidate": {"mae": 1.0}}
    assert body["questions"]["predict"] == "the version's number"
    assert "signature" not in body["manifest"]
    assert body["receipts"][0]["requests_failed"] == 0


def test_every_version_is_listed_with_its_state_and_reason(
    home: ServingHome, serving: Serving
) -> None:
    """Why a version serves or not should never need a look at the disk."""
    home.publish("m", 1)
    home.publish("m", 2)
    home.publish("m", 3)
    serving.tick()
    home.publish("m", 4, broken="load")
    serving.tick()
    home.make("m", 6)
    (home.store.version_dir("m", version_name(1)) / MANIFEST_NAME).write_bytes(b"{}")
    log = RunLog.open(serving.config.run_log_path)
    log.add_run(run("run-5", 5, RunStatus.SUCCEEDED, verdict="error 12 % above the champion's"))
    log.close()
    write_worker_report(serving)

    body = get(serving.client(), "/models/m/versions")

    lines = {one["version"]: (one["state"], one["reason"]) for one in body["versions"]}
    assert list(lines) == [version_name(number) for number in (6, 5, 4, 3, 2, 1)]
    assert lines[version_name(3)] == ("serving", "on 1 of 1 workers")
    assert lines[version_name(5)] == ("rejected", "error 12 % above the champion's")
    assert lines[version_name(4)][0] == "quarantined"
    assert "breaks when it is opened" in lines[version_name(4)][1]
    assert lines[version_name(2)] == ("retired", f"followed by {version_name(4)}")
    assert lines[version_name(6)][0] == "retired"
    assert "format" in body["versions"][-1]["manifest_error"]


def test_a_version_that_served_before_is_called_previous(
    home: ServingHome, serving: Serving
) -> None:
    """It is where a rollback goes."""
    home.publish("m", 1)
    home.publish("m", 2)
    serving.tick()
    write_worker_report(serving)

    body = get(serving.client(), "/models/m/versions")

    assert [one["state"] for one in body["versions"]] == ["serving", "previous"]


@pytest.mark.parametrize(
    "route", ["train", "reload", "rollback", "hold", "release", "confirm-deletions"]
)
def test_changing_anything_needs_the_admin_key_on_loopback_too(
    home: ServingHome, serving: Serving, admin: dict[str, str], route: str
) -> None:
    """Any web page in a local browser can post to loopback; it cannot know the key."""
    home.publish("m", 1)
    home.publish("m", 2)
    serving.tick()
    client = serving.client()
    predict_key = (serving.config.keys_dir / f"{Role.PREDICT}.key").read_text().strip()

    without = client.post(f"/models/m/{route}")
    wrong = client.post(f"/models/m/{route}", headers={"X-API-Key": "guessed"})
    lesser = client.post(f"/models/m/{route}", headers={"X-API-Key": predict_key})
    right = client.post(f"/models/m/{route}", headers=admin)

    assert (without.status_code, wrong.status_code, lesser.status_code) == (401, 401, 403)
    assert without.headers["WWW-Authenticate"] == "Bearer"
    assert "role admin" in without.get_data(as_text=True)
    assert right.status_code == 202
    assert the_request(serving).kind == route.replace("-", "_")


def test_a_rollback_to_a_named_version_is_asked_of_the_retrain_daemon(
    home: ServingHome, serving: Serving, admin: dict[str, str]
) -> None:
    """The API writes no signal; it says what will happen and who does it."""
    first = home.publish("m", 1)
    home.publish("m", 2)
    home.publish("m", 3)
    serving.tick()
    write_retrain_report(serving)

    answer = serving.client().post(
        "/models/m/rollback", json={"version": first, "reason": "sales fell"}, headers=admin
    )

    body: Any = answer.json
    request = the_request(serving)
    assert answer.status_code == 202
    assert body["request_id"] == request.id
    assert body["retrain_daemon"] == "running"
    assert first in body["sentence"]
    assert (request.kind, request.model, request.version) == ("rollback", "m", first)
    assert request.reason == "sales fell"
    signal = home.store.signal("m")
    assert signal is not None
    assert signal.generation == 3


def test_a_rollback_without_a_name_goes_to_the_previous_version(
    home: ServingHome, serving: Serving, admin: dict[str, str]
) -> None:
    """In a hurry nobody looks up names."""
    home.publish("m", 1)
    second = home.publish("m", 2)
    home.publish("m", 3)
    serving.tick()

    answer = serving.client().post("/models/m/rollback", headers=admin)

    assert answer.status_code == 202
    assert the_request(serving).version == second
    assert "the retrain daemon has not started here" in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    ("path", "body", "status", "saying"),
    [
        ("/models/m/rollback", {"version": "v9"}, 400, "one of the stored versions"),
        ("/models/m/rollback", {"version": 9}, 400, "the name of a version"),
        ("/models/m/rollback", {"version": version_name(1)}, 409, "already the desired version"),
        ("/models/m/rollback", {}, 409, "there is no previous one"),
        ("/models/m/rollback", {"to": "v1"}, 400, "only 'version' or 'reason'"),
        ("/models/m/hold", {"version": "v1"}, 400, "only 'reason'"),
        ("/models/none/rollback", {}, 404, "no model 'none'"),
        ("/models/other/train", {}, 409, "not configured"),
        ("/models/empty/reload", {}, 404, "no model"),
    ],
)
def test_what_cannot_be_done_is_refused_before_it_is_asked(
    home: ServingHome,
    serving: Serving,
    admin: dict[str, str],
    path: str,
    body: dict[str, Any],
    status: int,
    saying: str,
) -> None:
    """A request that can only fail should fail at once, in front of who made it."""
    home.publish("m", 1)
    home.publish("other", 1)
    serving.tick()

    answer = serving.client().post(path, json=body, headers=admin)

    assert answer.status_code == status
    assert saying in answer.get_data(as_text=True)
    assert not serving.config.requests_dir.exists()


def test_a_damaged_version_is_refused_before_it_is_asked_for(
    home: ServingHome, serving: Serving, admin: dict[str, str]
) -> None:
    """The retrain daemon would refuse it too, but only its log would say so."""
    first = home.publish("m", 1)
    second = home.publish("m", 2)
    for version in (first, second):
        (home.store.version_dir("m", version) / MODEL_NAME).write_bytes(b"damaged")
    client = serving.client()

    for answer, version in (
        (client.post("/models/m/rollback", headers=admin), first),
        (client.post("/models/m/reload", headers=admin), second),
    ):
        assert answer.status_code == 409
        assert f"m cannot serve this version: {version}: {MODEL_NAME} has 7 bytes, expected" in (
            answer.get_data(as_text=True)
        )
    assert not serving.config.requests_dir.exists()


def test_a_rollback_does_not_go_to_a_version_in_quarantine_but_a_reload_tries_it(
    home: ServingHome, serving: Serving, admin: dict[str, str]
) -> None:
    """In a hurry nobody should be led to the version that has just failed."""
    first = home.publish("m", 1)
    serving.tick()
    broken = home.publish("m", 2, broken="load")
    serving.tick()
    write_signal(home.store, "m", first)
    serving.tick()
    write_worker_report(serving)
    client = serving.client()

    back: Any = client.post("/models/m/rollback", headers=admin)
    again = client.post("/models/m/reload", json={"version": broken}, headers=admin)

    assert back.status_code == 409
    assert f"{broken} of m is quarantined" in back.json["detail"]
    assert "breaks when it is opened" in back.json["detail"]
    assert again.status_code == 202
    assert the_request(serving).version == broken


def test_a_signal_that_cannot_be_read_is_told_as_such(
    home: ServingHome, serving: Serving, admin: dict[str, str]
) -> None:
    """It is not the same as a model that has no version yet."""
    home.publish("m", 1)
    serving.tick()
    home.store.signal_path("m").write_bytes(b"{")

    answer = serving.client().post("/models/m/hold", headers=admin)

    assert answer.status_code == 409
    assert "cannot be read" in answer.get_data(as_text=True)


def test_a_training_on_demand_is_queued_at_once_and_found_by_its_run_id(
    serving: Serving, admin: dict[str, str]
) -> None:
    """From the 202 on, the run can be asked for; never is it in neither place."""
    client = serving.client()

    answer = client.post("/models/m/train", json={"reason": "new prices"}, headers=admin)

    body: Any = answer.json
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/runs/{body['run_id']}"
    assert the_request(serving).id == body["run_id"]
    queued = get(client, f"/runs/{body['run_id']}")
    assert (queued["status"], queued["model"]) == ("queued", "m")

    log = RunLog.open(serving.config.run_log_path)
    log.add_run(run(body["run_id"], 1, RunStatus.RUNNING))
    log.close()
    assert get(client, f"/runs/{body['run_id']}")["status"] == "running"


def test_cancelling_names_the_run(serving: Serving, admin: dict[str, str]) -> None:
    """The retrain daemon decides what is left to cancel."""
    answer = serving.client().post(
        "/models/m/training/cancel", json={"run_id": "run-1"}, headers=admin
    )

    assert answer.status_code == 202
    request = the_request(serving)
    assert (request.kind, request.run_id) == ("cancel", "run-1")


def test_training_shows_what_the_retrain_daemon_reports(serving: Serving) -> None:
    """How far it is, and what it waits for."""
    serving.tick()
    write_retrain_report(serving, running_run_id="run-1", stage="fit", progress=0.5)

    body = get(serving.client(), "/models/m/training")

    assert (body["retrain_daemon"], body["stage"], body["progress"]) == ("running", "fit", 0.5)
    assert body["next_due"] == "7 more records."


def test_runs_are_paged_and_filtered(serving: Serving) -> None:
    """The run log grows for years."""
    client = serving.client()
    assert get(client, "/runs") == {"runs": [], "total": 0}
    log = RunLog.open(serving.config.run_log_path)
    for number in range(1, 6):
        status = RunStatus.FAILED if number == 3 else RunStatus.SUCCEEDED
        log.add_run(run(f"run-{number}", number, status))
    log.add_run(run("other-run", 1, RunStatus.FAILED, model="other"))
    log.close()

    page = get(client, "/runs?model=m&limit=2")
    failed = get(client, "/runs?status=failed&model=m")

    assert [one["run_id"] for one in page["runs"]] == ["run-5", "run-4"]
    assert page["total"] == 5
    assert page["next"] == "/runs?model=m&limit=2&offset=2"
    assert [one["run_id"] for one in failed["runs"]] == ["run-3"]
    assert get(client, "/runs/run-3")["rows"] == 100
    refused = client.get("/runs?status=done")
    assert refused.status_code == 400
    assert "succeeded" in refused.get_data(as_text=True)
    assert client.get("/runs/..%2Fkeys").status_code == 404


def test_a_broken_run_log_is_told_and_not_a_traceback(serving: Serving) -> None:
    """Predictions do not need it; who asks for it is told why not."""
    serving.config.run_log_path.write_bytes(b"not a database at all, but long enough" * 100)

    answer = serving.client().get("/runs")

    assert answer.status_code == 503
    assert "cannot be read" in answer.get_data(as_text=True)
