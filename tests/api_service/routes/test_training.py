"""Training on demand with its options, events, forgetting a run, and the ordered log."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from shared.exchange.event_burst import EventBurst
from shared.exchange.json_files import read_struct, write_struct
from shared.exchange.rejected_records import (
    RejectedCount,
    RejectedRecord,
    RejectedRecords,
    rejected_path,
)
from shared.keys.api_keys import ensure_api_keys
from shared.run_log.run import RunStatus
from shared.run_log.writer import RunLog
from tests.api_service.conftest import NOW, Serving
from tests.api_service.routes.test_health import write_retrain_report
from tests.api_service.routes.test_models import get, run, the_request
from tests.support.waiting import wait_until


def test_a_training_takes_days_parameters_and_the_rest(
    serving: Serving, admin: dict[str, str]
) -> None:
    """What was asked for reaches the daemon as it was said."""
    asked = {"days": 30, "parameters": {"alpha": 2}, "incremental": True, "force": False}

    answer = serving.client().post("/models/m/train", json=asked, headers=admin)

    assert answer.status_code == 202
    assert the_request(serving).options == asked


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"days": 0}, "days"),
        ({"days": True}, "days"),
        ({"days": "30"}, "days"),
        ({"parameters": []}, "parameters"),
        ({"force": 1}, "force"),
        ({"wait": 3600}, "wait"),
        ({"wait": "long"}, "wait"),
        ({"dayz": 3}, "body"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_asked(
    serving: Serving, admin: dict[str, str], body: dict[str, Any], where: str
) -> None:
    """A misspelt option that is ignored would train something else than was meant."""
    answer = serving.client().post("/models/m/train", json=body, headers=admin)

    assert answer.status_code == 400
    problem: Any = answer.json
    assert problem["where"] == where
    assert not serving.config.requests_dir.exists()


def test_waiting_answers_with_the_run_when_it_ends(serving: Serving, admin: dict[str, str]) -> None:
    """A script that deploys wants the verdict, not a queue."""
    write_retrain_report(serving)
    answers: list[Any] = []
    asking = threading.Thread(
        target=lambda: answers.append(
            serving.client().post("/models/m/train", json={"wait": 20}, headers=admin)
        )
    )
    asking.start()
    wait_until(lambda: list(serving.config.requests_dir.glob("*.json")), 10, "the request")
    log = RunLog.open(serving.config.run_log_path)
    log.add_run(run(the_request(serving).id, 1, RunStatus.SUCCEEDED))
    log.close()
    asking.join(15)

    assert answers[0].status_code == 200
    assert answers[0].json["status"] == "succeeded"


def test_a_training_that_takes_longer_than_the_wait_is_polled(
    serving: Serving, admin: dict[str, str]
) -> None:
    """No answer hangs for as long as a training may take."""
    write_retrain_report(serving)
    answer = serving.client().post("/models/m/train", json={"wait": 0.3}, headers=admin)

    assert answer.status_code == 202
    assert answer.headers["Location"].startswith("/runs/")


def test_nobody_is_waited_for_while_the_retrain_daemon_is_stopped(
    serving: Serving, admin: dict[str, str]
) -> None:
    """A minute of waiting would end as it could have begun."""
    began = time.monotonic()
    answer = serving.client().post("/models/m/train", json={"wait": True}, headers=admin)

    assert answer.status_code == 202
    assert time.monotonic() - began < 10


def test_an_event_is_recorded_at_once_and_a_burst_is_one_file(serving: Serving) -> None:
    """The shop's back end must not wait for a training, nor fill the disk with its events."""
    ensure_api_keys(serving.config.keys_dir)
    serving.tick()
    key = (serving.config.keys_dir / "feed.key").read_text().strip()
    client = serving.client()

    for _ in range(5):
        answer = client.post("/models/m/events", headers={"X-API-Key": key})
        assert answer.status_code == 202

    found = list(serving.config.requests_dir.iterdir())
    assert len(found) == 1
    burst = read_struct(found[0], EventBurst)
    assert burst is not None
    assert (burst.model, burst.n, burst.last_at) == ("m", 5, NOW)
    assert client.post("/models/m/events").status_code == 401


def test_only_a_run_that_has_ended_can_be_forgotten(
    serving: Serving, admin: dict[str, str]
) -> None:
    """Deleting what still runs would leave a process that nobody knows of."""
    log = RunLog.open(serving.config.run_log_path)
    log.add_run(run("old", 1, RunStatus.FAILED))
    log.add_run(run("last", 2, RunStatus.SUCCEEDED))
    log.add_run(run("now", 3, RunStatus.RUNNING))
    log.close()
    client = serving.client()

    assert client.delete("/runs/old", headers=admin).status_code == 202
    assert client.delete("/runs/now", headers=admin).status_code == 409
    needed = client.delete("/runs/last", headers=admin)
    assert needed.status_code == 409
    assert "new records are counted from it" in needed.get_data(as_text=True)
    assert client.delete("/runs/none", headers=admin).status_code == 404
    assert client.delete("/runs/old").status_code == 401
    request = the_request(serving)
    assert (request.kind, request.run_id, request.model) == ("forget", "old", "m")


