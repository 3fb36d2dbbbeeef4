"""Ask the running API how it is, and put what it does in words. Standard library HTTP only."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from shared.errors import NotFound, StorageUnavailable
from shared.exchange.json_files import SignalUnreadable, read_struct
from shared.exchange.retrain_report import RETRAIN_REPORT_NAME, RetrainReport
from shared.run_log.reader import reading
from shared.run_log.run import RunStatus
from shared.settings.root import Settings


@dataclass(frozen=True, slots=True)
class Health:
    """The answer of GET /health; `http_status` is None when nothing answered."""

    http_status: int | None
    body: Mapping[str, Any]

    @property
    def status(self) -> str:
        return str(self.body.get("status", "no answer"))

    @property
    def sentence(self) -> str:
        return str(self.body.get("sentence", ""))

    @property
    def is_serving(self) -> bool:
        """Predictions are answered, be it by an older version than wanted."""
        return self.http_status == 200 and self.status in ("ok", "degraded")


def base_url(settings: Settings) -> str:
    """Where a client on this machine reaches the API."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.api.host, settings.api.host)  # noqa: S104 - looked up, not bound
    return (
        f"http://[{host}]:{settings.api.port}"
        if ":" in host
        else f"http://{host}:{settings.api.port}"
    )


def ask(settings: Settings, path: str = "/health", timeout_s: float = 3.0) -> Health:
    """GET a path of the API; never raises."""
    # No proxy of the environment stands between a machine and itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    body = b""
    status: int | None = None
    try:
        with opener.open(base_url(settings) + path, timeout=timeout_s) as answer:
            status, body = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status = error.code
        with suppress(OSError):
            body = error.read()
    except (OSError, ValueError):
        return Health(None, {})
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    return Health(status, parsed if isinstance(parsed, dict) else {})


def retrain_report(settings: Settings) -> RetrainReport | None:
    """What the retrain daemon says of itself; None while it says nothing."""
    with suppress(SignalUnreadable):
        return read_struct(settings.reports_dir / RETRAIN_REPORT_NAME, RetrainReport)
    return None


def is_first_training(settings: Settings) -> bool:
    """Whether a model with data is still to come to its first verdict, and has not failed yet."""
    report = retrain_report(settings)
    return report is not None and any(
        model.last_run_id is None and model.n_usable_records and not _has_failed(settings, name)
        for name, model in report.models.items()
    )


def _has_failed(settings: Settings, model: str) -> bool:
    with suppress(NotFound, StorageUnavailable), reading(settings.run_log_path) as log:
        return log.runs(model=model, status=RunStatus.FAILED, limit=1)[1] > 0
    return False


def what_it_waits_for(settings: Settings, health: Health) -> tuple[str, str]:
    """(what happens now, how far): the line shown while a start waits."""
    if health.http_status is None:
        return "The API is starting …", ""
    report = retrain_report(settings)
    if report is None:
        return "The retrain daemon is starting …", ""
    for name, model in report.models.items():
        if model.running_run_id is not None:
            percent = f" {model.progress:.0%}" if model.progress is not None else ""
            return f"Training {name} …", f" {model.stage or ''}{percent}"
        for source in model.sources:
            if source.state != "ok" and source.sentence:
                return f"{name}: {source.sentence}", ""
        if model.error:
            return f"{name}: {model.error}", ""
    for name, model in report.models.items():
        if model.last_run_id is None:
            return f"{name}: {model.next_due}", ""
    return "The API is loading the model …", ""
