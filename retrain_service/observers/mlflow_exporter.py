"""Export ended runs to an MLflow tracking server when MLFLOW_TRACKING_URI is set.

One MLflow run a run, found again by its tag. Decides nothing and is read by nobody here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog

from retrain_service.observers.mlflow_client import MlflowApi, MlflowUnavailable
from retrain_service.observers.run_exporter import RunExporter
from shared.run_log.run import Run, RunStatus
from shared.run_log.view import run_record

log = structlog.get_logger()

URI_VARIABLE = "MLFLOW_TRACKING_URI"
EXPERIMENT_VARIABLE = "MLFLOW_EXPERIMENT_NAME"
CHECKPOINT_NAME = "mlflow_mirror.json"
RUN_ID_TAG = "hotfit.run_id"
_LONGEST_VALUE = 500  # what every MLflow since 2.8 takes; older ones refuse longer ones
_REFUSED = (400, 413, 422)
_STATUS = {
    RunStatus.SUCCEEDED: "FINISHED",
    RunStatus.SKIPPED: "FINISHED",
    RunStatus.FAILED: "FAILED",
    RunStatus.CANCELLED: "KILLED",
    RunStatus.ABANDONED: "KILLED",
}
_METRIC_NAME = re.compile(r"[^\w\-. :/]")


def open_sink(home: Path, run_log_path: Path) -> RunExporter | None:
    """The exporter that the environment asks for; None when it asks for none."""
    uri = os.environ.get(URI_VARIABLE, "")
    if not uri:
        return None
    if not uri.startswith(("http://", "https://")):
        log.warning(
            "mlflow_address_unusable",
            sentence=f"{URI_VARIABLE}: expected the address of a tracking server (http://…),"
            f" found {uri.partition(':')[0]}:…; runs are not exported.",
        )
        return None
    return RunExporter(MlflowSink(uri), home / CHECKPOINT_NAME, run_log_path)


class MlflowSink:
    """See `run_exporter.RunSink`."""

    name = "mlflow"

    def __init__(self, tracking_uri: str) -> None:
        self.address = tracking_uri.rpartition("@")[2]
        self._api = MlflowApi(tracking_uri)
        self._experiments: dict[str, str] = {}

    def close(self) -> None:
        """Each request has a connection of its own."""

    def write(self, run: Run) -> None:
        """Write the run down; one that the server never will take is said and left out.

        Raises:
            MlflowUnavailable: not now.
        """
        try:
            self._write(run)
        except MlflowUnavailable as error:
            if error.status not in _REFUSED:
                raise
            log.warning(
                "mlflow_run_left_out", run_id=run.run_id, sentence=f"{error} This run is left out."
            )

    def _write(self, run: Run) -> None:
        experiment_id = self._experiment_of(run.model)
        started_at = run.started_at or run.requested_at
        ended_at = run.finished_at or started_at
        # A crash after the creation leaves a run without an end: go on with that one.
        found = self._api.find_run(experiment_id, RUN_ID_TAG, run.run_id)
        status = _STATUS[run.status]
        if found is None:
            exported_id = self._api.create_run(
                experiment_id, run.version, _ms(started_at), _tags(run)
            )
        else:
            exported_id, known_status = found
            if known_status == status:
                return
        record = run_record(run)
        self._api.log_batch(
            exported_id, params=_params(record), metrics=_metrics(record), at_ms=_ms(ended_at)
        )
        self._api.end_run(exported_id, status, _ms(ended_at))

    def _experiment_of(self, model: str) -> str:
        name = os.environ.get(EXPERIMENT_VARIABLE) or f"hotfit/{model}"
        if name not in self._experiments:
            self._experiments[name] = self._api.experiment_id(name)
        return self._experiments[name]


# -- one run in MLflow's words ---------------------------------------------------------------------


def _tags(run: Run) -> dict[str, str]:
    record = run_record(run)
    said: Mapping[str, Any] = {
        RUN_ID_TAG: run.run_id,
        "hotfit.model": record["model"],
        "hotfit.entity": record["entity"],
        "hotfit.version": run.version,
        "hotfit.trigger": run.trigger,
        "hotfit.trigger_reason": run.trigger_reason,
        "hotfit.status": run.status.value,
        "hotfit.promoted": str(run.promoted).lower(),
        "hotfit.verdict": run.verdict,
        "hotfit.error": run.error,
        "hotfit.model_path": record["model_path"],
        "hotfit.snapshot_digest": record["snapshot_digest"],
        "hotfit.metric_unit": record["metric_unit"],
        "mlflow.source.name": "hotfit",
        "mlflow.note.content": run.verdict or run.error,
    }
    tags = {key: str(value)[:5000] for key, value in said.items() if value not in (None, "")}
    for name, version in (record["libraries"] or {}).items():
        tags[f"hotfit.library.{name}"] = str(version)
    return tags


def _params(record: Mapping[str, Any]) -> dict[str, str]:
    said = {"workload": record["workload"], "seed": record["seed"], **(record["parameters"] or {})}
    options = {f"options.{key}": value for key, value in (record["options"] or {}).items()}
    return {
        _METRIC_NAME.sub("_", key): _short(value)
        for key, value in {**said, **options}.items()
        if value is not None
    }


def _metrics(record: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for prefix, key in (
        ("", "metrics"),
        ("champion_", "champion_metrics"),
        ("baseline_", "baseline_metrics"),
    ):
        found |= {f"{prefix}{name}": value for name, value in (record[key] or {}).items()}
    for name in ("rows", "days", "records", "train_rows", "test_rows", "fit_s", "duration_s"):
        if record[name] is not None:
            found[name] = float(record[name])
    return {_METRIC_NAME.sub("_", name): float(value) for name, value in found.items()}


def _short(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
