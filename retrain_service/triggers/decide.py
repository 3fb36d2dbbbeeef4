"""When to train: state + now → Decision. Pure; knows no database, no clock and no process.

Triggers are OR-ed and level-triggered: each stays due until a run that covers it has finished,
so that a brake, a failure, a cancel or a crash delays it and never loses it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from retrain_service.backoff import pause_s
from retrain_service.triggers.schedule import cron_moment, interval_moment
from retrain_service.triggers.training_state import RunUnderWay, TrainingState
from shared.settings.per_model import TriggerSettings

LONGEST_BACKOFF = timedelta(hours=1)
# Where no interval is set: a tenth of the time is spent on training, and no run follows at once.
SHORTEST_REST = timedelta(minutes=5)
LONGEST_REST = timedelta(days=1)
REST_FACTOR = 9
_DAY = timedelta(days=1)
# Where time-like triggers count from when no finished run is known.
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Train:
    """Start a run."""

    trigger: str
    reason: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Stop the run under way and start this one in its place."""

    trigger: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Do not train now.

    reason : what will start the next run, or what holds back one that is due.
    trigger : the trigger that is due and held back; None when nothing is due.
    until : when that ends, or when the next moment comes; None when no time is known.
    """

    reason: str
    trigger: str | None = None
    until: datetime | None = None


Decision = Train | Replace | Wait


def decide(state: TrainingState, settings: TriggerSettings, now: datetime) -> Decision:
    """Decide whether to train now. A person's request passes the brakes."""
    if state.running is not None:
        return _beside(state.running, state, settings, now)
    if state.requested is not None:
        return Train("manual", f"asked for by {state.requested}")
    if state.n_usable_records == 0:
        return Wait("there is no usable record yet")
    if state.is_catching_up:
        return Wait("first reading the records that are already there")
    due = _all_due(state, settings, now)
    if not due:
        return _nothing_due(state, settings, now)
    reason = "; ".join(due.values())
    trigger = next(iter(due))
    if (brake := _brake(state, settings, now)) is not None:
        until, why = brake
        sentence = f"{reason}; {why}: waits until {_when(until, settings)}"
        return Wait(sentence, trigger, until)
    return Train(trigger, reason)


def _beside(
    running: RunUnderWay, state: TrainingState, settings: TriggerSettings, now: datetime
) -> Decision:
    """What becomes of a trigger that comes due while a run is under way."""
    if state.requested is not None:
        asked = f"asked for by {state.requested}"
        if settings.overlap == "replace":
            return Replace("manual", asked)
        return Wait(f"a run is under way; the one {asked} follows", "manual")
    if settings.overlap == "skip":
        return Wait("a run is under way")
    # As if the run under way had finished: what it does not cover is due beside it.
    events = state.events
    beside = replace(
        state,
        running=None,
        covered_at=running.requested_at,
        finished_at=None,
        last_ended_at=running.requested_at,
        failures_in_a_row=0,
        n_cancelled=0,
        lost_request=None,
        has_finished=True,
        new_records=max(0, state.new_records - running.new_records),
        events=events if events is not None and events.last_at > running.requested_at else None,
        champion_libraries=None,
    )
    due = _all_due(beside, settings, now)
    if not due:
        return Wait("a run is under way")
    reason = "; ".join(due.values())
    trigger = next(iter(due))
    waits = Wait(f"a run is under way; one more follows: {reason}", trigger)
    if settings.overlap == "queue" or running.trigger == "manual" or running.is_replacement:
        # A person's run is a person's to stop. And a run that took another's place is left to
        # finish: triggers that come faster than runs end would else never let one through.
        return waits
    if (brake := _brake(beside, settings, now)) is not None:
        until, why = brake
        sentence = f"{waits.reason}; {why}: not before {_when(until, settings)}"
        return Wait(sentence, trigger, until)
    return Replace(trigger, reason)


# -- triggers ------------------------------------------------------------------------------------


def _all_due(state: TrainingState, settings: TriggerSettings, now: datetime) -> Mapping[str, str]:
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
    return f"{state.new_records} new records (every {needed})"


def records_needed(settings: TriggerSettings, n_usable_records: int) -> int:
    """So many new ones start a run: the number that is set, or the share, if that is more.

    0: never.
    """
    if not settings.new_records:
        return 0
    return max(settings.new_records, math.ceil(settings.new_records_share * n_usable_records))


def _event(state: TrainingState, settings: TriggerSettings, now: datetime) -> str | None:
    events = _pending_events(state, settings)
    if events is None or now < events.due_at or state.read_until is None:
        return None
    # A run on rows read before the event would answer it without having seen what it told of.
    if state.read_until < (events.first_at if now >= events.latest_at else events.last_at):
        return None
    return f"{_count(events.n, 'event')} since {_when(events.first_at, settings)}"


@dataclass(frozen=True, slots=True)
class _Pending:
    first_at: datetime
    last_at: datetime
    n: int
    due_at: datetime
    latest_at: datetime


def _pending_events(state: TrainingState, settings: TriggerSettings) -> _Pending | None:
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


