"""Request a training from the retrain daemon, and refuse models that it does not train."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import request

from api_service.context import Context
from api_service.control.requests import submit
from api_service.status.retrain_daemon import look_at_retrain_daemon
from shared.errors import NotFound, StateConflict
from shared.versions.model_names import split_name
from shared.workloads import PER_ENTITY

_NAMED_IN_ERRORS = 10


def ask_for_training(
    context: Context, model: str, options: Mapping[str, Any], reason: str
) -> dict[str, Any]:
    """Ask the retrain daemon for a run; `request_id` of the answer is the run's id.

    Raises:
        NotFound, StateConflict: there is nothing to train it from.
    """
    require_trained_here(context, model)
    return submit(
        context.config.requests_dir,
        context.config.reports_dir,
        context.clock(),
        kind="train",
        model=model,
        requested_by=client_label(),
        effect=f"{model} is trained with everything known, and promoted if it is good enough.",
        reason=reason,
        options=options,
    )


def client_label() -> str:
    """As it is written into the log."""
    return f"API, from {request.remote_addr}"


def require_trained_here(context: Context, model: str, *, or_its_entities: bool = False) -> None:
    """Refuse a model that nobody trains, as the training daemon would.

    Args:
        or_its_entities: a configured model that has only entities will do.

    Raises:
        NotFound: there is no such model; names those that there are. StateConflict: it is served
            and not configured here.
    """
    base, entity = split_name(model)
    workload = context.config.workloads.get(base)
    if workload is not None:
        if not entity and (or_its_entities or workload not in PER_ENTITY):
            return
        # With a version, or seen in the data by the training daemon.
        report = look_at_retrain_daemon(context.config.reports_dir, context.clock()).report
        known = {*context.table.names(), *(report.models if report else ())}
        if model in known:
            return
        of_base = sorted(name for name in known if split_name(name)[0] == base)
        shown = ", ".join(of_base[:_NAMED_IN_ERRORS]) or "none yet"
        more = len(of_base) - _NAMED_IN_ERRORS
        raise NotFound(
            f"no model {model!r} is trained here; of {base} there is"
            f" {shown}{f' and {more} more' if more > 0 else ''}."
        )
    context.table.slot(model)
    raise StateConflict(f"{model} is served but not configured: there is nothing to train it from.")
