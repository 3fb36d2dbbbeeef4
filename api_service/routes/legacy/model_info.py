"""What serves and what is stored, in the fields that existing clients read. Changes nothing."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue

from api_service.context import Context
from api_service.control.desired_version import signal_of
from api_service.recording.ingest import RecordIngest
from api_service.routes.legacy.models import (
    RECOMMENDER,
    SERVERS,
    SIMILARITY,
    SOLAR,
    resolve_device,
    resolve_model,
)
from api_service.routes.models import model_in_full
from api_service.schemas.requests import DeviceQuery, ModelPage, ModelQuery
from api_service.web.json_body import json_response
from api_service.web.query import query_as
from shared.errors import HotfitError
from shared.feed import reader
from shared.versions.manifest import Manifest
from shared.versions.model_names import split_name
from shared.versions.model_version import ModelVersion

_BYTES_A_MB = 1_000_000
_TIMESTAMP = "%Y%m%d_%H%M%S"


def recommender_info(context: Context) -> ResponseReturnValue:
    query_as(request, ModelQuery)
    model = resolve_model(context, RECOMMENDER, SIMILARITY)
    live = context.table.slot(model).get_or_load()
    shown: dict[str, Any] = {"status": "not_trained"}
    if live is not None:
        shown = {
            "status": "trained",
            "num_products": live.answerer.n_known.get("products", 0),
            "num_features": len(live.manifest.features),
            "model_path": path_of(model, live.version),
        }
    return json_response({**model_in_full(context, model), **shown}, is_for_people=True)


def device_model(context: Context) -> ResponseReturnValue:
    """Of a device; before any device has a model the answer is that there is none."""
    asked = query_as(request, DeviceQuery)
    base = resolve_model(context, SOLAR)
    model = resolve_device(context, base, asked.device_id)
    if asked.device_id is None and not split_name(model)[1]:
        return json_response({"model_exists": False}, is_for_people=True)
    live = context.table.slot(model).get_or_load()
    shown: dict[str, Any] = {"model_exists": live is not None}
    if live is not None:
        shown |= {
            "updated_at": _loaded_at(model_in_full(context, model)) or live.manifest.trained_at,
            "model_path": path_of(model, live.version),
            "metrics": live.manifest.metrics.get("candidate", {}),
        }
    return json_response({**model_in_full(context, model), **shown}, is_for_people=True)


def server_model_info(context: Context) -> ResponseReturnValue:
    query_as(request, ModelQuery)
    model = resolve_model(context, SERVERS)
    live = context.table.slot(model).get_or_load()
    shown = model_in_full(context, model)
    if live is None:
        absent = ("mode", "model_path", "model_name", "model_timestamp", "loaded_at")
        shown |= {**dict.fromkeys(absent), "training_config": {}, "config": {}}
    else:
        manifest = live.manifest
        shown |= {
            "mode": manifest.serving_form.form,
            "model_path": path_of(model, live.version),
            "model_name": live.version,
            "model_timestamp": timestamp_of(live.version),
            "loaded_at": _loaded_at(shown) or manifest.trained_at,
            "training_config": _training_config(manifest),
            "config": dict(manifest.parameters),
        }
    n_servers = _servers_seen(context, model)
    shown["servers"] = {"total": n_servers, "known": n_servers}
    return json_response(shown, is_for_people=True)


def server_models(context: Context) -> ResponseReturnValue:
    """Stored versions, newest first; none is no error."""
    page = query_as(request, ModelPage)
    model = resolve_model(context, SERVERS)
    names = context.store.versions(model)[::-1]
    current = _current(context, model)
    entries = [_stored(context, model, name, current) for name in page.of_items(names)]
    answer = page.answer("models", entries, len(names))
    answer |= {
        "count": len(names),
        "models_dir": f"models/{model}/versions",
        "current_model": path_of(model, current) if current is not None else None,
    }
    return json_response(answer, is_for_people=True)


def path_of(model: str, version: str) -> str:
    """Where a version lies, below the home directory."""
    return f"models/{model}/versions/{version}"


def timestamp_of(version: str) -> str:
    """When a version's training was asked for, UTC, as 20261121_083000."""
    return ModelVersion.parse(version).created_at.astimezone(UTC).strftime(_TIMESTAMP)


def _current(context: Context, model: str) -> str | None:
    """What serves; of a model that is closed until somebody asks, what is wanted."""
    slot = context.table.slot(model)
    if slot.live is not None:
        return slot.live.version
    signal = signal_of(context, model) if slot.is_idle else None
    return signal.version if signal is not None else None


def _stored(context: Context, model: str, version: str, current: str | None) -> dict[str, Any]:
    created_at, n_bytes = ModelVersion.parse(version).created_at, 0
    with suppress(HotfitError):  # one that cannot be read is listed all the same
        manifest = context.store.manifest(model, version)
        created_at = manifest.trained_at
        n_bytes = sum(entry.size_bytes for entry in manifest.files.values())
    return {
        "name": version,
        "path": path_of(model, version),
        "timestamp": timestamp_of(version),
        "created": created_at,
        "modified": created_at,
        "size_mb": round(n_bytes / _BYTES_A_MB, 3),
        "is_current": version == current,
    }


def _loaded_at(shown: dict[str, Any]) -> datetime | None:
    """When the workers swapped to what serves, as the newest of them says."""
    swapped = [one.swapped_at for one in shown["receipts"] if one.version == shown["version"]]
    return max(swapped, default=None)


def _training_config(manifest: Manifest) -> dict[str, Any]:
    """epochs : 1, for the model is fitted in one pass."""
    return {
        **manifest.parameters,
        "epochs": 1,
        "incremental": manifest.runs_since_full > 0,
        "n_records": manifest.watermark.n_records,
    }


def _servers_seen(context: Context, model: str) -> int:
    """How many servers have a window of sent rows; 0 where rows are not sent to the API."""
    path = context.config.feed.path
    if path is None:
        return 0
    try:
        to = RecordIngest(context.config.feed, context.clock).windowed(model)
        return len(reader.windows(path, to.kept_in.collection))
    except HotfitError:
        return 0
