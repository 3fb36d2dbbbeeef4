"""Export ended runs as documents of a MongoDB collection, for applications that read them there.

One document a run, its `_id` the run's id, replaced when it comes again. Decides nothing and is
read by nobody here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog

from retrain_service.observers.run_exporter import RunExporter
from shared.errors import SettingsInvalid, TryLater
from shared.run_log.run import SUCCESS, Run
from shared.run_log.view import run_record
from shared.settings.run_export import MongodbExportSettings
from shared.versions.model_names import split_name
from shared.workloads import open_workload

log = structlog.get_logger()

CHECKPOINT_NAME = "mongodb_mirror.json"
TIMEOUT_S = 10.0


class ExportUnavailable(TryLater):
    """The database that gets the runs did not answer, or refused."""


def open_sink(
    settings: MongodbExportSettings, home: Path, run_log_path: Path
) -> RunExporter | None:
    """The exporter that the settings ask for; None when they ask for none.

    Raises:
        SettingsInvalid: pymongo is not installed, or the address names no database.
    """
    if not settings.url:
        return None
    return RunExporter(MongodbSink(settings), home / CHECKPOINT_NAME, run_log_path)


class MongodbSink:
    """The collection; connects with the first run that is brought."""

    name = "mongodb_mirror"

    def __init__(self, settings: MongodbExportSettings, *, timeout_s: float = TIMEOUT_S) -> None:
        """Check the address; nothing connects before the first run.

        Raises:
            SettingsInvalid: pymongo is not installed, or the address names no database.
        """
        self._settings = settings
        self._timeout_s = timeout_s
        self._hosts, self._database = _parsed(settings.url)
        try:
            import pymongo
        except ImportError:
            raise SettingsInvalid(
                "run_export.mongodb.url: needs the package pymongo, which is not installed here:"
                ' install the extra "mongodb" (python -m pip install pymongo).'
            ) from None
        self._pymongo = pymongo
        self._client: Any = None

    @property
    def address(self) -> str:
        return f"{self._hosts}/{self._database}.{self._settings.collection}"

    def write(self, run: Run) -> None:
        model = split_name(run.model)[0]
        if self._settings.models and model not in self._settings.models:
            return
        document = as_document(run, SUCCESS if self._settings.statuses == "success" else {})
        try:
            collection = self._connected()[self._database][self._settings.collection]
            collection.replace_one({"_id": run.run_id}, document, upsert=True)
        except self._pymongo.errors.PyMongoError as error:
            # The topology at the end of some messages is long and helps nobody.
            said = str(error).partition(", Timeout:")[0].partition(", full error:")[0]
            raise ExportUnavailable(f"MongoDB {self.address}: {said}.") from error

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _connected(self) -> Any:
        if self._client is None:
            timeout_ms = round(self._timeout_s * 1000)
            self._client = self._pymongo.MongoClient(
                self._settings.url,
                connect=False,
                appname="hotfit",
                maxPoolSize=1,
                serverSelectionTimeoutMS=timeout_ms,
                timeoutMS=timeout_ms,
            )
        return self._client


def as_document(run: Run, words: Mapping[str, str] = {}) -> dict[str, Any]:
    """One ended run; what is not known of it is there and None. Times are BSON dates, UTC.

    words : status -> the word for it, where it is another one.

    `mae`, `rmse` and `r2` are the candidate's on the newest rows that it was not trained on.
    """
    record, details = run_record(run), run.details
    metrics = record["metrics"] or {}
    return {
        "_id": run.run_id,
        "run_id": run.run_id,
        "model": record["model"],
        "device_id": details.get("entity_id") or record["entity"],
        "version": run.version,
        "trigger": run.trigger,
        "trained_at": run.finished_at,
        "days_used": record["days"],
        "rows_used": record["rows"],
        "mae": metrics.get("mae"),
        "rmse": metrics.get("rmse"),
        "r2": metrics.get("r2"),
        "train_samples": record["train_rows"],
        "test_samples": record["test_rows"],
        "features": _features(record["workload"], record["parameters"]),
        "model_path": record["model_path"],
        "status": words.get(run.status, run.status.value),
        "verdict": run.verdict,
        "error": run.error,
        "promoted": run.promoted,
    }


def _features(workload: str | None, parameters: dict[str, Any] | None) -> list[str] | None:
    """Names of the columns; None when the run ended before it was known what it trains."""
    if workload is None:
        return None
    try:
        return [spec.name for spec in open_workload(workload, parameters or {}).features]
    except SettingsInvalid:
        return None  # of a workload or a parameter that is no more


def _parsed(url: str) -> tuple[str, str]:
    """Hosts and database, without user and password. Asks no name server."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    hosts, database = parts.netloc.rpartition("@")[2], parts.path.strip("/")
    if parts.scheme not in ("mongodb", "mongodb+srv") or not hosts or not database:
        # Not the text itself: it may hold a password.
        raise SettingsInvalid(
            'run_export.mongodb.url: expected "mongodb://user:password@host:27017/DATABASE" or'
            ' "mongodb+srv://…", with the name of the database.'
        )
    return hosts, database
