"""When to train: state + now → Decision. Pure; knows no database, no clock and no process.

Triggers are OR-ed and level-triggered: each stays due until a run that covers it has finished,
so that a brake, a failure, a cancel or a crash delays it and never loses it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from retrain_service.backoff import pause_s
from retrain_service.triggers.decision import Decision, Replace, Train, Wait
from retrain_service.triggers.due import (
    DAY,
    all_due,
    answered_until,
    next_interval,
    pending_events,
    records_needed,
)
from retrain_service.triggers.schedule import cron_moment, next_opening
from retrain_service.triggers.training_state import RunUnderWay, TrainingState
from shared.formatting import format_count, format_moment, format_span
from shared.settings.per_model import TriggerSettings

LONGEST_BACKOFF = timedelta(hours=1)
# Where no interval is set: a tenth of the time is spent on training, and no run follows at once.
SHORTEST_REST = timedelta(minutes=5)
LONGEST_REST = timedelta(days=1)
REST_FACTOR = 9
NO_USABLE_RECORD = "there is no usable record yet"


def decide(state: TrainingState, settings: TriggerSettings, now: datetime) -> Decision:
    """Decide whether to train now. A person's request passes the brakes."""
    if state.running is not None:
        return _beside(state.running, state, settings, now)
    if state.requested is not None:
        return Train("manual", f"asked for by {state.requested}")
    if state.n_usable_records == 0:
        return Wait(NO_USABLE_RECORD)
    if state.is_catching_up:
        return Wait("first reading the records that are already there")
    due = all_due(state, settings, now)
    if not due:
        return _nothing_due(state, settings, now)
    reason = "; ".join(due.values())
    trigger = next(iter(due))
    if (brake := _brake(state, settings, now)) is not None:
        until, why = brake
        sentence = f"{reason}; {why}: waits until {format_moment(until, settings.time_zone)}"
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
    due = all_due(beside, settings, now)
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
        sentence = f"{waits.reason}; {why}: not before {format_moment(until, settings.time_zone)}"
        return Wait(sentence, trigger, until)
    return Replace(trigger, reason)


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
            why = f"{format_count(failures, 'run')} in a row did not finish"
            found.append((state.last_ended_at + timedelta(seconds=round(pause)), why))
        if settings.min_interval is not None:
            why = f"at least {format_span(settings.min_interval)} between two runs"
            found.append((state.last_ended_at + settings.min_interval, why))
    if settings.min_interval is None and state.finished_at is not None:
        rest, why = _rest(state.last_run_took)
        found.append((state.finished_at + rest, why))
    today = [at for at in state.recent_requests if at > now - DAY]
    if settings.max_runs_per_day and len(today) >= settings.max_runs_per_day:
        why = f"{format_count(len(today), 'run')} in 24 h, at most {settings.max_runs_per_day}"
        found.append((today[-settings.max_runs_per_day] + DAY, why))
    if settings.quiet_hours:
        opening = next_opening(settings.quiet_hours, settings.time_zone, now)
        if opening is not None:
            found.append((opening, f"it trains only from {' and '.join(settings.quiet_hours)}"))
    longest = max(found, default=None)
    return longest if longest is not None and now < longest[0] else None


def _rest(took: timedelta | None) -> tuple[timedelta, str]:
    """How long to rest after a run that took so long, and why."""
    rest = min(max(SHORTEST_REST, REST_FACTOR * (took or timedelta(0))), LONGEST_REST)
    rest = timedelta(seconds=round(rest.total_seconds()))
    if took is None or rest == SHORTEST_REST:
        return rest, f"at least {format_span(rest)} between two runs"
    return rest, f"the last run took {format_span(timedelta(seconds=round(took.total_seconds())))}"


# -- words ---------------------------------------------------------------------------------------


def _nothing_due(state: TrainingState, settings: TriggerSettings, now: datetime) -> Wait:
    """What will start the next run."""
    ways, moments = [], []
    if settings.new_records:
        needed = records_needed(settings, state.n_usable_records)
        ways.append(f"after {needed - state.new_records} more new records")
    if (events := pending_events(state, settings)) is not None:
        what = format_count(events.n, "event")
        if now < events.due_at:
            moments.append(events.due_at)
            ways.append(f"at {format_moment(events.due_at, settings.time_zone)} for {what}")
        else:
            ways.append(f"for {what} as soon as the source has been read after it")
    answered = answered_until(state, settings)
    cron = cron_moment(settings.cron, settings.time_zone, answered)
    times = [cron[0]] if cron is not None else []
    if settings.every and state.covered_at is not None:
        times.append(next_interval(state.covered_at, settings.every, state, settings))
    if times:
        moments.append(min(times))
        ways.append(f"at {format_moment(min(times), settings.time_zone)}")
    return Wait(" or ".join(ways) or "only when asked for", None, min(moments, default=None))
