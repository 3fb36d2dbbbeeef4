"""The training state: all inputs of the decision to train, from history, data and clock.

Pure: everything comes in as arguments. Knows the run log's values, not the run log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zlib import crc32

from retrain_service.triggers.steady_times import SteadyTimes
from shared.run_log.history import History
from shared.run_log.pending_events import PendingEvents
from shared.run_log.run import RunStatus

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RunUnderWay:
    """The run that goes on now.

    new_records : how many there were when it was decided on; those it takes into account.
    is_replacement : it took the place of a run that was stopped for it.
    """

    trigger: str
    requested_at: datetime
    new_records: int
    is_replacement: bool = False


@dataclass(frozen=True, slots=True)
class TrainingState:
    """What is known at one moment. Times are UTC.

    covered_at : when the rows of the last *finished* run were asked for: what happened up to
        then is answered by it. None: no run ever finished, or nobody knows when.
    finished_at : when that run ended; None as above.
    last_ended_at : end of the last run of any outcome.
    failures_in_a_row, n_cancelled : runs of that outcome since the last finished.
    recent_requests : when the runs of the last 24 hours were asked for, oldest first.
    lost_request : a person's run that ended with its daemon; the sentence that asked for it.
    new_records : usable records that changed since the last finished run's snapshot.
    is_catching_up : a stream is still bringing records that were there before.
    read_until : every stream has been read up to this time; None before the first reading.
    champion_libraries : what the wanted version was trained with; None: there is none.
    last_run_took : how long the last finished run trained; None: not known.
    jitter : a number from 0 to 1 for the back-off, the same at each look until a run has ended.
    finished_libraries : what the last run that trained was trained with; None: not recorded.
    libraries : what is installed now.
    requested : by whom a run is asked for that waits.
    """

    covered_at: datetime | None
    finished_at: datetime | None
    last_ended_at: datetime | None
    failures_in_a_row: int
    n_cancelled: int
    recent_requests: tuple[datetime, ...]
    lost_request: str | None
    has_finished: bool
    has_champion: bool
    new_records: int
    n_usable_records: int
    is_catching_up: bool
    read_until: datetime | None
    events: PendingEvents | None
    champion_libraries: Mapping[str, str] | None
    finished_libraries: Mapping[str, str] | None
    libraries: Mapping[str, str]
    running: RunUnderWay | None = None
    requested: str | None = None
    last_run_took: timedelta | None = None
    jitter: float = 0.0


def training_state(
    history: History,
    now: datetime,
    *,
    new_records: int,
    n_usable_records: int,
    is_caught_up: bool,
    read_until: datetime | None,
    events: PendingEvents | None,
    has_champion: bool,
    champion_libraries: Mapping[str, str] | None,
    libraries: Mapping[str, str],
    running: RunUnderWay | None,
    requested: str | None,
    times: SteadyTimes,
) -> TrainingState:
    """Gather the state, every moment of the past where it lies on the clock of `now`."""
    times.start_round()

    def placed(at: datetime | None) -> datetime | None:
        return times.sink(at, now) if at is not None else None

    if events is not None:
        first_at, last_at = times.sink(events.first_at, now), times.sink(events.last_at, now)
        events = replace(events, first_at=first_at, last_at=last_at)
    if running is not None:
        running = replace(running, requested_at=times.sink(running.requested_at, now))
    recent = sorted(times.sink(at, now) for at in history.recent_requests)
    return TrainingState(
        covered_at=placed(history.covered_at),
        finished_at=placed(history.finished_at),
        last_ended_at=placed(history.last_ended_at),
        failures_in_a_row=history.failures_in_a_row,
        n_cancelled=history.n_cancelled,
        recent_requests=tuple(at for at in recent if at > now - DAY),
        lost_request=history.lost_request,
        has_finished=history.last_finished is not None and not _is_lost(history, has_champion),
        has_champion=has_champion,
        new_records=new_records,
        n_usable_records=n_usable_records,
        is_catching_up=not is_caught_up,
        read_until=placed(read_until),
        events=events,
        champion_libraries=champion_libraries,
        finished_libraries=history.libraries,
        libraries=libraries,
        running=running,
        requested=requested,
        last_run_took=_took(history),
        jitter=crc32(f"{history.last_number} {history.last_ended_at}".encode()) / 2**32,
    )


def rows_read_until(
    state: TrainingState, events: PendingEvents | None, read_until: datetime | None
) -> datetime | None:
    """Until when the rows of a run that begins now were read, by the clock that dated `events`.

    That clock may have been set since: events which the state knows to be read are so, whatever
    the two times say.
    """
    if events is None or read_until is None or state.events is None or state.read_until is None:
        return read_until
    return (
        max(read_until, events.last_at) if state.events.last_at <= state.read_until else read_until
    )


def _took(history: History) -> timedelta | None:
    last = history.last_finished
    if last is None or last.started_at is None or history.finished_at is None:
        return None
    return max(timedelta(0), history.finished_at - last.started_at)


def _is_lost(history: History, has_champion: bool) -> bool:
    """What was promoted cannot be served any more, and no run since has tried to replace it."""
    last = history.last_finished
    return (
        not has_champion
        and last is not None
        and (last.promoted or last.status is RunStatus.SKIPPED)
    )
