"""List the triggers that are due now, in order of precedence. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from retrain_service.triggers.schedule import cron_moment, interval_moment
from retrain_service.triggers.training_state import TrainingState
from shared.formatting import format_count, format_moment, format_span
from shared.settings.per_model import TriggerSettings

DAY = timedelta(days=1)
# Where time-like triggers count from when no finished run is known.
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


# -- triggers ------------------------------------------------------------------------------------


def all_due(state: TrainingState, settings: TriggerSettings, now: datetime) -> Mapping[str, str]:
    """Every trigger that is due with its sentence; the first one names the run."""
    if not state.has_champion and not state.has_finished:
        return {"first": "there is no model to serve yet"}
    found = {
        "manual": _lost_request(state),
        "new_records": _new_records(state, settings),
        "event": _event(state, settings, now),
        "cron": _cron(state, settings, now),
        "every": _every(state, settings, now),
        "environment": _environment(state, settings),
    }
    return {trigger: reason for trigger, reason in found.items() if reason is not None}


def _lost_request(state: TrainingState) -> str | None:
    if state.lost_request is None:
        return None
    return f"{state.lost_request}, again: the run before did not come to its end"


def _new_records(state: TrainingState, settings: TriggerSettings) -> str | None:
    needed = records_needed(settings, state.n_usable_records)
    if not needed or state.new_records < needed:
        return None
    return f"{state.new_records} new records since the last run (trains at {needed})"


def records_needed(settings: TriggerSettings, n_usable_records: int) -> int:
    """So many new ones start a run: the number that is set, or the share, if that is more.

    0: never.
    """
    if not settings.new_records:
        return 0
    return max(settings.new_records, math.ceil(settings.new_records_share * n_usable_records))


def _event(state: TrainingState, settings: TriggerSettings, now: datetime) -> str | None:
    events = pending_events(state, settings)
    if events is None or now < events.due_at or state.read_until is None:
        return None
    # A run on rows read before the event would answer it without having seen what it told of.
    if state.read_until < (events.first_at if now >= events.latest_at else events.last_at):
        return None
    since = format_moment(events.first_at, settings.time_zone)
    return f"{format_count(events.n, 'event')} since {since}"


@dataclass(frozen=True, slots=True)
class _Pending:
    first_at: datetime
    last_at: datetime
    n: int
    due_at: datetime
    latest_at: datetime


def pending_events(state: TrainingState, settings: TriggerSettings) -> _Pending | None:
    events = state.events
    if not settings.event or events is None:
        return None
    first_at = events.first_at
    if state.covered_at is not None:
        # Of a burst that goes on, the finished run answered what came before it.
        first_at = min(max(first_at, state.covered_at), events.last_at)
    latest_at = first_at + settings.max_wait
    due_at = min(events.last_at + settings.debounce, latest_at)
    return _Pending(first_at, events.last_at, events.n, due_at, latest_at)


def answered_until(state: TrainingState, settings: TriggerSettings) -> datetime:
    """Moments up to here need no run of their own."""
    covered_at = state.covered_at or LONG_AGO
    if settings.overlap == "skip" and state.finished_at is not None:
        return max(covered_at, state.finished_at)
    return covered_at


def _cron(state: TrainingState, settings: TriggerSettings, now: datetime) -> str | None:
    found = cron_moment(settings.cron, settings.time_zone, answered_until(state, settings))
    if found is None or now < found[0]:
        return None
    if state.covered_at is None:
        return f'cron "{found[1]}", and no run is known to have finished'
    return f'cron "{found[1]}" at {format_moment(found[0], settings.time_zone)}'


def _every(state: TrainingState, settings: TriggerSettings, now: datetime) -> str | None:
    if not settings.every:
        return None
    spoken = format_span(settings.every)
    if state.covered_at is None:
        return f"every {spoken}, and no run is known to have finished"
    if now < next_interval(state.covered_at, settings.every, state, settings):
        return None
    last = format_moment(state.covered_at, settings.time_zone)
    return f"every {spoken}, and the last run was asked for at {last}"


def next_interval(
    covered_at: datetime, every: timedelta, state: TrainingState, settings: TriggerSettings
) -> datetime:
    after = answered_until(state, settings)
    return interval_moment(every, settings.time_zone, covered_at, after)


def _environment(state: TrainingState, settings: TriggerSettings) -> str | None:
    if not settings.environment or state.champion_libraries is None:
        return None
    changes = changed_libraries(state.champion_libraries, state.libraries)
    trained_with = state.finished_libraries
    # Tried under these libraries already, and not promoted: once is enough.
    was_tried = trained_with is not None and not changed_libraries(trained_with, state.libraries)
    return "libraries changed: " + ", ".join(changes) if changes and not was_tried else None


def changed_libraries(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs, as "numpy 2.2.0 → 2.3.1".

    Python is compared by its major and minor number, libraries exactly: a stored estimator is
    only promised to open with the very version that wrote it. What one side alone has recorded
    says nothing about a change.
    """
    return [
        f"{name} {before} → {now[name]}"
        for name, before in then.items()
        if name in now and _compared(name, before) != _compared(name, now[name])
    ]


def _compared(name: str, version: str) -> str:
    return ".".join(version.split(".")[:2]) if name == "python" else version
