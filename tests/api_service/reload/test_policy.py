"""The table of what a worker does: wanted against serving."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from api_service.reload.policy import (
    Action,
    Keep,
    Open,
    Situation,
    VersionKey,
    decide,
    fallback_order,
)
from shared.exchange.reload_signal import ReloadSignal
from tests.support.versions import version_name

V = {number: version_name(number) for number in range(1, 10)}


def wants(number: int, generation: int, previous: int | None = None) -> ReloadSignal:
    return ReloadSignal(
        generation=generation,
        version=V[number],
        manifest_sha256="0" * 64,
        previous=V[previous] if previous else None,
        reason="a test",
        promoted_at=datetime(2026, 11, 21, tzinfo=UTC),
    )


def kind_of(action: Action) -> str:
    if isinstance(action, Keep):
        return "keep" if action.degraded is None else "keep, degraded"
    return "open" if isinstance(action, Open) else "fall back"


TABLE: list[tuple[str, Situation, str, str]] = [
    (
        "nothing was ever promoted",
        Situation(None),
        "keep, degraded",
        "no version has been promoted yet",
    ),
    ("the first version", Situation(wants(1, 1)), "open", ""),
    ("what is wanted serves", Situation(wants(1, 1), None, (V[1], 1), (V[1], 1)), "keep", ""),
    ("a newer version", Situation(wants(2, 2), None, (V[1], 1), (V[1], 1)), "open", ""),
    (
        "several events were lost: only the newest counts",
        Situation(wants(7, 9), None, (V[1], 1), (V[1], 1)),
        "open",
        "",
    ),
    (
        "a rollback is a higher generation of an older version",
        Situation(wants(1, 3), None, (V[2], 2), (V[2], 2)),
        "open",
        "",
    ),
    (
        "the same version again under a higher generation",
        Situation(wants(2, 3), None, (V[2], 2), (V[2], 2)),
        "open",
        "",
    ),
    (
        "an older generation is not followed",
        Situation(wants(1, 1), None, (V[2], 2), (V[2], 2)),
        "keep, degraded",
        "went back from generation 2 to 1",
    ),
    (
        "an older generation is not followed with an empty slot either",
        Situation(wants(1, 1), None, None, (V[2], 2)),
        "keep, degraded",
        "Nothing serves",
    ),
    (
        "one generation names two versions",
        Situation(wants(3, 2), None, (V[2], 2), (V[2], 2)),
        "keep, degraded",
        "a generation names one version",
    ),
    (
        "the signal is gone",
        Situation(None, None, (V[2], 2), (V[2], 2)),
        "keep, degraded",
        f"the reload signal is gone. Still serving {V[2]}",
    ),
    (
        "the signal cannot be read",
        Situation(None, "not JSON", (V[2], 2), (V[2], 2)),
        "keep, degraded",
        "not JSON",
    ),
    (
        "a cold start with an unreadable signal",
        Situation(None, "not JSON"),
        "fall back",
        "not JSON",
    ),
    (
        "a quarantined version is not tried again",
        Situation(wants(3, 3), None, (V[2], 2), (V[3], 3), {(V[3], 3): "one flipped byte"}),
        "keep, degraded",
        f"one flipped byte Still serving {V[2]}",
    ),
    (
        "a cold start with a quarantined version",
        Situation(wants(3, 3), None, None, (V[3], 3), {(V[3], 3): "one flipped byte"}),
        "fall back",
        "one flipped byte",
    ),
    (
        "a quarantined version under a new generation is tried again",
        Situation(wants(3, 4), None, (V[2], 2), (V[3], 3), {(V[3], 3): "one flipped byte"}),
        "open",
        "",
    ),
    (
        "a fallback that is now wanted is opened under its generation",
        Situation(wants(2, 4), None, (V[2], 0), (V[3], 3)),
        "open",
        "",
    ),
]


@pytest.mark.parametrize(
    ("situation", "expected", "saying"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_what_to_do_follows_from_the_situation_alone(
    situation: Situation, expected: str, saying: str
) -> None:
    """The policy is pure, so the table is its whole specification."""
    action = decide(situation)

    assert kind_of(action) == expected
    assert saying in (getattr(action, "degraded", None) or "")


def test_deciding_twice_changes_nothing() -> None:
    """Level-triggered: doubled events ask the same question and get the same answer."""
    situation = Situation(wants(2, 2), None, (V[1], 1), (V[1], 1))

    assert decide(situation) == decide(situation)


ORDER: list[tuple[str, ReloadSignal | None, dict[VersionKey, str], list[int]]] = [
    ("newest first without a signal", None, {}, [4, 3, 2, 1]),
    ("the previous one before newer ones", wants(4, 4, previous=2), {}, [2, 4, 3, 1]),
    (
        "what failed at this generation is left out",
        wants(4, 4, 3),
        {(V[4], 4): "broken"},
        [3, 2, 1],
    ),
    ("what failed as a fallback is left out", wants(4, 4, 3), {(V[3], 0): "broken"}, [4, 2, 1]),
    (
        "after a rollback the version that was left comes last",
        wants(2, 5, previous=4),
        {(V[2], 5): "broken"},
        [1, 4, 3],
    ),
]


@pytest.mark.parametrize(
    ("signal", "quarantined", "expected"), [row[1:] for row in ORDER], ids=[row[0] for row in ORDER]
)
def test_the_best_fallback_comes_first(
    signal: ReloadSignal | None, quarantined: dict[VersionKey, str], expected: list[int]
) -> None:
    """A cold start must not bring back what somebody rolled back from while there is another."""
    stored = [V[number] for number in (1, 2, 3, 4)]

    assert fallback_order(stored, signal, quarantined) == [V[number] for number in expected]
