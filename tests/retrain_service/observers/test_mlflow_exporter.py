"""Runs are mirrored into MLflow: into a real server where there is one, and through outages."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest

from retrain_service.observers.mlflow_exporter import CHECKPOINT_NAME, MlflowSink, open_sink
from retrain_service.observers.run_exporter import RunExporter
from shared.run_log.run import Run, RunStatus
from shared.run_log.writer import RunLog
from tests.support.receiver import receiver
from tests.support.waiting import wait_until

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
DETAILS = {
    "rows": 100,
    "days": 90,
    "metrics": {"candidate": {"mae": 0.5, "rmse": 0.7, "r2": 0.9}, "baseline": {"mae": 2.0}},
    "parameters": {"history_days": 1095, "time_zone": "Europe/Istanbul", "long": "x" * 900},
    "workload": "spare_parts",
    "libraries": {"numpy": "2.2.0"},
    "snapshot_digest": "abc",
}


def add_run(
    path: Path, number: int, status: RunStatus, *, promoted: bool = False, error: str | None = None
) -> None:
    at = NOW + timedelta(minutes=number)
    with closing(RunLog.open(path)) as log:
        log.add_run(
            Run(
                run_id=f"run{number}",
                model="parts/device-1",
                trigger="new_records",
                trigger_reason="12 new records",
                version=f"v{number:06d}-20261121T083000Z",
                version_number=number,
                status=RunStatus.QUEUED,
                requested_at=at,
            )
        )
        log.start_run(f"run{number}", at, number)
        log.finish_run(
            f"run{number}",
            at + timedelta(seconds=30),
            status,
            promoted=promoted,
            verdict=None if error else "10 % better.",
            error=error,
            details=DETAILS,
        )


@contextmanager
def sink(uri: str, home: Path) -> Iterator[RunExporter]:
    made = RunExporter(
        MlflowSink(uri), home / CHECKPOINT_NAME, home / "run_log.sqlite", period_s=0.05
    )
    try:
        yield made
    finally:
        made.close()


def python_with_mlflow() -> str | None:
    named = os.environ.get("HOTFIT_TEST_MLFLOW_PYTHON")
    if named:
        return named
    return sys.executable if find_spec("mlflow") and find_spec("sqlalchemy") else None


@contextmanager
def mlflow_server(directory: Path) -> Iterator[str]:
    python = python_with_mlflow()
    if python is None:
        pytest.skip(
            "mlflow (600 MB with what it needs) is not installed; HOTFIT_TEST_MLFLOW_PYTHON can"
            " name a Python that has it"
        )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    output = directory / "mlflow.log"
    with output.open("wb") as log:
        process = subprocess.Popen(
            [python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
             "--workers", "1", "--backend-store-uri", f"sqlite:///{directory.as_posix()}/ml.db",
             "--default-artifact-root", (directory / "artifacts").as_uri()],
            cwd=directory, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )  # fmt: skip

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    try:
        wait_until(answers, 90, f"MLflow's server; it said: {output.read_text()[-500:]}")
        yield f"http://127.0.0.1:{port}"
    finally:
        import psutil

        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        for child in family:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue
        process.wait(20)


def ask(uri: str, path: str, body: Any) -> Any:
    request = urllib.request.Request(
        f"{uri}/api/2.0/mlflow/{path}",
        data=msgspec.json.encode(body),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return msgspec.json.decode(answer.read())


def mirrored(uri: str) -> list[Any]:
    found = ask(uri, "experiments/search", {"max_results": 100})["experiments"]
    ids = [each["experiment_id"] for each in found if each["name"] == "hotfit/parts/device-1"]
    if not ids:
        return []
    runs = ask(uri, "runs/search", {"experiment_ids": ids, "order_by": ["start_time ASC"]})
    return [run for run in runs.get("runs", []) if run["info"]["status"] != "RUNNING"]


def as_dict(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: pair["value"] for pair in pairs}


@pytest.mark.slow
def test_runs_are_in_a_real_mlflow_with_all_that_is_known_of_them(tmp_path: Path) -> None:
    """Teams compare models where they always do; the mirror must be worth looking at."""
    add_run(tmp_path / "run_log.sqlite", 1, RunStatus.SUCCEEDED, promoted=True)
    with mlflow_server(tmp_path) as uri:
        with sink(uri, tmp_path):
            add_run(tmp_path / "run_log.sqlite", 2, RunStatus.FAILED, error="out of memory.")
            add_run(tmp_path / "run_log.sqlite", 3, RunStatus.CANCELLED, error="cancelled.")
            wait_until(lambda: len(mirrored(uri)) == 3, 60, "three runs in MLflow")
        # A mark that is lost, as after a restore: nothing is there twice.
        (tmp_path / CHECKPOINT_NAME).unlink()
        with sink(uri, tmp_path) as again:
            checkpoint = tmp_path / CHECKPOINT_NAME
            wait_until(
                lambda: checkpoint.exists() and b"run3" in checkpoint.read_bytes(), 30, "the mark"
            )
            assert again.export_runs() == 0
        runs = mirrored(uri)

    assert [run["info"]["status"] for run in runs] == ["FINISHED", "FAILED", "KILLED"]
    first = runs[0]
    assert first["info"]["run_name"] == "v000001-20261121T083000Z"
    assert first["info"]["end_time"] - first["info"]["start_time"] == 30_000
    metrics, params = as_dict(first["data"]["metrics"]), as_dict(first["data"]["params"])
    assert (metrics["mae"], metrics["baseline_mae"], metrics["rows"]) == (0.5, 2.0, 100)
    assert params["history_days"] == "1095"
    assert len(params["long"]) == 500
    tags = as_dict(first["data"]["tags"])
    assert tags["hotfit.run_id"] == "run1"
    assert tags["hotfit.promoted"] == "true"
    assert tags["hotfit.entity"] == "device-1"
    assert tags["hotfit.library.numpy"] == "2.2.0"
    assert as_dict(runs[1]["data"]["tags"])["hotfit.error"] == "out of memory."


def test_an_outage_delays_the_mirror_and_loses_nothing(tmp_path: Path) -> None:
    """The loop knows nothing of it; the mirror catches up by itself, each run once."""
    is_away = [True]
    known: dict[str, str] = {}

    def answer(_method: str, path: str, body: Any) -> tuple[int, Any]:
        if is_away[0]:
            return 503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "away"}
        name = path.partition("/api/2.0/mlflow/")[2].partition("?")[0]
        if name == "experiments/get-by-name":
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}
        if name == "experiments/create":
            return 200, {"experiment_id": "1"}
        if name == "runs/search":
            return 200, {}
        if name == "runs/create":
            known[body["run_name"]] = "RUNNING"
            return 200, {"run": {"info": {"run_id": body["run_name"]}}}
        if name == "runs/update":
            known[body["run_id"]] = body["status"]
        return 200, {}

    for number in (1, 2, 3):
        add_run(tmp_path / "run_log.sqlite", number, RunStatus.SUCCEEDED)
    with receiver(answer) as server, sink(f"http://127.0.0.1:{server.port}", tmp_path):
        wait_until(lambda: len(server.posts) >= 2, 20, "a second try")
        is_away[0] = False
        wait_until(lambda: len(known) == 3, 20, "all runs")

    assert set(known.values()) == {"FINISHED"}
    created = [path for _, path, _ in server.posts if path.endswith("runs/create")]
    assert len(created) == 3


def test_a_run_that_the_server_never_takes_does_not_hold_up_those_after_it(tmp_path: Path) -> None:
    """One odd parameter must not end the mirror for ever."""

    def answer(_method: str, path: str, body: Any) -> tuple[int, Any]:
        if path.endswith("runs/log-batch") and body["run_id"].startswith("v000001"):
            return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}
        if "experiments" in path:
            return 200, {"experiment": {"experiment_id": "1"}}
        if path.endswith("runs/create"):
            return 200, {"run": {"info": {"run_id": body["run_name"]}}}
        return 200, {}

    for number in (1, 2):
        add_run(tmp_path / "run_log.sqlite", number, RunStatus.SUCCEEDED)
    with receiver(answer) as server, sink(f"http://127.0.0.1:{server.port}", tmp_path):
        wait_until(
            lambda: any(path.endswith("runs/update") for _, path, _ in server.posts),
            20,
            "the second run",
        )

    ended = [body["run_id"] for _, path, body in server.posts if path.endswith("runs/update")]
    assert ended == ["v000002-20261121T083000Z"]


@pytest.mark.parametrize("uri", ["", "file:///tmp/mlruns", "databricks"])
def test_without_the_address_of_a_server_there_is_no_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    """The variable may be there for somebody else; that must not stop the daemon."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    assert open_sink(tmp_path, tmp_path / "run_log.sqlite") is None
