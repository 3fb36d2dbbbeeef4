"""When to train, as tables and as random histories."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain_service.triggers import Train, TrainingState, Wait, decide
from shared.settings import TriggerSettings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

QUIET = TrainingState(
    new_records=0,
    watermark_seq=100,
    runs_since_finished=0,
    last_finished_at=NOW - HOUR,
    last_ended_at=NOW - HOUR,
    failures_in_a_row=0,
    has_champion=True,
    is_running=False,
    is_catching_up=False,
    n_usable_records=500,
)
FRESH = replace(
    QUIET, watermark_seq=0, last_finished_at=None, last_ended_at=None, has_champion=False
)
SETTINGS = TriggerSettings()


@pytest.mark.parametrize(
    ("state", "settings", "expected"),
    [
        (QUIET, SETTINGS, None),
        (replace(QUIET, new_records=9), SETTINGS, None),
        (replace(QUIET, new_records=10), SETTINGS, "new_records"),
        (replace(QUIET, new_records=10), TriggerSettings(new_records=0), None),
        (replace(QUIET, last_finished_at=NOW - 24 * HOUR), SETTINGS, "every"),
        (replace(QUIET, last_finished_at=NOW - 24 * HOUR), TriggerSettings(every=None), None),
        (replace(QUIET, requested=("r1", "curl")), SETTINGS, "manual"),
        (FRESH, SETTINGS, "first"),
        (replace(FRESH, n_usable_records=0), SETTINGS, None),
        (replace(FRESH, is_catching_up=True), SETTINGS, None),
        (replace(QUIET, new_records=10, is_running=True), SETTINGS, None),
        (replace(QUIET, requested=("r1", "curl"), is_running=True), SETTINGS, None),
        (
            replace(QUIET, new_records=10, failures_in_a_row=1, last_ended_at=NOW),
            SETTINGS,
            None,
        ),
        (
            replace(
                QUIET,
                new_records=10,
                failures_in_a_row=1,
                last_ended_at=NOW - timedelta(minutes=1),
            ),
            SETTINGS,
            "new_records",
        ),
        (replace(QUIET, new_records=10), TriggerSettings(min_interval=2 * HOUR), None),
        (
            replace(QUIET, requested=("r1", "curl"), failures_in_a_row=9, last_ended_at=NOW),
            SETTINGS,
            "manual",
        ),
    ],
)
def test_what_starts_a_run(
    state: TrainingState, settings: TriggerSettings, expected: str | None
) -> None:
    """The whole policy on one page."""
    decision = decide(state, settings, NOW)

    assert (decision.trigger if isinstance(decision, Train) else None) == expected
    assert decision.reason


def test_waiting_says_what_will_start_the_next_run() -> None:
    """Whoever looks at the training state must see how far it is."""
    decision = decide(replace(QUIET, new_records=4), SETTINGS, NOW)

    assert isinstance(decision, Wait)
    assert decision.reason == "after 6 more new records or at 2026-03-02 11:00:00 UTC"


def test_the_same_decision_has_the_same_key_and_the_next_attempt_another() -> None:
    """The run log refuses a key twice: a crash cannot double a run, a failure can be repeated."""
    due = replace(QUIET, new_records=10)

    first = decide(due, SETTINGS, NOW)
    again = decide(due, SETTINGS, NOW + timedelta(seconds=5))
    retry = decide(replace(due, runs_since_finished=1), SETTINGS, NOW)

    assert isinstance(first, Train)
    assert isinstance(again, Train)
    assert isinstance(retry, Train)
    assert first.key == again.key
    assert first.key != retry.key


@given(failures=st.integers(1, 500), minutes=st.integers(0, 10_000))
def test_back_off_grows_but_never_beyond_an_hour(failures: int, minutes: int) -> None:
    """A model that fails for a month must still be tried, and must not be tried in a storm."""
    ended = NOW - timedelta(minutes=minutes)
    state = replace(QUIET, new_records=10, failures_in_a_row=failures, last_ended_at=ended)

    decision = decide(state, SETTINGS, NOW)

    if minutes >= 60:
        assert isinstance(decision, Train)
    if minutes < min(2 ** min(failures - 1, 20), 60):
        assert isinstance(decision, Wait)


@given(
    arrivals=st.lists(
        st.tuples(st.integers(0, 15), st.sampled_from(["ok", "fail", "abandon"])), max_size=60
    )
)
def test_no_record_is_forgotten_and_no_key_is_used_twice(
    arrivals: list[tuple[int, str]],
) -> None:
    """Over any history of arrivals and failures, every record leads to a finished run."""
    settings = TriggerSettings(every=None)
    state, seen, finished_seq, keys, now = QUIET, 100, 100, set(), NOW

    for n_new, outcome in [*arrivals, (10, "ok")]:
        now += HOUR  # beyond every back-off
        seen += n_new
        state = replace(state, new_records=seen - finished_seq, watermark_seq=finished_seq)
        decision = decide(state, settings, now)
        assert isinstance(decision, Train) == (state.new_records >= 10)
        if isinstance(decision, Wait):
            continue
        assert decision.key not in keys
        keys.add(decision.key)
        if outcome == "ok":
            finished_seq = seen
            state = replace(
                state,
                runs_since_finished=0,
                failures_in_a_row=0,
                last_finished_at=now,
                last_ended_at=now,
            )
        else:
            state = replace(
                state,
                runs_since_finished=state.runs_since_finished + 1,
                failures_in_a_row=state.failures_in_a_row + (outcome == "fail"),
                last_ended_at=now,
            )

    assert finished_seq == seen
