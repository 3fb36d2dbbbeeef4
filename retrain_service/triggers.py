"""When to train: state + now → Decision. Pure; knows no database, no clock and no process."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.settings import TriggerSettings

LONGEST_BACKOFF = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class TrainingState:
    """All that a decision rests on.

    new_records : usable records that changed since the last *finished* run, so that a failure
        never loses the count.
    runs_since_finished : runs of any outcome since then; makes each attempt's key its own.
    last_finished_at, last_ended_at : end of the last run that succeeded, and of any run.
    failures_in_a_row : runs that failed since one succeeded.
    is_catching_up : a stream is still bringing records that were there before.
    requested : id of a person's request that waits, and by whom.
    """

    new_records: int
    watermark_seq: int
    runs_since_finished: int
    last_finished_at: datetime | None
    last_ended_at: datetime | None
    failures_in_a_row: int
    has_champion: bool
    is_running: bool
    is_catching_up: bool
    n_usable_records: int
    requested: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Train:
    """Start a run. `key` is the same for the same decision, whenever it is made again."""

    trigger: str
    reason: str
    key: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Do not train now; `reason` says what will start the next run."""

    reason: str


Decision = Train | Wait


def decide(state: TrainingState, settings: TriggerSettings, now: datetime) -> Decision:
    """Decide whether to train now. Triggers are OR-ed; a person's request passes the brakes."""
    if state.is_running:
        return Wait("a run is under way")
    if state.requested is not None:
        request_id, who = state.requested
        return Train("manual", f"asked for by {who}", f"manual:{request_id}")
    if state.n_usable_records == 0:
        return Wait("there is no usable record yet")
    if state.is_catching_up:
        return Wait("first reading the records that are already there")
    if (brake := _brake(state, settings, now)) is not None:
        return Wait(brake)
    attempt = f"{state.watermark_seq}:{state.runs_since_finished}"
    if not state.has_champion and state.last_finished_at is None:
        return Train("first", "there is no model yet", f"first:{attempt}")
    if settings.new_records and state.new_records >= settings.new_records:
        reason = f"{state.new_records} new records (every {settings.new_records})"
        return Train("new_records", reason, f"new_records:{attempt}")
    due_at = _due_at(state, settings)
    if due_at is not None and now >= due_at:
        reason = f"the last run ended at {_minute(state.last_finished_at)}, every {settings.every}"
        return Train("every", reason, f"every:{attempt}")
    return Wait(_next_due(state, settings, due_at))


def _brake(state: TrainingState, settings: TriggerSettings, now: datetime) -> str | None:
    if state.last_ended_at is None:
        return None
    if state.failures_in_a_row:
        pause = min(
            settings.failure_backoff * 2 ** min(state.failures_in_a_row - 1, 20), LONGEST_BACKOFF
        )
        if now < state.last_ended_at + pause:
            until = _minute(state.last_ended_at + pause)
            return f"the last {_times(state.failures_in_a_row)} failed; waits until {until}"
    if now < state.last_ended_at + settings.min_interval:
        until = _minute(state.last_ended_at + settings.min_interval)
        return f"the last run was a short while ago; waits until {until}"
    return None


def _due_at(state: TrainingState, settings: TriggerSettings) -> datetime | None:
    if settings.every is None or state.last_finished_at is None:
        return None
    return state.last_finished_at + settings.every


def _next_due(state: TrainingState, settings: TriggerSettings, due_at: datetime | None) -> str:
    ways = []
    if settings.new_records:
        ways.append(f"after {settings.new_records - state.new_records} more new records")
    if due_at is not None:
        ways.append(f"at {_minute(due_at)}")
    return " or ".join(ways) or "only when asked for"


def _minute(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC") if at is not None else "never"


def _times(n: int) -> str:
    return "run" if n == 1 else f"{n} runs"
