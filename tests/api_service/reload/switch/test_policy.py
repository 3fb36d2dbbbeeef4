"""When everybody switches, as tables: who has what warm, and what follows."""

from __future__ import annotations

import pytest

from api_service.reload.switch.policy import (
    LONGEST_OPENING_S,
    Commit,
    Refuse,
    Replace,
    Supersede,
    Switch,
    Verdict,
    Wait,
    WorkerStanding,
    decide,
)

ONE, TWO, THREE = ("v1", 1), ("v2", 2), ("v3", 3)
FALLBACK = ("v0", 0)
NOW, TIMEOUT = 100.0, 30.0


def serves(key: tuple[str, int] | None = ONE, **more: object) -> WorkerStanding:
    return WorkerStanding(joined_s=0.0, ready=key, **more)  # type: ignore[arg-type]


def opens(key: tuple[str, int], **more: object) -> WorkerStanding:
    return WorkerStanding(joined_s=0.0, ready=ONE, opening=key, opening_s=90.0, **more)  # type: ignore[arg-type]


def warm(key: tuple[str, int], ready_s: float = 95.0, **more: object) -> WorkerStanding:
    return WorkerStanding(joined_s=0.0, ready=key, ready_s=ready_s, **more)  # type: ignore[arg-type]


TABLE: list[tuple[str, Switch, Verdict]] = [
    ("nobody is there", Switch({}), Wait()),
    (
        "nothing serves, nothing is warm",
        Switch({1: WorkerStanding(0.0), 2: WorkerStanding(0.0)}),
        Wait(),
    ),
    ("the first one begins", Switch({1: WorkerStanding(0.0), 2: warm(ONE)}), Commit(ONE)),
    ("the newest of the first", Switch({1: warm(ONE), 2: warm(TWO)}), Commit(TWO)),
    ("a refused one does not begin", Switch({1: warm(TWO)}, refused={2: "no"}), Wait()),
    ("a way out begins", Switch({1: warm(FALLBACK)}, refused={2: "no"}), Commit(FALLBACK)),
    ("all serve", Switch({1: serves(), 2: serves()}, ONE), Wait()),
    ("one opens", Switch({1: serves(), 2: opens(TWO)}, ONE), Wait()),
    (
        "one is warm, one opens",
        Switch({1: warm(TWO), 2: opens(TWO)}, ONE),
        Wait(95 + TIMEOUT),
    ),
    (
        "one is warm, one has not looked yet",
        Switch({1: warm(TWO), 2: serves()}, ONE),
        Wait(95 + TIMEOUT),
    ),
    ("all are warm", Switch({1: warm(TWO), 2: warm(TWO)}, ONE), Commit(TWO)),
    (
        "one has another version for the moment",
        Switch({1: warm(TWO), 2: serves(FALLBACK)}, ONE),
        Wait(95 + TIMEOUT),
    ),
    ("the only one left is warm", Switch({1: warm(TWO)}, ONE), Commit(TWO)),
    (
        "a newer one is wanted by one, the other waits with the one before",
        Switch({1: warm(TWO), 2: opens(THREE)}, ONE),
        Supersede({1: 2}),
    ),
    (
        "both wait with the one before, and one wants a newer one",
        Switch({1: warm(TWO), 2: warm(TWO, opening=THREE)}, ONE),
        Supersede({1: 2, 2: 2}),
    ),
    (
        "a refused one is not waited for",
        Switch({1: warm(TWO), 2: serves()}, ONE, refused={2: "no"}),
        Wait(),
    ),
    (
        "one has had its time",
        Switch({1: warm(TWO, ready_s=NOW - TIMEOUT), 2: opens(TWO)}, ONE),
        Replace((2,), TWO),
    ),
    (
        "opening took the first long: the others have as long, and the time beside",
        Switch({1: warm(TWO, ready_s=60.0, load_s=20.0), 2: opens(TWO)}, ONE),
        Wait(60 + 20 + TIMEOUT),
    ),
    (
        "a worker that came later has its time from then on",
        Switch({1: warm(TWO, ready_s=50.0), 2: WorkerStanding(joined_s=90.0, ready=ONE)}, ONE),
        Wait(90 + TIMEOUT),
    ),
    (
        "a worker that opens another model is busy, not late",
        Switch({1: warm(TWO, ready_s=50.0), 2: serves(idle_since_s=None, busy_since_s=40.0)}, ONE),
        Wait(40 + LONGEST_OPENING_S),
    ),
    (
        "its time counts from the end of that",
        Switch({1: warm(TWO, ready_s=50.0), 2: serves(idle_since_s=99.0)}, ONE),
        Wait(99 + TIMEOUT),
    ),
    (
        "one that is being ended still answers, so nobody switches",
        Switch({1: warm(TWO, ready_s=50.0), 2: opens(TWO, is_ending=True)}, ONE),
        Wait(),
    ),
    (
        "the one that came in its place is late as well",
        Switch({1: warm(TWO, ready_s=50.0), 2: opens(TWO, replacement_for_generation=2)}, ONE),
        Refuse(TWO, (2,)),
    ),
    (
        "it was late for another version",
        Switch({1: warm(THREE, ready_s=50.0), 2: opens(THREE, replacement_for_generation=2)}, ONE),
        Replace((2,), THREE),
    ),
    (
        "one died while opening and is expected back",
        Switch({1: warm(TWO)}, ONE, missing_since_s=(96.0,)),
        Wait(96 + TIMEOUT),
    ),
    (
        "it did not come back",
        Switch({1: warm(TWO, ready_s=40.0)}, ONE, missing_since_s=(50.0,)),
        Commit(TWO),
    ),
]


@pytest.mark.parametrize(
    ("switch", "verdict"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_what_follows_from_who_has_what_warm(switch: Switch, verdict: Verdict) -> None:
    """The rule of the switch, case by case; nothing else decides."""
    assert decide(switch, NOW, TIMEOUT) == verdict
