"""When all workers switch at one instant, and what is done about those that hold it up. Pure.

The rule: a generation is flipped to when every worker that serves the model has it warm. Before
anything serves, the first that is ready begins, for no client has seen another version. Tables in
the tests are the specification.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from api_service.reload.policy import VersionKey

LONGEST_OPENING_S = 600.0
"""A worker that has been opening another model for longer than this is taken to hang."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One worker's word on one model. Times are seconds on the monotonic clock.

    joined_s : since when it serves, or is about to serve, the model.
    opening, opening_s : what it opens, since when. ready, ready_s : what it has warm.
    load_s : how long that took it.
    free_s : since when it opens no other model; None while it does.
    busy_s : since when it opens another model.
    second_for : the generation that the worker held up whose place it took; 0 when none.
    is_ending : it is being ended, and may answer until it is gone.
    """

    joined_s: float
    opening: VersionKey | None = None
    opening_s: float = 0.0
    ready: VersionKey | None = None
    ready_s: float = 0.0
    load_s: float = 0.0
    free_s: float | None = 0.0
    busy_s: float = 0.0
    second_for: int = 0
    is_ending: bool = False


@dataclass(frozen=True, slots=True)
class Switch:
    """One model in all workers.

    committed : what serves; None when nothing does. refused : generations that never will.
    vacancy_s : when workers died that have not come back, one time for each.
    """

    workers: Mapping[int, Standing]
    committed: VersionKey | None = None
    refused: Mapping[int, str] = field(default_factory=dict)
    vacancy_s: tuple[float, ...] = ()


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
        worker: standing.ready
        for worker, standing in switch.workers.items()
        if standing.ready is not None and standing.ready != switch.committed
    }
    if switch.committed is None:
        first = _newest(held.values(), switch, above=-1)
        return Wait() if first is None else Commit(first)
    above = switch.committed[1]
    wanted = _newest(
        (
            key
            for standing in switch.workers.values()
            for key in (standing.opening, standing.ready)
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
    ready = [standing for standing in switch.workers.values() if standing.ready == wanted]
    if not ready:
        return Wait()
    if len(ready) == len(switch.workers) and not switch.vacancy_s:
        return Commit(wanted)
    patience_s = timeout_s + max(standing.load_s for standing in ready)
    first_s = min(standing.ready_s for standing in ready)
    due = {
        worker: _due_s(standing, first_s, patience_s)
        for worker, standing in switch.workers.items()
        if standing.ready != wanted and not standing.is_ending
    }
    overdue = tuple(sorted(worker for worker, at_s in due.items() if at_s <= now_s))
    if overdue:
        again = tuple(w for w in overdue if switch.workers[w].second_for == wanted[1])
        return Refuse(wanted, again) if again else Replace(overdue, wanted)
    vacant = [max(first_s, died_s) + patience_s for died_s in switch.vacancy_s]
    if len(ready) == len(switch.workers) and all(at_s <= now_s for at_s in vacant):
        return Commit(wanted)
    later = [at_s for at_s in (*due.values(), *vacant) if at_s > now_s]
    return Wait(min(later, default=None))


def _newest(keys: Iterable[VersionKey], switch: Switch, above: int) -> VersionKey | None:
    """The key of the highest generation that may serve."""
    return max(
        (key for key in keys if key[1] > above and key[1] not in switch.refused),
        key=lambda key: key[1],
        default=None,
    )


def _due_s(standing: Standing, first_s: float, patience_s: float) -> float:
    """When a worker that is not ready has had its time."""
    if standing.free_s is None:
        return standing.busy_s + LONGEST_OPENING_S
    return max(first_s, standing.joined_s, standing.free_s) + patience_s
