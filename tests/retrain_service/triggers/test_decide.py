"""When to train, as tables and as random histories over a real run log."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrain_service.triggers.decide import decide
from retrain_service.triggers.decision import Replace, Train, Wait
from retrain_service.triggers.due import changed_libraries
from retrain_service.triggers.training_state import RunUnderWay, TrainingState
from shared.run_log.pending_events import PendingEvents
from shared.run_log.run import RunStatus
from shared.settings.per_model import TriggerSettings
from tests.support.simulated_daemon import MODEL, Killed, SimulatedDaemon, World

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
OLD = {"python": "3.12.4", "scikit-learn": "1.7.2", "numpy": "2.3.1"}
NEW = {**OLD, "scikit-learn": "1.8.0"}

QUIET = TrainingState(
    covered_at=NOW - HOUR,
    finished_at=NOW - HOUR + MINUTE,
    last_ended_at=NOW - HOUR + MINUTE,
    failures_in_a_row=0,
    n_cancelled=0,
    recent_requests=(NOW - HOUR,),
    lost_request=None,
    has_finished=True,
    has_champion=True,
    new_records=0,
    n_usable_records=500,
    is_catching_up=False,
    read_until=NOW,
    events=None,
    champion_libraries=OLD,
    finished_libraries=OLD,
    libraries=OLD,
)
FRESH = replace(
    QUIET,
    covered_at=None,
    finished_at=None,
    last_ended_at=None,
    recent_requests=(),
    has_finished=False,
    has_champion=False,
    champion_libraries=None,
    finished_libraries=None,
)
LONG_SINCE = replace(QUIET, covered_at=NOW - DAY, finished_at=NOW - DAY + MINUTE)
LOST_LOG = replace(FRESH, has_champion=True)
ONLY_EVENTS = TriggerSettings(new_records=0, every=timedelta(0), min_interval=timedelta(0))
NOON = TriggerSettings(cron=("0 12 * * *",), every=timedelta(0))


def events(first: timedelta, last: timedelta, n: int = 3) -> PendingEvents:
    """Events so long ago."""
    return PendingEvents(NOW - first, NOW - last, n)


def running(**given: Any) -> RunUnderWay:
    return replace(RunUnderWay("every", NOW - 10 * MINUTE, new_records=12), **given)


@pytest.mark.parametrize(
    ("changes", "asked", "expected"),
    [
        ({}, {}, None),
        # new_records: counted since the last finished run.
        ({"new_records": 9}, {}, None),
        ({"new_records": 10}, {}, "new_records"),
        ({"new_records": 10}, {"new_records": 0}, None),
        # every
        ({"covered_at": NOW - DAY}, {}, "every"),
        ({"covered_at": NOW - DAY + MINUTE}, {}, None),
        ({"covered_at": NOW - DAY}, {"every": None}, None),
        ({"covered_at": NOW - DAY}, {"every": timedelta(0)}, None),
        # cron: satisfied by a run that was asked for at or after the moment.
        ({}, {"cron": ("0 12 * * *",)}, "cron"),
        ({"covered_at": NOW}, {"cron": ("0 12 * * *",)}, None),
        ({"covered_at": NOW, "finished_at": NOW}, {"cron": ("0 13 * * *",)}, None),
        ({}, {"cron": ("0 3 * * *", "0 12 * * *")}, "cron"),
        ({}, {"cron": ("0 12 * * *",), "time_zone": "Europe/Berlin"}, None),
        ({}, {"cron": ("0 13 * * *",), "time_zone": "Europe/Berlin"}, "cron"),
        # event: quiet for the debounce, or max_wait over; and what it told of has been read.
        ({"events": events(40 * MINUTE, 29 * MINUTE / 60)}, {"max_wait": HOUR}, None),
        ({"events": events(40 * MINUTE, 31 * MINUTE / 60)}, {"max_wait": HOUR}, "event"),
        ({"events": events(9 * MINUTE, MINUTE / 60)}, {}, None),
        ({"events": events(10 * MINUTE, MINUTE / 60)}, {}, "event"),
        ({"events": events(5 * MINUTE, MINUTE)}, {"event": False}, None),
        ({"events": events(5 * MINUTE, MINUTE), "read_until": NOW - 2 * MINUTE}, {}, None),
        ({"events": events(5 * MINUTE, MINUTE), "read_until": None}, {}, None),
        ({"events": events(20 * MINUTE, MINUTE), "read_until": NOW - 2 * MINUTE}, {}, "event"),
        ({"events": events(20 * MINUTE, MINUTE), "read_until": NOW - 30 * MINUTE}, {}, None),
        # What a finished run has answered does not use up the max_wait of what came after it.
        ({"events": events(2 * HOUR, MINUTE / 60), "covered_at": NOW - 9 * MINUTE}, {}, None),
        # environment: the served version's libraries are not those installed.
        ({"libraries": NEW}, {}, "environment"),
        ({"libraries": NEW}, {"environment": False}, None),
        ({"libraries": NEW, "finished_libraries": NEW}, {}, None),
        ({"libraries": NEW, "champion_libraries": None}, {}, None),
        # manual passes the brakes; a person's run that was lost is made up for.
        ({"requested": "curl"}, {"max_runs_per_day": 1}, "manual"),
        (
            {"requested": "curl", "failures_in_a_row": 9, "last_ended_at": NOW},
            {"min_interval": DAY},
            "manual",
        ),
        ({"requested": "curl", "n_usable_records": 0}, {}, "manual"),
        ({"lost_request": "asked for by curl"}, {}, "manual"),
        # Brakes hold everything else back.
        ({"new_records": 10, "failures_in_a_row": 1, "last_ended_at": NOW}, {}, None),
        (
            {"new_records": 10, "failures_in_a_row": 1, "last_ended_at": NOW - MINUTE},
            {},
            "new_records",
        ),
        ({"new_records": 10, "n_cancelled": 1, "last_ended_at": NOW}, {}, None),
        ({"new_records": 10}, {"min_interval": HOUR}, None),
        ({"new_records": 10}, {"min_interval": HOUR - MINUTE}, "new_records"),
        ({"new_records": 10}, {"max_runs_per_day": 1}, None),
        ({"new_records": 10}, {"max_runs_per_day": 2}, "new_records"),
        ({"new_records": 10, "recent_requests": ()}, {"max_runs_per_day": 1}, "new_records"),
        ({"new_records": 10, "is_catching_up": True}, {}, None),
    ],
)
def test_what_starts_a_run(
    changes: Mapping[str, Any], asked: Mapping[str, Any], expected: str | None
) -> None:
    """The whole policy on one page."""
    given_settings = TriggerSettings.model_validate({**asked})

    decision = decide(replace(QUIET, **changes), given_settings, NOW)

    assert (decision.trigger if isinstance(decision, Train) else None) == expected
    assert decision.reason


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (FRESH, "first"),
        (replace(FRESH, n_usable_records=0), None),
        (replace(FRESH, is_catching_up=True), None),
        (replace(FRESH, has_finished=True, covered_at=NOW, finished_at=NOW), None),
        (replace(FRESH, failures_in_a_row=1, last_ended_at=NOW), None),
        # The run log was deleted and a version serves: time-like triggers have to begin somewhere.
        (LOST_LOG, "cron"),
        (replace(LOST_LOG, covered_at=NOW, finished_at=NOW), None),
    ],
)
def test_where_it_all_begins(state: TrainingState, expected: str | None) -> None:
    """Neither an empty house nor half a past may leave a model without training for ever."""
    decision = decide(state, NOON, NOW)

    assert (decision.trigger if isinstance(decision, Train) else None) == expected


@pytest.mark.parametrize(
    ("changes", "asked", "expected"),
    [
        ({}, "", "after 10 more new records or at 2026-03-02 11:00:00 UTC"),
        ({"new_records": 4}, "cron = 15", "after 6 more new records or at 2026-03-01 15:00:00 UTC"),
        (
            {"covered_at": NOW, "finished_at": NOW},
            "berlin",
            "after 10 more new records or at 2026-03-02 13:00:00 Europe/Berlin",
        ),
        (
            {"events": events(2 * MINUTE, MINUTE / 6)},
            "events",
            "at 2026-03-01 12:00:20 UTC for 3 events",
        ),
        (
            {"events": events(2 * MINUTE, MINUTE, 1), "read_until": NOW - HOUR},
            "events",
            "for 1 event as soon as the source has been read after it",
        ),
        ({}, "nothing", "only when asked for"),
        (
            {"new_records": 12, "failures_in_a_row": 3, "last_ended_at": NOW},
            "",
            "12 new records since the last run (trains at 10); 3 runs in a row did not finish:"
            " waits until 2026-03-01 12:04:00 UTC",
        ),
        (
            {"new_records": 12},
            "interval",
            "12 new records since the last run (trains at 10); at least 6 h between two runs:"
            " waits until 2026-03-01 17:01:00 UTC",
        ),
        (
            {"new_records": 1200},
            "per day",
            "1200 new records since the last run (trains at 10); 1 run in 24 h, at most 1:"
            " waits until 2026-03-02 11:00:00 UTC",
        ),
        (
            {"new_records": 12},
            "at night",
            "12 new records since the last run (trains at 10); it trains only from 22:00-06:00:"
            " waits until 2026-03-01 22:00:00 UTC",
        ),
    ],
)
def test_waiting_says_what_will_start_the_next_run_or_what_holds_it_back(
    changes: Mapping[str, Any], asked: str, expected: str
) -> None:
    """Whoever looks at the training state must see how far it is, and that nothing is lost."""
    given_settings = {
        "": TriggerSettings(),
        "cron = 15": TriggerSettings(cron=("0 15 * * *",)),
        "berlin": TriggerSettings(time_zone="Europe/Berlin"),
        "events": ONLY_EVENTS,
        "nothing": ONLY_EVENTS,
        "interval": TriggerSettings(min_interval=6 * HOUR),
        "per day": TriggerSettings(max_runs_per_day=1),
        "at night": TriggerSettings(quiet_hours=("22:00-06:00",)),
    }[asked]

    decision = decide(replace(QUIET, **changes), given_settings, NOW)

    assert isinstance(decision, Wait)
    assert decision.reason == expected
    assert decision.until is None or decision.until > NOW
    assert (decision.trigger is not None) == ("waits until" in expected)


def test_a_run_names_every_trigger_that_it_answers() -> None:
    """One run answers all that is due; the log must not hide the cron moment behind the records."""
    state = replace(LONG_SINCE, new_records=10, libraries=NEW)

    decision = decide(state, TriggerSettings(cron=("0 12 * * *",)), NOW)

    assert decision == Train(
        "new_records",
        '10 new records since the last run (trains at 10); cron "0 12 * * *" at'
        " 2026-03-01 12:00:00 UTC;"
        " every 24 h, and the last run was asked for at 2026-02-28 12:00:00 UTC;"
        " libraries changed: scikit-learn 1.7.2 → 1.8.0",
    )


@pytest.mark.parametrize(
    ("changes", "under_way", "skip", "queue", "replaces"),
    [
        ({}, {}, "waits", "waits", "waits"),
        # The records it takes into account are not new to it.
        ({"new_records": 21}, {}, "waits", "waits", "waits"),
        ({"new_records": 22}, {}, "waits", "follows", "replaces"),
        ({"events": events(5 * MINUTE, MINUTE)}, {}, "waits", "follows", "replaces"),
        ({"events": events(20 * MINUTE, 15 * MINUTE)}, {}, "waits", "waits", "waits"),
        # A moment that comes during the run; one that came before it is the run's own.
        ({"cron": "0 12 * * *"}, {}, "waits", "follows", "replaces"),
        ({"cron": "50 11 * * *"}, {}, "waits", "waits", "waits"),
        ({"libraries": NEW}, {}, "waits", "waits", "waits"),
        # Only a person stops a person's run.
        ({"new_records": 22}, {"trigger": "manual"}, "waits", "follows", "follows"),
        ({"requested": "me"}, {"trigger": "manual"}, "follows", "follows", "replaces"),
        ({"requested": "me"}, {}, "follows", "follows", "replaces"),
        # A run that took another's place is left to finish: triggers cannot starve a model.
        ({"new_records": 22}, {"is_replacement": True}, "waits", "follows", "follows"),
        ({"requested": "me"}, {"is_replacement": True}, "follows", "follows", "replaces"),
        # Brakes hold for replacing, too.
        ({"new_records": 22, "min_interval": HOUR}, {}, "waits", "follows", "follows"),
        ({"new_records": 22, "max_runs_per_day": 1}, {}, "waits", "follows", "follows"),
    ],
)
def test_what_becomes_due_while_a_run_is_under_way(
    changes: dict[str, Any],
    under_way: Mapping[str, Any],
    skip: str,
    queue: str,
    replaces: str,
) -> None:
    """The three ways to overlap, side by side."""
    changes = dict(changes)
    names = [name for name in ("min_interval", "max_runs_per_day") if name in changes]
    brakes: dict[str, Any] = {name: changes.pop(name) for name in names}
    cron = (changes.pop("cron"),) if "cron" in changes else ()
    state = replace(QUIET, new_records=12, running=running(**under_way))
    found: dict[str, str] = {}

    for overlap in ("skip", "queue", "replace"):
        asked: dict[str, Any] = {"overlap": overlap, "cron": cron, **brakes}
        decision = decide(replace(state, **changes), TriggerSettings.model_validate(asked), NOW)
        assert not isinstance(decision, Train)
        if isinstance(decision, Replace):
            found[overlap] = "replaces"
        else:
            found[overlap] = "follows" if "follows" in decision.reason else "waits"

    assert found == {"skip": skip, "queue": queue, "replace": replaces}


@pytest.mark.parametrize(
    ("overlap", "expected"), [("skip", None), ("queue", "cron"), ("replace", "cron")]
)
def test_a_moment_that_came_during_a_run_is_skipped_or_kept(
    overlap: str, expected: str | None
) -> None:
    """After the run: with "skip" it counts as answered by the run it fell into."""
    state = replace(QUIET, covered_at=NOW - 2 * HOUR, finished_at=NOW - HOUR)
    asked = TriggerSettings.model_validate({"overlap": overlap, "cron": "30 10 * * *"})

    decision = decide(state, asked, NOW)

    assert (decision.trigger if isinstance(decision, Train) else None) == expected


@given(failures=st.integers(1, 500), minutes=st.integers(0, 10_000))
def test_back_off_grows_but_never_beyond_an_hour(failures: int, minutes: int) -> None:
    """A model that fails for a month must still be tried, and must not be tried in a storm."""
    ended = NOW - timedelta(minutes=minutes)
    state = replace(QUIET, new_records=10, failures_in_a_row=failures, last_ended_at=ended)

    decision = decide(state, TriggerSettings(), NOW)

    if minutes >= 60:
        assert isinstance(decision, Train)
    if minutes < min(2 ** min(failures - 1, 20), 60):
        assert isinstance(decision, Wait)


@pytest.mark.parametrize(
    ("now", "changes"),
    [
        ({}, []),
        ({"python": "3.12.9"}, []),
        ({"python": "3.13.0"}, ["python 3.12.4 → 3.13.0"]),
        ({"numpy": "2.3.2"}, ["numpy 2.3.1 → 2.3.2"]),
        ({"treelite": "4.4.1"}, []),
    ],
)
def test_which_change_of_a_library_counts(now: Mapping[str, str], changes: list[str]) -> None:
    """A patch of Python changes no pickle; any release of scikit-learn may."""
    assert changed_libraries(OLD, {**OLD, **now}) == changes


# -- random histories ------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.integers(1, 240),  # minutes until it happens
        st.one_of(
            st.integers(1, 15),  # so many records
            st.sampled_from(["event", "request", "stop", "source down", "source up", "upgrade"]),
            st.sampled_from(["decided", "written", "started", "published", "ended"]),
        ),
    ),
    max_size=25,
)
POLICIES = st.builds(
    TriggerSettings,
    new_records=st.sampled_from([0, 10]),
    every=st.sampled_from([timedelta(0), 6 * HOUR, DAY]),
    cron=st.sampled_from([(), ("30 */4 * * *",), ("0 2 * * *", "15 14 * * *")]),
    time_zone=st.sampled_from(["UTC", "Europe/Berlin"]),
    overlap=st.sampled_from(["skip", "queue", "replace"]),
    min_interval=st.sampled_from([timedelta(0), 45 * MINUTE]),
    max_runs_per_day=st.sampled_from([0, 4]),
)


class History:
    """Lives one random history and checks after each tick what may never happen."""

    def __init__(self, path: Path, policy: TriggerSettings, outcomes: list[str]) -> None:
        self.path, self.policy, self.outcomes = path, policy, outcomes
        # The night of the change to summer time lies ahead.
        self.now = datetime(2026, 3, 28, 20, tzinfo=UTC)
        self.world = World()
        self.events: list[datetime] = []
        self.n_seen = 0
        self.daemon = self.start()

    def start(self) -> SimulatedDaemon:
        return SimulatedDaemon(self.path, self.world, self.policy, self.now, outcome=self.outcome)

    def outcome(self, number: int) -> Any:
        return self.outcomes[number] if number < len(self.outcomes) else "ok"

    def tick(self) -> None:
        try:
            self.daemon.tick(self.now)
        except Killed:
            self.daemon = self.start()
        self.check_new_runs()

    def check_new_runs(self) -> None:
        runs = sorted(self.daemon.log.runs(limit=1000)[0], key=lambda run: run.version_number)
        for run in runs[self.n_seen :]:
            before = [other for other in runs if other.version_number < run.version_number]
            under_way = [r for r in before if r.finished_at is None]
            assert not under_way, "two runs at a time"
            if run.trigger == "manual":
                continue
            day = [r for r in before if r.requested_at > run.requested_at - DAY]
            limit = self.policy.max_runs_per_day
            assert not limit or len(day) < limit
            ends = [r.finished_at for r in before if r.finished_at is not None]
            is_replacement = before and before[-1].status is RunStatus.CANCELLED
            if ends and not is_replacement:
                assert run.requested_at >= max(ends) + (self.policy.min_interval or timedelta(0))
            if before and before[-1].status is RunStatus.FAILED:
                assert run.requested_at >= max(ends) + self.policy.failure_backoff
        self.n_seen = len(runs)

    def happen(self, what: int | str) -> None:
        if isinstance(what, int):
            self.world.n_records += what
        elif what == "event":
            self.daemon.log.add_pending_events(MODEL, self.now, self.now, 1)
            self.events.append(self.now)
        elif what == "request":
            self.world.requests.append((f"r{len(self.world.requests)}", self.now))
        elif what == "stop":
            self.daemon.stop(self.now)
            self.now += 5 * HOUR
            self.daemon = self.start()
        elif what == "upgrade":
            self.world.libraries["numpy"] = f"2.{len(self.events)}.{self.now:%d%H%M}"
        elif what.startswith("source"):
            self.world.is_source_up = what.endswith("up")
        else:
            self.daemon.kill_at = what  # type: ignore[assignment]

    def wait(self, span: timedelta) -> None:
        until = self.now + span
        while self.now < until:
            self.now = min(until, self.now + 20 * MINUTE)
            self.tick()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    policy=POLICIES,
    steps=STEPS,
    outcomes=st.lists(st.sampled_from(["ok", "ok", "fail", "rejected"]), max_size=12),
)
def test_over_any_history_nothing_is_lost_nothing_doubled_and_the_brakes_hold(
    policy: TriggerSettings, steps: list[tuple[int, Any]], outcomes: list[str]
) -> None:
    """Records, events, requests, failures, kills at each point, stops, outages, upgrades."""
    with tempfile.TemporaryDirectory() as directory:
        history = History(Path(directory) / "run_log.sqlite", policy, outcomes)
        for minutes, what in steps:
            history.wait(timedelta(minutes=minutes))
            history.happen(what)
        history.world.is_source_up = True
        settled_at = history.now
        history.daemon.kill_at = None
        history.wait(2 * DAY)  # brakes, back-off and the runs that still fail

        log, daemon = history.daemon.log, history.daemon
        assert_nothing_is_left(history, settled_at)
        requests = {run_id for run_id, _ in history.world.requests}
        assert all(log.has_run(run_id) for run_id in requests)
        assert log.history(MODEL).lost_request is None
        daemon.stop(history.now)


def assert_nothing_is_left(history: History, settled_at: datetime) -> None:
    """By the runs in the log alone, not by the state the decisions were made from."""
    policy, daemon = history.policy, history.daemon
    finished = [run for run in daemon.log.runs(limit=1000)[0] if run.status is RunStatus.SUCCEEDED]
    newest = max(finished, key=lambda run: run.version_number)
    if policy.new_records:
        assert history.world.n_records - (newest.high_seq or 0) < policy.new_records
    assert all(any(run.requested_at >= event for run in finished) for event in history.events)
    assert daemon.log.pending_events(MODEL) is None
    if policy.cron or policy.every == DAY:
        assert newest.requested_at > settled_at
    if history.world.has_champion:
        tried = (history.world.champion_libraries, newest.details.get("libraries"))
        assert history.world.libraries in tried


def test_after_any_downtime_at_most_one_run_makes_up_for_it(tmp_path: Path) -> None:
    """A month of missed moments is one run: the past cannot be trained for any more."""
    policy = TriggerSettings(cron=("*/10 * * * *",), every=HOUR, overlap="queue")
    world = World()
    daemon = SimulatedDaemon(tmp_path / "log", world, policy, NOW, duration=MINUTE)
    daemon.tick(NOW)
    daemon.tick(NOW + MINUTE)
    daemon.stop(NOW + MINUTE)
    world.n_records += 1000
    back = NOW + timedelta(days=30, minutes=3)

    daemon = SimulatedDaemon(tmp_path / "log", world, policy, back, duration=MINUTE)
    for minutes in range(7):
        daemon.tick(back + minutes * MINUTE)

    runs, _ = daemon.log.runs()
    assert [run.requested_at for run in runs] == [back, NOW]
    daemon.stop(back)


def test_a_run_that_a_restart_ended_does_not_answer_the_moments_of_the_outage(
    tmp_path: Path,
) -> None:
    """Published and killed at one o'clock, back at nine: two o'clock was during no run."""
    policy = TriggerSettings(cron=("0 14 * * *",), overlap="skip")
    world = World()
    daemon = SimulatedDaemon(tmp_path / "log", world, policy, NOW)
    daemon.tick(NOW)
    daemon.kill_at = "published"
    with suppress(Killed):
        daemon.tick(NOW + 10 * MINUTE)

    daemon = SimulatedDaemon(tmp_path / "log", world, policy, NOW + 9 * HOUR)
    decision = daemon.tick(NOW + 9 * HOUR)

    assert isinstance(decision, Train)
    assert decision.trigger == "cron"
    daemon.stop(NOW + 9 * HOUR)


def test_a_request_that_waited_for_the_daemon_answers_the_moments_that_were_missed(
    tmp_path: Path,
) -> None:
    """Its rows are of the evening, whenever it was asked for: one run makes up for all."""
    policy = TriggerSettings(cron=("0 14 * * *",), overlap="queue")
    world = World()
    daemon = SimulatedDaemon(tmp_path / "log", world, policy, NOW)
    daemon.tick(NOW)
    daemon.tick(NOW + 10 * MINUTE)
    daemon.stop(NOW + 10 * MINUTE)
    world.requests.append(("by-hand", NOW + HOUR))

    daemon = SimulatedDaemon(tmp_path / "log", world, policy, NOW + 6 * HOUR)
    for minutes in range(60):
        daemon.tick(NOW + 6 * HOUR + minutes * MINUTE)

    assert [run.trigger for run in daemon.log.runs()[0]] == ["manual", "first"]
    daemon.stop(NOW + 9 * HOUR)


def test_every_trigger_setting_is_explained() -> None:
    """docs/triggers.md is where people look for what a setting does."""
    page = (Path(__file__).parents[3] / "docs" / "triggers.md").read_text(encoding="utf-8")

    assert [name for name in TriggerSettings.model_fields if f"`{name}`" not in page] == []


def test_a_clock_that_was_wrong_for_a_while_does_not_stop_training(tmp_path: Path) -> None:
    """A machine that boots in the year 2036 and is put right must not wait for ten years."""
    policy = TriggerSettings(cron=("0 2 * * *",), min_interval=HOUR, max_runs_per_day=1)
    world, wrong = World(), datetime(2036, 1, 1, tzinfo=UTC)
    daemon = SimulatedDaemon(tmp_path / "log", world, policy, wrong)
    daemon.clock_error = wrong - NOW
    daemon.tick(wrong)
    daemon.tick(wrong + HOUR)

    daemon.clock_error = timedelta(0)
    for hours in range(2, 26):
        daemon.tick(NOW + hours * HOUR)

    # The first run was a day ago by then, whatever the clock said of it.
    assert [run.requested_at for run in daemon.log.runs()[0]] == [wrong, NOW + DAY]
    daemon.stop(NOW + 26 * HOUR)


def test_a_clock_that_is_set_back_by_hours_holds_no_run_up(tmp_path: Path) -> None:
    """Nothing waits until the clock says again what it had said before."""
    policy = TriggerSettings(every=HOUR, max_runs_per_day=3, min_interval=timedelta(0))
    world = World()
    daemon = SimulatedDaemon(tmp_path / "log", world, policy, NOW, duration=MINUTE)
    daemon.tick(NOW)
    daemon.tick(NOW + 10 * MINUTE)
    world.n_records += 100
    daemon.log.add_pending_events(MODEL, NOW + 10 * MINUTE, NOW + 10 * MINUTE, 1)

    daemon.clock_error = -5 * HOUR
    started = [daemon.tick(NOW - 5 * HOUR + minutes * MINUTE) for minutes in range(11, 180)]

    ran = [place for place, decision in enumerate(started) if isinstance(decision, Train)]
    assert ran[0] <= 1  # what came before the jump is no reason to wait
    assert len(ran) == 2  # the brake of three a day holds
    assert ran[1] - ran[0] == 60
    assert daemon.log.pending_events(MODEL) is None
    daemon.stop(NOW)


def test_a_failure_that_the_log_dates_in_the_future_is_backed_off_from(tmp_path: Path) -> None:
    """A model that fails is not to be trained without a pause for want of a believable date."""
    policy = TriggerSettings(failure_backoff=HOUR, every=timedelta(0), new_records=1)
    ahead = NOW + 3 * DAY
    before = SimulatedDaemon(
        tmp_path / "log", World(), policy, ahead, outcome=lambda _n: "fail", duration=MINUTE
    )
    before.tick(ahead)
    before.tick(ahead + 2 * MINUTE)
    before.stop(ahead + 3 * MINUTE)

    daemon = SimulatedDaemon(tmp_path / "log", World(), policy, NOW, duration=MINUTE)
    decisions = [daemon.tick(NOW + minutes * MINUTE) for minutes in range(65)]

    began = [place for place, decision in enumerate(decisions) if isinstance(decision, Train)]
    assert began[0] == 60
    daemon.stop(NOW + 2 * HOUR)


@pytest.mark.parametrize(
    ("took", "ended_ago", "starts"),
    [
        (10 * MINUTE / 60, 4 * MINUTE, False),
        (10 * MINUTE / 60, 5 * MINUTE, True),
        (HOUR, 8 * HOUR, False),
        (HOUR, 9 * HOUR, True),
        (7 * DAY, DAY - MINUTE, False),
        (7 * DAY, DAY, True),
        (None, 5 * MINUTE, True),
    ],
)
def test_without_an_interval_a_tenth_of_the_time_is_spent_on_training(
    took: timedelta | None, ended_ago: timedelta, starts: bool
) -> None:
    """Ten rows a minute and a default of ten new records were a run a minute, for ever."""
    state = replace(
        QUIET,
        new_records=100,
        last_run_took=took,
        covered_at=NOW - ended_ago - MINUTE,
        finished_at=NOW - ended_ago,
        last_ended_at=NOW - ended_ago,
    )

    decision = decide(state, TriggerSettings(every=timedelta(0)), NOW)

    assert isinstance(decision, Train if starts else Wait)


def test_a_share_of_a_long_history_is_needed_as_well() -> None:
    """Ten new rows on a million change nothing, and a table that grows has them all the time."""
    long = replace(QUIET, n_usable_records=1_000_000, new_records=9_999)

    waits = decide(long, TriggerSettings(), NOW)

    assert isinstance(waits, Wait)
    assert "after 1 more new records" in waits.reason
    assert isinstance(decide(replace(long, new_records=10_000), TriggerSettings(), NOW), Train)
    assert isinstance(decide(long, TriggerSettings(new_records_share=0), NOW), Train)


def test_with_replace_triggers_that_come_faster_than_runs_end_let_every_other_run_finish(
    tmp_path: Path,
) -> None:
    """Else a busy shop would cancel its trainings for ever and never get a new model."""
    policy = TriggerSettings(overlap="replace", min_interval=timedelta(0))
    world = World()
    daemon = SimulatedDaemon(tmp_path / "log", world, policy, NOW)

    for minutes in range(0, 120, 2):
        world.n_records += 5
        daemon.tick(NOW + minutes * MINUTE)

    statuses = [run.status for run in daemon.log.runs(limit=1000)[0]][::-1]
    pairs = list(pairwise(statuses))
    assert (RunStatus.CANCELLED, RunStatus.CANCELLED) not in pairs
    assert statuses.count(RunStatus.SUCCEEDED) >= 6
    with suppress(Killed):
        daemon.stop(NOW)


def test_a_retry_on_the_rows_of_a_failed_run_answers_only_what_those_rows_saw(
    tmp_path: Path,
) -> None:
    """The retry trains on the pinned rows: what came after they were frozen needs a run more."""
    policy = TriggerSettings(
        new_records=10, every=timedelta(0), failure_backoff=HOUR, min_interval=timedelta(0)
    )
    world = World()
    outcomes = {2: "fail"}
    daemon = SimulatedDaemon(
        tmp_path / "log",
        world,
        policy,
        NOW,
        outcome=lambda number: outcomes.get(number, "ok"),  # type: ignore[arg-type,return-value]
    )
    daemon.tick(NOW)
    daemon.tick(NOW + 10 * MINUTE)
    world.n_records += 10
    daemon.tick(NOW + 11 * MINUTE)
    daemon.tick(NOW + 21 * MINUTE)

    daemon.log.add_pending_events(MODEL, NOW + 30 * MINUTE, NOW + 30 * MINUTE, 1)
    for minutes in range(22, 180):
        daemon.tick(NOW + minutes * MINUTE)

    runs = daemon.log.runs()[0][::-1]
    assert [(run.trigger, run.status.value) for run in runs] == [
        ("first", "succeeded"),
        ("new_records", "failed"),
        ("new_records", "succeeded"),
        ("event", "succeeded"),
    ]
    daemon.stop(NOW)


def test_a_run_under_way_keeps_events_that_it_has_not_read(tmp_path: Path) -> None:
    """The source was down when it began: the run has not seen what the event told of."""
    world = World(n_records=0)
    daemon = SimulatedDaemon(tmp_path / "log", world, ONLY_EVENTS, NOW - HOUR)
    daemon.tick(NOW - HOUR)  # read before the event; the first run begins on that
    world.n_records, world.is_source_up = 100, False
    daemon.log.add_pending_events(MODEL, NOW, NOW, 2)

    daemon.tick(NOW)
    kept = daemon.log.pending_events(MODEL)
    daemon.tick(NOW + HOUR)
    assert isinstance(daemon.decision, Wait)
    world.is_source_up = True
    decision = daemon.tick(NOW + 2 * HOUR)

    assert kept == PendingEvents(NOW, NOW, 2)
    assert isinstance(decision, Train)
    assert decision.trigger == "event"
    daemon.tick(NOW + 3 * HOUR)
    assert daemon.log.pending_events(MODEL) is None
    daemon.stop(NOW)
