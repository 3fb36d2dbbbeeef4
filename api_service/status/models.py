"""Describe each model from this worker's slot and every worker's report. Values in, values out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from api_service.serving_slot import ServingSlot
from api_service.status.problem_codes import ProblemCode
from shared.exchange.reload_signal import ReloadSignal
from shared.exchange.worker_report import Receipt, ServingReport, WorkerReport
from shared.versions.model_version import VersionState

WAITING = "waiting"
"""State of a model that has no version yet; versions themselves have a VersionState."""

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def model_entry(
    slot: ServingSlot,
    workers: Sequence[WorkerReport],
    now: datetime,
    signal: ReloadSignal | None = None,
) -> dict[str, Any]:
    """One model as `GET /models` and `/health` show it.

    Args:
        signal: what is wanted of a model that is closed until somebody asks for it.
    """
    live = slot.live
    lines = [worker_line(report, slot.name) for report in workers if slot.name in report.models]
    mine = [report.models[slot.name] for report in workers if slot.name in report.models]
    watermark = live.manifest.watermark.newest_record_at if live else None
    newest = max(mine, key=lambda report: report.generation, default=None)
    if live is not None:
        state = "serving"
    elif slot.is_idle:
        state = VersionState.PROMOTED.value
    else:
        state = newest.state if newest is not None and newest.wanted else WAITING
    age_s = seconds_since(watermark, now)
    fitted_until = live.manifest.fitted_until if live else None
    fitted_age_s = seconds_since(fitted_until, now)
    closed = signal if live is None and slot.is_idle else None
    degraded = next((report for report in mine if report.degraded), None)
    return {
        "name": slot.name,
        "version": live.version if live else closed.version if closed else None,
        "generation": live.generation if live else closed.generation if closed else None,
        "state": state,
        "loaded": live is not None,
        "wanted": newest.wanted if newest else closed.version if closed else None,
        "trained_at": live.manifest.trained_at if live else None,
        "watermark": watermark,
        "watermark_age_s": age_s,
        "watermark_age": in_words(age_s),
        "fitted_until": fitted_until,
        "fitted_age_s": fitted_age_s,
        "fitted_age": in_words(fitted_age_s),
        "candidate": live.manifest.candidate if live else None,
        "workers": lines,
        "degraded": degraded.degraded if degraded else None,
        "degraded_code": _code_of(degraded) if degraded else None,
        "last_error": next((report.error for report in mine if report.error), None),
        "last_swap": _swap_line(newest.receipt if newest else None),
    }


def _code_of(report: ServingReport) -> str:
    return report.degraded_code or ProblemCode.OTHER_VERSION_SERVED  # an older release's worker


def worker_line(report: WorkerReport, model: str) -> dict[str, Any]:
    """What one worker serves of one model."""
    serving = report.models[model]
    waiting = {} if serving.prepared is None else {"prepared": serving.prepared}
    return {
        "pid": report.pid,
        "version": serving.version,
        "generation": serving.serving_generation,
        # A worker that serves something else than it wants tells how far it is with the wish.
        "state": _worker_state(serving),
        **waiting,
    }


def _worker_state(serving: ServingReport) -> str:
    if serving.wanted is None:
        return WAITING if serving.version is None else "serving"
    return "serving" if serving.version == serving.wanted else serving.state


def _swap_line(receipt: Receipt | None) -> dict[str, Any] | None:
    if receipt is None:
        return None
    stages = ("verify_ms", "load_ms", "golden_ms", "warm_ms", "switch_ms")
    return {
        "version": receipt.version,
        "previous": receipt.previous,
        "at": receipt.swapped_at,
        "took_ms": round(sum(getattr(receipt, stage) for stage in stages), 1),
        "drain_ms": None if receipt.drain_ms is None else round(receipt.drain_ms, 1),
        "requests_failed": receipt.requests_failed,
    }


def seconds_since(at: datetime | None, now: datetime) -> int | None:
    """Whole seconds, never negative: clocks of two machines may differ a little."""
    return None if at is None else max(0, round((now - at).total_seconds()))


def in_words(age_s: int | None) -> str | None:
    """An age as people say it: "45 s", "12 min", "3 h 5 min", "2 days"."""
    if age_s is None:
        return None
    if age_s < 2 * _MINUTE_S:
        return f"{age_s} s"
    if age_s < 2 * _HOUR_S:
        return f"{age_s // _MINUTE_S} min"
    if age_s < 2 * _DAY_S:
        minutes = age_s % _HOUR_S // _MINUTE_S
        return f"{age_s // _HOUR_S} h" + (f" {minutes} min" if minutes else "")
    return f"{age_s // _DAY_S} days"
