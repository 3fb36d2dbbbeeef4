"""Ended runs become documents of a MongoDB collection, on a real server and through its outage."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo.errors import OperationFailure
from structlog.testing import capture_logs

from retrain_service.observers.mongodb_exporter import (
    CHECKPOINT_NAME,
    MongodbSink,
    as_document,
    open_sink,
)
from retrain_service.observers.run_exporter import RunExporter
from scripts.daemons.network import free_port
from shared.errors import SettingsInvalid
from shared.run_log.run import SUCCESS, Run, RunStatus
from shared.run_log.writer import RunLog
from shared.settings.run_export import MongodbExportSettings
from tests.support.daemons import MeanHome, daemon
from tests.support.mongodb import MongoServer
from tests.support.waiting import wait_until

NOW = datetime(2026, 11, 21, 13, 0, tzinfo=UTC)
DETAILS = {
    "entity_id": "Canteen East",
    "rows": 1958,
    "days": 7,
    "train_rows": 1390,
    "test_rows": 568,
    "workload": "solar_power",
    "parameters": {"time_zone": "Asia/Colombo"},
    "metrics": {"candidate": {"mae": 7.5, "rmse": 12.5, "r2": 0.93}, "baseline": {"mae": 9.0}},
}


def run(number: int, model: str = "solar_power/canteen-east-cb100f") -> Run:
    at = NOW + timedelta(minutes=number)
    return Run(
        run_id=f"run{number}",
        model=model,
        trigger="cron",
        trigger_reason='cron "30 18 * * *"',
        version=f"v{number:06d}-20261121T130000Z",
        version_number=number,
        status=RunStatus.QUEUED,
        requested_at=at,
    )


def add_run(path: Path, number: int, status: RunStatus, **ended: Any) -> None:
    """One that ran for a second and ended; `ended` as finish_run takes it."""
    one = run(number)
    with closing(RunLog.open(path)) as log:
        log.add_run(one)
        log.start_run(one.run_id, one.requested_at, 7)
        log.finish_run(one.run_id, one.requested_at + timedelta(seconds=1), status, **ended)


def has_promoted(sink: MeanHome) -> bool:
    return any(run.promoted for run in sink.runs())


def n_documents(collection: Any) -> int:
    """The server of the tests refuses a reader while somebody writes."""
    with contextlib.suppress(OperationFailure):
        return int(collection.count_documents({}))
    return -1


@pytest.fixture
def settings(mongodb_server: MongoServer, request: pytest.FixtureRequest) -> MongodbExportSettings:
    """A collection of the test's own."""
    return MongodbExportSettings(
        url=mongodb_server.url.replace("/shop", "/mirror"),
        collection=f"runs_{request.node.name[:40]}",
    )


@pytest.fixture
def collection(settings: MongodbExportSettings) -> Iterator[Any]:
    with pymongo.MongoClient[dict[str, Any]](settings.url, tz_aware=True) as client:
        yield client["mirror"][settings.collection]


def test_a_promoted_run_is_a_document_with_the_agreed_fields(
    settings: MongodbExportSettings, collection: Any, tmp_path: Path
) -> None:
    """The application's dashboard reads these fields; a missing one is an empty column there."""
    log_path = tmp_path / "run_log.sqlite"
    add_run(log_path, 1, RunStatus.SUCCEEDED, promoted=True, verdict="no worse.", details=DETAILS)

    with closing(RunExporter(MongodbSink(settings), tmp_path / CHECKPOINT_NAME, log_path)):
        wait_until(lambda: n_documents(collection) == 1, 20, "the document")

    found = collection.find_one({"run_id": "run1"})
    features = found.pop("features")
    assert features[:3] == ["hour", "minute", "day_of_week"]
    assert len(features) == 15
    assert found == {
        "_id": "run1",
        "run_id": "run1",
        "model": "solar_power",
        "device_id": "Canteen East",
        "version": "v000001-20261121T130000Z",
        "trigger": "cron",
        "trained_at": NOW + timedelta(minutes=1, seconds=1),
        "days_used": 7,
        "rows_used": 1958,
        "mae": 7.5,
        "rmse": 12.5,
        "r2": 0.93,
        "train_samples": 1390,
        "test_samples": 568,
        "model_path": "models/solar_power/canteen-east-cb100f/versions/v000001-20261121T130000Z",
        "status": "succeeded",
        "verdict": "no worse.",
        "error": None,
        "promoted": True,
    }


def test_a_failed_run_says_why_and_knows_what_it_can(
    settings: MongodbExportSettings, collection: Any, tmp_path: Path
) -> None:
    """A failure that is missing from the dashboard looks like a device that is fine."""
    log_path = tmp_path / "run_log.sqlite"
    add_run(log_path, 1, RunStatus.FAILED, error="out of memory")

    with closing(RunExporter(MongodbSink(settings), tmp_path / CHECKPOINT_NAME, log_path)):
        wait_until(lambda: n_documents(collection) == 1, 20, "the document")

    found = collection.find_one({})
    assert (found["status"], found["error"], found["promoted"]) == (
        "failed",
        "out of memory",
        False,
    )
    assert found["device_id"] == "canteen-east-cb100f"
    assert [found[name] for name in ("mae", "rows_used", "features", "model_path")] == [None] * 4