def test_events_come_in_order_and_go_on_where_the_last_page_ended(serving: Serving) -> None:
    """Everything that happened, with its sentence, for whoever asks why."""
    log = RunLog.open(serving.config.run_log_path)
    for i in range(5):
        log.add_event(NOW, "m" if i != 2 else "other", "promote", f"sentence {i}")
    log.close()
    client = serving.client()

    first = get(client, "/events?model=m&limit=2")
    second = get(client, first["next"])

    assert [event["sentence"] for event in first["events"]] == ["sentence 0", "sentence 1"]
    assert [event["sentence"] for event in second["events"]] == ["sentence 3", "sentence 4"]
    assert client.get("/events?after=x").status_code == 400


def test_training_shows_totals_and_the_last_run(serving: Serving) -> None:
    """How often it went well, at a glance."""
    serving.tick()
    log = RunLog.open(serving.config.run_log_path)
    log.add_run(run("one", 1, RunStatus.SUCCEEDED))
    log.add_run(run("two", 2, RunStatus.FAILED))
    log.close()

    totals = get(serving.client(), "/models/m/training")["totals"]

    assert (totals["total"], totals["succeeded"], totals["failed"]) == (2, 1, 1)
    assert totals["last"]["run_id"] == "two"


@pytest.mark.parametrize("path", ["/models/m/nobody/train", "/models/m/nobody/events"])
def test_a_model_that_nobody_trains_is_not_found(
    serving: Serving, admin: dict[str, str], path: str
) -> None:
    """Not 202 for what the training daemon must refuse a moment later."""
    serving.home.publish("m/shop-1", 1)
    serving.tick()
    client = serving.client()

    answer = client.post(path, json={}, headers=admin)

    assert answer.status_code == 404
    assert "of m there is m, m/shop-1" in answer.get_data(as_text=True)
    assert not serving.config.requests_dir.exists()
    assert client.post("/models/m/shop-1/train", json={}, headers=admin).status_code == 202


def test_a_refusal_of_the_training_daemon_is_the_end_of_the_run(
    serving: Serving, admin: dict[str, str]
) -> None:
    """The address that the answer gave says why nothing was trained, and nobody waits in full."""
    write_retrain_report(serving)
    client, answers = serving.client(), []

    def wait() -> None:
        answers.append(client.post("/models/m/train", json={"wait": True}, headers=admin))

    waiting = threading.Thread(target=wait)
    waiting.start()
    directory = serving.config.requests_dir
    (path,) = wait_until(lambda: list(directory.glob("*.json")), 60, "the request")
    details = {"request_id": path.stem, "kind": "train"}
    sentence = "train refused: no model 'm' is configured."
    log = RunLog.open(serving.config.run_log_path)
    log.add_event(NOW, "m", "refusal", sentence, details=details)
    log.close()
    path.unlink()
    waiting.join(60)
    (ended,) = answers
    run: Any = serving.client().get(f"/runs/{path.stem}").json

    assert ended.status_code == 200
    assert ended.get_json()["error"] == run["error"] == sentence
    assert (run["status"], run["run_id"], run["promoted"]) == ("failed", path.stem, False)
    assert serving.client().delete(f"/runs/{path.stem}", headers=admin).status_code == 404


def test_records_that_cannot_be_used_are_listed_for_the_admin_alone(
    serving: Serving, admin: dict[str, str]
) -> None:
    """They hold what people wrote: the key that predicts does not see them."""
    serving.tick()
    client, url = serving.client(), "/models/m/rejected"
    before = client.get(url, headers=admin).json
    records = [
        RejectedRecord(stream="rows", id=f"r{i}", updated_at=NOW, reason=why, field="day")
        for i, why in enumerate(("no day", "no day", "day is no date"))
    ]
    counts = [RejectedCount("rows", "no day", 900), RejectedCount("rows", "day is no date", 1)]
    listed = RejectedRecords(model="m", written_at=NOW, counts=counts, records=records)
    path = rejected_path(serving.config.reports_dir, "m")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_struct(path, listed)

    page = client.get(f"{url}?reason=no+DAY&limit=1", headers=admin).json
    other = client.get(f"{url}?stream=products", headers=admin).json
    refused = client.get(url, headers={"X-API-Key": "no such key"})

    assert before is not None
    assert (before["records"], before["total"], before["written_at"]) == ([], 0, None)
    assert page is not None
    assert [one["id"] for one in page["records"]] == ["r0"]
    assert page["total"] == 2
    assert page["next"].endswith("limit=1&offset=1")
    assert page["counts"][0] == {"stream": "rows", "reason": "no day", "n_records": 900}
    assert other is not None
    assert other["total"] == 0
    assert refused.status_code == 401
