"""What is served, what exists, and pointing at a version."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec
from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from api_service.context import Context
from api_service.control.desired_version import (
    require_not_quarantined,
    require_verified,
    signal_of,
    wanted,
)
from api_service.control.requests import Kind, deletions_effect, submit
from api_service.control.training import require_trained_here
from api_service.schemas.requests import Reason, VersionRequest
from api_service.serving_slot import ServingSlot
from api_service.status.live import live_line, live_sentence
from api_service.status.models import model_entry
from api_service.status.retrain_daemon import look_at_retrain_daemon
from api_service.status.runs import rejected_versions
from api_service.status.versions import version_lines
from api_service.status.workers import live_reports
from api_service.web.auth import needs
from api_service.web.json_body import body_as, json_response
from api_service.web.model_urls import model_route
from api_service.web.query import Page, query_as
from shared.errors import (
    HotfitError,
    ManifestInvalid,
    NotFound,
    RequestInvalid,
    StateConflict,
    StorageUnavailable,
)
from shared.exchange.reload_signal import ReloadSignal
from shared.keys.api_keys import Role
from shared.workloads import workload_class

_NAMED_IN_ERRORS = 10


def blueprint(context: Context) -> Blueprint:
    routes = Blueprint("models", __name__)
    config, table = context.config, context.table

    @routes.get("/models")
    def list_models() -> ResponseReturnValue:
        page = query_as(request, Page)
        workers, now = live_reports(config.reports_dir), context.clock()
        slots = list(table)
        entries = [
            model_entry(slot, workers, now, signal_of(context, slot.name) if slot.is_idle else None)
            for slot in page.of_items(slots)
        ]
        return json_response(page.answer("models", entries, len(slots)), is_for_people=True)

    @model_route(routes, "GET", "")
    def show_model(model: str) -> ResponseReturnValue:
        return json_response(model_in_full(context, model), is_for_people=True)

    @model_route(routes, "GET", "/versions")
    def list_versions(model: str) -> ResponseReturnValue:
        table.slot(model)
        page = query_as(request, Page)
        lines = version_lines(
            model,
            context.store.versions(model),
            rejected_versions(config.run_log_path, model),
            signal_of(context, model),
            live_reports(config.reports_dir),
        )
        entries = [
            {
                "version": line.version,
                "state": line.state,
                "reason": line.reason,
                **_manifest_part(context, model, line.version),
            }
            for line in page.of_items(lines)
        ]
        return json_response(page.answer("versions", entries, len(lines)), is_for_people=True)

    @model_route(routes, "GET", "/live")
    def show_live(model: str) -> ResponseReturnValue:
        slot = table.slot(model)
        report = look_at_retrain_daemon(config.reports_dir, context.clock()).report
        training = report.models.get(model) if report is not None else None
        found = training.live if training is not None else []
        lines = [live_line(one, _metrics(context, model, one.version)) for one in found]
        live = slot.live
        is_judged = live is None or workload_class(live.manifest.workload).judges_answers()
        sentence = live_sentence(lines, live.version if live else None, is_judged=is_judged)
        body = {"model": model, "sentence": sentence, "versions": lines}
        return json_response(body, is_for_people=True)

    def ask_for(
        kind: Kind, model: str, effect: str, reason: str, version: str | None = None
    ) -> ResponseReturnValue:
        answer = submit(
            config.requests_dir,
            config.reports_dir,
            context.clock(),
            kind=kind,
            model=model,
            requested_by=f"API, from {request.remote_addr}",
            effect=effect,
            version=version,
            reason=reason,
        )
        return json_response(answer | {"version": version} if version else answer, 202)

    @model_route(routes, "POST", "/reload")
    @needs(Role.ADMIN)
    def reload(model: str) -> ResponseReturnValue:
        named, reason = _version_and_reason(context, model)
        version = named or wanted(context, model).version
        require_verified(context, model, version)
        effect = f"every worker opens {version} again under a new generation and swaps to it."
        return ask_for("reload", model, effect, reason, version)

    @model_route(routes, "POST", "/rollback")
    @needs(Role.ADMIN)
    def rollback(model: str) -> ResponseReturnValue:
        named, reason = _version_and_reason(context, model)
        signal = wanted(context, model)
        version = named or signal.previous
        if version is None:
            raise StateConflict(
                f"{signal.version} is the first version of {model}; there is no previous one."
            )
        if version == signal.version:
            raise StateConflict(f"{version} is already the desired version of {model}.")
        if version not in context.store.versions(model):
            raise NotFound(f"the previous version {version} of {model} is not stored any more.")
        require_not_quarantined(context, model, version)
        require_verified(context, model, version)
        effect = (
            f"every worker goes from {signal.version} to {version}, which is held there:"
            f" nothing is promoted until POST /models/{model}/release."
        )
        return ask_for("rollback", model, effect, reason, version)

    @model_route(routes, "POST", "/hold")
    @needs(Role.ADMIN)
    def hold(model: str) -> ResponseReturnValue:
        reason = _only_reason(context, model)
        signal = wanted(context, model)
        effect = f"{signal.version} stays; nothing is promoted until POST /models/{model}/release."
        return ask_for("hold", model, effect, reason)

    @model_route(routes, "POST", "/release")
    @needs(Role.ADMIN)
    def release(model: str) -> ResponseReturnValue:
        reason = _only_reason(context, model)
        wanted(context, model)
        return ask_for("release", model, "the next better version is promoted again.", reason)

    @model_route(routes, "POST", "/confirm-deletions")
    @needs(Role.ADMIN)
    def confirm_deletions(model: str) -> ResponseReturnValue:
        reason = _only_reason(context, model)
        require_trained_here(context, model)
        return ask_for("confirm_deletions", model, deletions_effect(model), reason)

    return routes


def model_in_full(context: Context, model: str) -> dict[str, Any]:
    """Everything that `GET /models/<model>` says.

    Raises:
        NotFound: there is no such model.
    """
    slot = context.table.slot(model)
    workers = live_reports(context.config.reports_dir)
    signal = signal_of(context, model)
    live = slot.live
    reports = [report.models[model] for report in workers if model in report.models]
    return {
        **model_entry(slot, workers, context.clock(), signal),
        "questions": dict(live.answerer.questions) if live else {},
        "hold": signal.hold if signal else False,
        "previous": signal.previous if signal else None,
        "quarantined": {k: v for report in reports for k, v in report.quarantined.items()},
        "receipts": [report.receipt for report in reports if report.receipt],
        "manifest": _shown(context, slot, signal),
    }


def _only_reason(context: Context, model: str) -> str:
    context.table.slot(model)
    return body_as(request, Reason).reason or ""


def _version_and_reason(context: Context, model: str) -> tuple[str | None, str]:
    """The stored version a request names, None when it names none; and its reason."""
    context.table.slot(model)
    asked = body_as(request, VersionRequest)
    if asked.version is not None:
        stored = context.store.versions(model)
        if asked.version not in stored:
            shown = ", ".join(reversed(stored[-_NAMED_IN_ERRORS:])) or "none"
            raise RequestInvalid(f"one of the stored versions ({shown})", asked.version, "version")
    return asked.version, asked.reason or ""


def _metrics(context: Context, model: str, version: str) -> Mapping[str, Any]:
    try:
        return context.store.manifest(model, version).metrics
    except HotfitError:  # a version that retention took has answers yet
        return {}


def _manifest_part(context: Context, model: str, version: str) -> dict[str, Any]:
    try:
        manifest = context.store.manifest(model, version)
    except HotfitError as error:
        return {"manifest_error": str(error)}
    return {
        "run_id": manifest.run_id,
        "trained_at": manifest.trained_at,
        "watermark": manifest.watermark.newest_record_at,
        "judged_until": manifest.judged_until,
        "fitted_until": manifest.fitted_until,
        "metrics": manifest.metrics,
        "promotion": manifest.promotion.reason,
        "size_bytes": sum(entry.size_bytes for entry in manifest.files.values()),
    }


def _shown(context: Context, slot: ServingSlot, signal: ReloadSignal | None) -> Any:
    """All but the signature, which proves nothing once it went through here; None without one."""
    live = slot.live
    manifest = live.manifest if live is not None else None
    if manifest is None and slot.is_idle and signal is not None:
        with suppress(ManifestInvalid, NotFound, StorageUnavailable):  # its versions say why
            manifest = context.store.manifest(slot.name, signal.version)
    if manifest is None:
        return None
    fields = msgspec.to_builtins(manifest)
    fields.pop("signature")
    return fields
