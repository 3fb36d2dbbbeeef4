"""Pauses between tries."""

from __future__ import annotations

from retrain_service.backoff import pause_s


def test_pauses_double_up_to_the_longest() -> None:
    """A database that is away for a night must not be asked a million times."""
    assert [pause_s(n, 1, 60, chance=lambda: 0.0) for n in (1, 2, 3, 7, 10_000)] == [
        *(1, 2, 4, 60, 60)
    ]


def test_two_that_failed_together_do_not_come_back_together() -> None:
    """A hundred streams of one database would else all ask at the same moment when it is back."""
    pauses = {pause_s(3, 1, 60) for _ in range(50)}

    assert len(pauses) > 40
    assert all(3 <= pause <= 4 for pause in pauses)
