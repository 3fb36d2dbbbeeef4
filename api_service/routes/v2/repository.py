"""The repository extension of the Open Inference Protocol: what is stored, and opening it again.

What serves is what the reload signal says; nothing here changes it but through the retrain
daemon, as the routes of models.py do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from api_service.context import Context
from api_service.control.desired_version import signal_of, wanted
from api_service.control.requests import submit
from api_service.control.training import client_label
from api_service.control.wait import wait_for
from api_service.schemas.requests import IndexRequest, RepositoryRequest
from api_service.serving_slot import ServingSlot
from api_service.status.runs import rejected_versions
from api_service.status.versions import version_lines
from api_service.status.workers import live_reports
from api_service.web.auth import needs
from api_service.web.json_body import body_as, json_response
from shared.errors import NotReady, StateConflict
from shared.keys.api_keys import Role

_LONGEST_LOAD_S = 20


def blueprint(context: Context) -> Blueprint:
    routes = Blueprint("repository_v2", __name__)

    @routes.post("/v2/repository/index")
    def index() -> ResponseReturnValue:
        asked = body_as(request, IndexRequest)  # of the only repository that there is
        return json_response(list(_index(context, asked.ready or False)))

    @routes.post("/v2/repository/models/<model>/load")
    @routes.post("/v2/repository/models/<model>/<entity>/load")
    @needs(Role.ADMIN)
    def load(model: str, entity: str | None = None) -> ResponseReturnValue:
        _load(context, _slot(context, model, entity))
        return json_response({})

    @routes.post("/v2/repository/models/<model>/unload")
    @routes.post("/v2/repository/models/<model>/<entity>/unload")
    @needs(Role.ADMIN)
    def unload(model: str, entity: str | None = None) -> ResponseReturnValue:
        slot = _slot(context, model, entity)
        raise StateConflict(
            f"{slot.name} is not unloaded: what serves is what its reload signal wants, on every"
            " worker, and the next look would open it again. Take the model out of the"
            " configuration and the store to end it."
        )

    return routes


def _slot(context: Context, model: str, entity: str | None) -> ServingSlot:
    slot = context.table.slot(model if entity is None else f"{model}/{entity}")
    body_as(request, RepositoryRequest)
    return slot


def _index(context: Context, is_ready_only: bool) -> Iterator[dict[str, Any]]:
    """Every version of every model, or only those that serve or are opened when asked for."""
    workers = live_reports(context.config.reports_dir)
    for slot in context.table:
        live = slot.live
        if is_ready_only and live is None and not slot.is_idle:
            continue
        signal = signal_of(context, slot.name)
        ready = live.version if live else signal.version if slot.is_idle and signal else None
        if ready is not None:
            yield {"name": slot.name, "version": ready, "state": "READY", "reason": ""}
        if is_ready_only:
            continue
        stored = context.store.versions(slot.name)
        rejected = rejected_versions(context.config.run_log_path, slot.name)
        for line in version_lines(slot.name, stored, rejected, signal, workers):
            if line.version in stored and line.version != ready:
                yield {
                    "name": slot.name,
                    "version": line.version,
                    "state": "UNAVAILABLE",
                    "reason": f"{line.state}: {line.reason}",
                }
        if ready is None and not stored:
            yield {
                "name": slot.name,
                "version": "",
                "state": "UNAVAILABLE",
                "reason": slot.not_ready_reason,
            }


def _load(context: Context, slot: ServingSlot) -> None:
    """Return when this worker serves the wanted version; at once when it does already.

    Raises:
        StateConflict: no version was promoted yet. NotReady: it does not serve after a while.
    """
    signal = wanted(context, slot.name)
    before = slot.get_or_load()
    if before is not None and before.version == signal.version:
        return
    asked = submit(
        context.config.requests_dir,
        context.config.reports_dir,
        context.clock(),
        kind="reload",
        model=slot.name,
        requested_by=client_label(),
        effect=f"every worker opens {signal.version} again under a new generation.",
        version=signal.version,
    )

    def serves() -> bool | None:
        live = slot.live
        return True if live is not None and live.version == signal.version else None

    loaded = None
    if asked["retrain_daemon"] == "running":
        loaded = wait_for(serves, _LONGEST_LOAD_S)
    if loaded is None:
        live = slot.live
        why = f"{live.version} serves." if live is not None else slot.not_ready_reason
        raise NotReady(f"{slot.name} {signal.version}: {asked['sentence']} Until then: {why}")
