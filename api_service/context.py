"""The services that routes may use, as one value that the worker makes for every blueprint."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask import has_request_context
from flask import request as flask_request

from api_service.metrics.recorder import Recorder
from api_service.metrics.request_counter import attribute_request, rows_in
from api_service.recording.prediction_log import PredictionLog
from api_service.web.yield_lock import hold_lock
from shared.daemon.loop import utc_now
from shared.errors import AnswerClient, NotReady

if TYPE_CHECKING:
    from datetime import datetime

    from api_service.config.serving import ServingConfig
    from api_service.serving_slot import ServingSlot, ServingTable
    from api_service.web.auth import KeyRing
    from shared.loading.open_version import LoadedModel
    from shared.versions.model_store import ModelStore


@dataclass(frozen=True, slots=True)
class Context:
    """Read-only for routes. `clock` is the wall clock, UTC.

    recorder : counts every request once. flush_metrics : makes what it counted visible to all.
    prediction_log : takes a sample of the answers.
    problems : what is wrong with this worker and with what it needs, now, as sentences.
    """

    config: ServingConfig
    table: ServingTable
    store: ModelStore
    ring: KeyRing
    clock: Callable[[], datetime] = utc_now
    recorder: Recorder = field(default_factory=Recorder)
    flush_metrics: Callable[[], None] = lambda: None
    prediction_log: PredictionLog = field(default_factory=PredictionLog)
    problems: Callable[[], Sequence[str]] = tuple


def identity(live: LoadedModel) -> dict[str, Any]:
    """Which version answered, what data it was fitted on and what it knows."""
    manifest = live.manifest
    return {
        "model": manifest.model,
        "version": manifest.version,
        "generation": live.generation,
        "trained_at": manifest.trained_at,
        "fitted_until": manifest.fitted_until,
        "watermark": manifest.watermark.newest_record_at,
    }


def ask(
    context: Context, slot: ServingSlot, question: str, request: Mapping[str, Any]
) -> dict[str, Any]:
    """Answer a question by exactly one version, which the answer names.

    Raises:
        NotReady: no version serves.
        RequestInvalid, NotFound: as the workload says.
    """
    now, started_s = context.clock(), time.perf_counter()
    with computing():
        try:
            live = slot.require()  # once: features, answer and names come from this object
            attribute_request(live, rows=0)  # also when it fails
            answer = live.answerer.answer(question, request, now)
        except AnswerClient as error:
            if error.status >= 500 and not isinstance(error, NotReady):
                slot.n_failed += 1
            raise
        except Exception:
            slot.n_failed += 1
            raise
        attribute_request(live, rows_in(answer))
        sample = context.prediction_log
        if sample.is_due(slot.name):
            latency_s = time.perf_counter() - started_s
            sample.note(live, question, now, latency_s, lambda: ((request, answer),))
        return {**answer, **identity(live)}


def computing() -> AbstractContextManager[None]:
    """Held while a model is asked: one thread of a worker at a time."""
    return hold_lock(flask_request.environ) if has_request_context() else nullcontext()
