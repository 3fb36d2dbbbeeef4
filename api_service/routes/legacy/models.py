"""Which model is meant where an address names none. Decides nothing else."""

from __future__ import annotations

from flask import request

from api_service.context import Context
from api_service.status.retrain_daemon import look_at_retrain_daemon
from shared.errors import NotFound, RequestInvalid
from shared.versions.model_names import entity_name, full_name, split_name

SIMILARITY, RECOMMENDER = "product_similarity", "product_recommender"
SOLAR, SERVERS = "solar_power", "server_metrics"

_NAMED_IN_ERRORS = 10


def resolve_model(context: Context, *workloads: str) -> str:
    """`?model=`, else the only configured model of the first of these workloads that has one.

    Raises:
        RequestInvalid: several have it and none is named.
        NotFound: none has it, or the named one has not.
    """
    configured = context.config.workloads
    named = request.args.get("model")
    if named is not None:
        if configured.get(split_name(named)[0]) not in workloads:
            raise NotFound(
                f"model {named!r} cannot be used on this route: {_those_with(context, workloads)}"
            )
        return named
    for workload in workloads:
        found = [name for name, own in configured.items() if own == workload]
        if len(found) == 1:
            return found[0]
        if found:
            raise RequestInvalid(f"one of the models {', '.join(found)}", None, "?model=")
    raise NotFound(f"nothing answers here: {_those_with(context, workloads)}")


def resolve_device(context: Context, model: str, device_id: str | None) -> str:
    """The model of a device, else of the only device there is.

    Raises:
        RequestInvalid: there are several devices and none is named.
    """
    if split_name(model)[1]:
        return model
    if device_id is not None:
        return full_name(model, entity_name(device_id))
    daemon = look_at_retrain_daemon(context.config.reports_dir, context.clock())
    known = {slot.name for slot in context.table}
    known |= set(daemon.report.models) if daemon.report else set()
    of_devices = sorted(name for name in known if name.startswith(f"{model}/"))
    if len(of_devices) > 1:
        shown = ", ".join(split_name(name)[1] for name in of_devices[:_NAMED_IN_ERRORS])
        raise RequestInvalid(f"one of the {len(of_devices)} devices ({shown})", None, "device_id")
    return of_devices[0] if of_devices else model


def _those_with(context: Context, workloads: tuple[str, ...]) -> str:
    configured = context.config.workloads
    able = [name for name, own in configured.items() if own in workloads]
    if able:
        return f"it is for {', '.join(able)}."
    known = ", ".join(f"{name} ({own})" for name, own in configured.items()) or "there is no model"
    return f"no model has the workload {' or '.join(workloads)}; configured: {known}."