@contextmanager
def started(server: MongoServer, url: str) -> Iterator[Any]:
    """The server is there meanwhile; the mirror's collection in it."""
    server.start()
    try:
        with pymongo.MongoClient[dict[str, Any]](url) as client:
            yield client["mirror"]["model_runs"]
    finally:
        server.stop()


def test_an_outage_delays_the_documents_and_loses_none(tmp_path: Path) -> None:
    """The database of a dashboard may be away; training does not wait for it."""
    server = MongoServer(tmp_path / "data")
    url = server.url.replace("/shop", "/mirror")
    log_path = tmp_path / "run_log.sqlite"
    for number in range(3):
        add_run(log_path, number, RunStatus.SUCCEEDED, details=DETAILS)

    with started(server, url) as runs:
        runs.insert_one({"_id": "of another application"})
    sink = MongodbSink(MongodbExportSettings(url=url), timeout_s=3)
    with (
        capture_logs() as said,
        closing(RunExporter(sink, tmp_path / CHECKPOINT_NAME, log_path, period_s=0.1)),
    ):
        wait_until(lambda: len(said) == 1, 20, "a word about it")
        with started(server, url) as runs:
            wait_until(lambda: n_documents(runs) == 1 + 3, 120, "all three")

    assert "Runs are exported when it answers again" in said[0]["sentence"]
    assert f"127.0.0.1:{server.port}/mirror.model_runs" in said[0]["sentence"]


def test_a_restart_goes_on_where_it_was_and_doubles_nothing(
    settings: MongodbExportSettings, collection: Any, tmp_path: Path
) -> None:
    """Also when the mark is lost: a document has the run's own id."""
    log_path, checkpoint_path = tmp_path / "run_log.sqlite", tmp_path / CHECKPOINT_NAME
    for number in range(3):
        add_run(log_path, number, RunStatus.SUCCEEDED, details=DETAILS)
    with closing(RunExporter(MongodbSink(settings), checkpoint_path, log_path)):
        wait_until(lambda: n_documents(collection) == 3, 20, "the first three")
    add_run(log_path, 3, RunStatus.SUCCEEDED, details=DETAILS)

    export_runs = RunExporter(MongodbSink(settings), checkpoint_path, log_path, period_s=60)
    export_runs.close()
    assert collection.count_documents({}) == 4
    checkpoint_path.unlink()
    again = RunExporter(MongodbSink(settings), checkpoint_path, log_path, period_s=60)
    again.close()

    assert collection.count_documents({}) == 4


def test_only_the_models_that_are_named_are_mirrored(
    settings: MongodbExportSettings, collection: Any, tmp_path: Path
) -> None:
    """A collection of devices has no room for spare parts."""
    sink = MongodbSink(settings.model_copy(update={"models": ["solar_power"]}))

    with contextlib.closing(sink):
        sink.write(run(1, model="spare_parts"))
        sink.write(run(2))

    assert [each["run_id"] for each in collection.find({})] == ["run2"]


def test_an_address_without_a_database_is_refused_without_its_password(tmp_path: Path) -> None:
    """At the start, in one line; an address may hold a password."""
    settings = MongodbExportSettings(url="mongodb://user:secret@localhost:27017")

    with pytest.raises(SettingsInvalid, match="with the name of the database") as refused:
        open_sink(settings, tmp_path, tmp_path / "run_log.sqlite")

    assert "secret" not in str(refused.value)
    assert open_sink(MongodbExportSettings(), tmp_path, tmp_path / "run_log.sqlite") is None


def test_a_run_of_a_workload_that_is_no_more_is_mirrored_without_its_columns() -> None:
    """The log outlives the code."""
    old = replace(run(1), details={"workload": "tea_leaves"})

    assert as_document(old)["features"] is None


@pytest.mark.slow
def test_the_daemon_mirrors_its_runs_and_does_not_mind_an_absent_server(
    mongodb_server: MongoServer, tmp_path: Path
) -> None:
    """Entities carry the name that the application gave them, not the one in the path."""
    for port in (free_port(), mongodb_server.port):
        url = f"mongodb://127.0.0.1:{port}/mirror"
        sink = MeanHome(
            tmp_path / str(port),
            workload="mean_per_device",
            settings=f'[run_export.mongodb]\nurl = "{url}"\ncollection = "daemon_runs"\n',
        )
        sink.add_rows(60, device="Dach Süd")
        output = sink.config.with_name("retrain.log")
        with daemon("retrain_service", "run", config=sink.config, output=output) as running:
            wait_until(partial(has_promoted, sink), 60, "a model")
            assert running.stop() == 0, output.read_text()

    with pymongo.MongoClient[dict[str, Any]](
        mongodb_server.url.replace("/shop", "/mirror")
    ) as client:
        found = list(client["mirror"]["daemon_runs"].find({}))
    assert [each["device_id"] for each in found] == ["Dach Süd"]
    assert found[0]["promoted"]


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (RunStatus.SUCCEEDED, "success"),
        (RunStatus.SKIPPED, "success"),
        (RunStatus.FAILED, "failed"),
        (RunStatus.ABANDONED, "failed"),
    ],
)
def test_readers_that_wait_for_success_get_that_word_when_asked_for(
    status: RunStatus, word: str
) -> None:
    """The dashboard of the system before queries {status: "success"}."""
    ended = replace(run(1), status=status)

    assert as_document(ended)["status"] == status.value
    assert as_document(ended, SUCCESS)["status"] == word
    assert MongodbExportSettings().statuses == "hotfit"
