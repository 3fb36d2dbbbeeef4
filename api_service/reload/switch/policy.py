"""Decide when all workers switch, and what to do about workers that delay the others. Pure.

The rule: a generation is committed when every worker that serves the model has it loaded. Before
anything serves, the first worker that is ready commits, because no client has seen another
version. Tables in the tests are the specification.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from api_service.reload.policy import VersionKey

LONGEST_OPENING_S = 600.0
"""A worker that has been opening another model for longer than this is taken to hang."""


@dataclass(frozen=True, slots=True)
class WorkerStanding:
    """How far one worker is with one model. Times are seconds on the monotonic clock.

    joined_s : time at which the worker registered for the model.
    opening, opening_s : version that it opens, and since when; None: it opens none.
    ready, ready_s : version that it has warm, and since when; None: it has none.
    load_s : seconds that loading the warm version took.
    idle_since_s : since when it opens no other model; None while it opens one.
    busy_since_s : since when it opens another model.
    replacement_for_generation : generation for which its predecessor was replaced; 0: for none.
    is_ending : whether the worker is being ended; it may answer requests until it is gone.
    """

    joined_s: float
    opening: VersionKey | None = None
    opening_s: float = 0.0
    ready: VersionKey | None = None
    ready_s: float = 0.0
    load_s: float = 0.0
    idle_since_s: float | None = 0.0
    busy_since_s: float = 0.0
    replacement_for_generation: int = 0
    is_ending: bool = False


@dataclass(frozen=True, slots=True)
class Switch:
    """One model in all workers.

    committed : what serves; None when nothing does. refused : generations that never will.
    missing_since_s : when workers died that have not come back, one time for each.
    """

    workers: Mapping[int, WorkerStanding]
    committed: VersionKey | None = None
    refused: Mapping[int, str] = field(default_factory=dict)
    missing_since_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do. `until_s`: when to look again though nobody speaks; None when never."""

    until_s: float | None = None


@dataclass(frozen=True, slots=True)
class Commit:
    """Flip to it."""

    key: VersionKey


@dataclass(frozen=True, slots=True)
class Supersede:
    """Let go of what these workers have warm: worker -> generation."""

    generations: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Replace:
    """End these workers: they hold up the others."""

    workers: tuple[int, ...]
    key: VersionKey


@dataclass(frozen=True, slots=True)
class Refuse:
    """Nobody switches to it: a worker was replaced because of it and holds it up again."""

    key: VersionKey
    workers: tuple[int, ...]


Verdict = Wait | Commit | Supersede | Replace | Refuse


def decide(switch: Switch, now_s: float, timeout_s: float) -> Verdict:
    """What to do next. Called again after each thing that was done, until it says Wait."""
    held = {
        worker: status.ready
        for worker, status in switch.workers.items()
        if status.ready is not None and status.ready != switch.committed
    }
    if switch.committed is None:
        first = _newest(held.values(), switch, above=-1)
        return Wait() if first is None else Commit(first)
    above = switch.committed[1]
    wanted = _newest(
        (
            key
            for status in switch.workers.values()
            for key in (status.opening, status.ready)
            if key is not None
        ),
        switch,
        above=above,
    )
    if wanted is None:
        return Wait()
    old = {w: key[1] for w, key in held.items() if above < key[1] < wanted[1]}
    if old:
        return Supersede(old)
    ready = [status for status in switch.workers.values() if status.ready == wanted]
    if not ready:
        return Wait()
    if len(ready) == len(switch.workers) and not switch.missing_since_s:
        return Commit(wanted)
    time_limit_s = timeout_s + max(status.load_s for status in ready)
    first_s = min(status.ready_s for status in ready)
    due = {
        worker: _due_s(status, first_s, time_limit_s)
        for worker, status in switch.workers.items()
        if status.ready != wanted and not status.is_ending
    }
    overdue = tuple(sorted(worker for worker, at_s in due.items() if at_s <= now_s))
    if overdue:
        again = tuple(
            w for w in overdue if switch.workers[w].replacement_for_generation == wanted[1]
        )
        return Refuse(wanted, again) if again else Replace(overdue, wanted)
    missing_deadlines_s = [max(first_s, died_s) + time_limit_s for died_s in switch.missing_since_s]
    if len(ready) == len(switch.workers) and all(at_s <= now_s for at_s in missing_deadlines_s):
        return Commit(wanted)
    deadlines = [at_s for at_s in (*due.values(), *missing_deadlines_s) if at_s > now_s]
    return Wait(min(deadlines, default=None))


def _newest(keys: Iterable[VersionKey], switch: Switch, above: int) -> VersionKey | None:
    """The key of the highest generation that may serve."""
    return max(
        (key for key in keys if key[1] > above and key[1] not in switch.refused),
        key=lambda key: key[1],
        default=None,
    )


def _due_s(status: WorkerStanding, first_s: float, time_limit_s: float) -> float:
    """When a worker that is not ready has had its time."""
    if status.idle_since_s is None:
        return status.busy_since_s + LONGEST_OPENING_S
    return max(first_s, status.joined_s, status.idle_since_s) + time_limit_s
