"""How many runs may go on at the same time, and who is next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retrain_service.training_job.job_limit import JobLimit


def test_no_more_run_than_there_are_slots() -> None:
    """Two cores cannot train five hundred devices at once."""
    slots = JobLimit(2)

    assert [slots.ask(name) for name in "abc"] == [True, True, False]


def test_whoever_has_waited_longest_goes_first() -> None:
    """A device that happens to be asked early in each round must not starve the others."""
    slots = JobLimit(1)
    assert slots.ask("a")
    assert not slots.ask("c")
    assert not slots.ask("b")

    slots.release("a")

    assert not slots.ask("a")
    assert not slots.ask("b")
    assert slots.ask("c")


def test_who_no_longer_wants_does_not_block_the_queue() -> None:
    """A trigger that went away must not hold a place for ever."""
    slots = JobLimit(1)
    slots.ask("a")
    slots.ask("b")
    slots.ask("c")

    slots.release("b")
    slots.release("a")

    assert slots.ask("c")


@given(
    n_slots=st.integers(1, 3),
    rounds=st.lists(st.tuples(st.sampled_from("abcde"), st.booleans()), max_size=80),
)
def test_everybody_who_keeps_asking_is_served_in_turn(
    n_slots: int, rounds: list[tuple[str, bool]]
) -> None:
    """Whatever the others do, nobody is passed by somebody who came later."""
    slots, holding, arrived = JobLimit(n_slots), set(), list[str]()

    for name, gives_back in rounds:
        if gives_back and name in holding:
            slots.release(name)
            holding.discard(name)
            continue
        was_waiting = name in arrived
        if slots.ask(name):
            if name not in holding:
                ahead = arrived[: arrived.index(name)] if was_waiting else arrived
                assert len(ahead) < n_slots - len(holding)
            holding.add(name)
            if was_waiting:
                arrived.remove(name)
        elif not was_waiting:
            arrived.append(name)
        assert len(holding) <= n_slots


def test_who_fails_before_it_can_ask_holds_up_nobody() -> None:
    """A model whose signal cannot be read stood first in the queue, and everybody waited for it."""
    slots = JobLimit(1)
    assert slots.ask("a")
    slots.begin_round()
    assert not slots.ask("broken")
    assert not slots.ask("c")
    assert not slots.ask("d")

    slots.release("a")
    slots.begin_round()
    assert not slots.ask("d")
    assert not slots.ask("c")
    slots.begin_round()

    assert not slots.ask("d")
    assert slots.ask("c")
