"""Which model answers a question whose path names none. Looks only: opens and uses no model."""

from __future__ import annotations

from collections.abc import Collection

from flask import request

from api_service.context import Context
from api_service.control.desired_version import signal_of
from api_service.serving_slot import ServingSlot
from shared.errors import ManifestInvalid, NotFound, StorageUnavailable
from shared.versions.model_names import split_name


def slot_that_answers(context: Context, question: str, workloads: Collection[str]) -> ServingSlot:
    """`?model=`, else the default model if it can, else the first that can now, else that will.

    Args:
        workloads: those that answer the question; a model that is not open has only its workload.

    Raises:
        NotFound: no model can answer it, or there is none of that name.
    """
    named = request.args.get("model")
    if named is not None:
        slot = context.table.slot(named)
        if not _may_answer(context, slot, question, workloads):
            raise NotFound(f"model {named} does not answer {question!r}.")
        return slot
    able = [slot for slot in context.table if _may_answer(context, slot, question, workloads)]
    if not able:
        named_workloads = " or ".join(workloads)
        raise NotFound(f"no model answers {question!r}: none has the workload {named_workloads}.")
    default = context.config.default_model
    return min(able, key=lambda slot: (slot.name != default, not _has_version(slot)))


def _has_version(slot: ServingSlot) -> bool:
    return slot.live is not None or slot.is_idle


def _may_answer(
    context: Context, slot: ServingSlot, question: str, workloads: Collection[str]
) -> bool:
    live = slot.live
    if live is not None:
        return question in live.answerer.questions
    return _workload_of(context, slot) in workloads


def _workload_of(context: Context, slot: ServingSlot) -> str | None:
    """As configured; of a closed model that is not configured here, as its manifest says."""
    configured = context.config.workloads.get(split_name(slot.name)[0])
    if configured is not None or not slot.is_idle:
        return configured
    signal = signal_of(context, slot.name)
    try:
        return context.store.manifest(slot.name, signal.version).workload if signal else None
    except (ManifestInvalid, NotFound, StorageUnavailable):
        return None  # its own route says why