def _answered_until(state: TrainingState, settings: TriggerSettings) -> datetime:
    """Moments up to here need no run of their own."""
    covered_at = state.covered_at or LONG_AGO
    if settings.overlap == "skip" and state.finished_at is not None:
        return max(covered_at, state.finished_at)
    return covered_at


def _cron(state: TrainingState, settings: TriggerSettings, now: datetime) -> str | None:
    found = cron_moment(settings.cron, settings.time_zone, _answered_until(state, settings))
    if found is None or now < found[0]:
        return None
    if state.covered_at is None:
        return f'cron "{found[1]}", and no run is known to have finished'
    return f'cron "{found[1]}" at {_when(found[0], settings)}'


def _every(state: TrainingState, settings: TriggerSettings, now: datetime) -> str | None:
    if not settings.every:
        return None
    spoken = _spoken(settings.every)
    if state.covered_at is None:
        return f"every {spoken}, and no run is known to have finished"
    if now < _next_interval(state.covered_at, settings.every, state, settings):
        return None
    return f"every {spoken}, and the last run was asked for at {_when(state.covered_at, settings)}"


def _next_interval(
    covered_at: datetime, every: timedelta, state: TrainingState, settings: TriggerSettings
) -> datetime:
    after = _answered_until(state, settings)
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


# -- brakes --------------------------------------------------------------------------------------


def _brake(
    state: TrainingState, settings: TriggerSettings, now: datetime
) -> tuple[datetime, str] | None:
    """The brake that holds longest: until when, and why. None when nothing holds."""
    found: list[tuple[datetime, str]] = []
    if state.last_ended_at is not None:
        # A run that ended with its daemon says nothing about the model.
        failures = state.failures_in_a_row + state.n_cancelled
        if failures:
            first_s = settings.failure_backoff.total_seconds()
            longest_s = LONGEST_BACKOFF.total_seconds()
            pause = pause_s(failures, first_s, longest_s, chance=lambda: state.jitter)
            why = f"{_count(failures, 'run')} in a row did not finish"
            found.append((state.last_ended_at + timedelta(seconds=round(pause)), why))
        if settings.min_interval is not None:
            why = f"at least {_spoken(settings.min_interval)} between two runs"
            found.append((state.last_ended_at + settings.min_interval, why))
    if settings.min_interval is None and state.finished_at is not None:
        rest, why = _rest(state.last_run_took)
        found.append((state.finished_at + rest, why))
    today = [at for at in state.recent_requests if at > now - _DAY]
    if settings.max_runs_per_day and len(today) >= settings.max_runs_per_day:
        why = f"{_count(len(today), 'run')} in 24 h, at most {settings.max_runs_per_day}"
        found.append((today[-settings.max_runs_per_day] + _DAY, why))
    longest = max(found, default=None)
    return longest if longest is not None and now < longest[0] else None


def _rest(took: timedelta | None) -> tuple[timedelta, str]:
    """How long to rest after a run that took so long, and why."""
    rest = min(max(SHORTEST_REST, REST_FACTOR * (took or timedelta(0))), LONGEST_REST)
    rest = timedelta(seconds=round(rest.total_seconds()))
    if took is None or rest == SHORTEST_REST:
        return rest, f"at least {_spoken(rest)} between two runs"
    return rest, f"the last run took {_spoken(timedelta(seconds=round(took.total_seconds())))}"


# -- words ---------------------------------------------------------------------------------------


def _nothing_due(state: TrainingState, settings: TriggerSettings, now: datetime) -> Wait:
    """What will start the next run."""
    ways, moments = [], []
    if settings.new_records:
        needed = records_needed(settings, state.n_usable_records)
        ways.append(f"after {needed - state.new_records} more new records")
    if (events := _pending_events(state, settings)) is not None:
        what = _count(events.n, "event")
        if now < events.due_at:
            moments.append(events.due_at)
            ways.append(f"at {_when(events.due_at, settings)} for {what}")
        else:
            ways.append(f"for {what} as soon as the source has been read after it")
    answered = _answered_until(state, settings)
    cron = cron_moment(settings.cron, settings.time_zone, answered)
    times = [cron[0]] if cron is not None else []
    if settings.every and state.covered_at is not None:
        times.append(_next_interval(state.covered_at, settings.every, state, settings))
    if times:
        moments.append(min(times))
        ways.append(f"at {_when(min(times), settings)}")
    return Wait(" or ".join(ways) or "only when asked for", None, min(moments, default=None))


def _when(at: datetime, settings: TriggerSettings) -> str:
    if settings.time_zone == "UTC":
        return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return f"{at.astimezone(ZoneInfo(settings.time_zone)):%Y-%m-%d %H:%M:%S} {settings.time_zone}"


def _spoken(span: timedelta) -> str:
    seconds = span.total_seconds()
    for unit_s, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit_s and seconds % unit_s == 0 and (unit != "d" or seconds > unit_s):
            return f"{seconds // unit_s:.0f} {unit}"
    return f"{seconds:g} s"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"
