"""Reading one stream over days: states, back-off, budget, second looks, and nothing ever lost."""

from __future__ import annotations

import itertools
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrain_service.buffer.ingest import PAGES_A_POLL, StreamIngestor
from retrain_service.buffer.store import Buffer, read_snapshot
from retrain_service.buffer.stream_health import StreamHealth
from retrain_service.sources import open_source
from retrain_service.sources.base import DayCounts, IdSet, Inspection, ReadInterrupted, Source
from shared.errors import CollectionMissing, SourceMisconfigured, SourceUnavailable
from shared.records import Batch, Cursor, Record
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings

START = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


class ScriptedSource(Source):
    """Records from a list, one billed read each as Firestore bills, and errors on demand."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.error: Exception | None = None
        self.asked: list[str] = []
        self.hide_ids: set[str] = set()
        self.n_without = 0
        self.n_closed = 0

    @property
    def origin(self) -> str:
        return "scripted"

    def put(self, id_: str, at: datetime) -> None:
        self.records = [record for record in self.records if record.id != id_]
        self.records.append(Record(id_, at, {"n": 1}))
        self.records.sort(key=lambda record: (record.updated_at, record.id))

    def read_after(self, cursor: Cursor, limit: int) -> Batch:
        self._ask("read")
        after = ("", "") if cursor is None else tuple(cursor)
        found = [r for r in self.records if (r.updated_at.isoformat(), r.id) > after][:limit]
        last = [found[-1].updated_at.isoformat(), found[-1].id] if found else cursor
        return Batch(tuple(found), last, len(found) < limit, max(1, len(found)))

    def cursor_at(self, at: datetime) -> Cursor:
        return [at.isoformat(), ""]

    def count_by_day(self, days: Sequence[date]) -> DayCounts:
        self._ask("count")
        return DayCounts({day: len(self._on(day)) for day in days}, len(days))

    def ids_of_day(self, day: date) -> IdSet:
        self._ask("ids")
        found = frozenset(r.id for r in self._on(day)) - self.hide_ids
        return IdSet(found, max(1, len(found)))

    def missing(self, ids: Collection[str]) -> IdSet:
        self._ask("missing")
        return IdSet(frozenset(ids) - {record.id for record in self.records}, len(ids))

    def inspect(self, n_sample: int = 0) -> Inspection:
        self._ask("inspect")
        return Inspection(len(self.records) + self.n_without, self.n_without, None, (), 2)

    def close(self) -> None:
        self.n_closed += 1

    def _on(self, day: date) -> list[Record]:
        return [record for record in self.records if record.updated_at.date() == day]

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.error is not None:
            raise self.error


class Reading:
    """An ingestor with its buffer and source, polled like the loop does it."""

    def __init__(self, folder: Path, source: ScriptedSource, **state_changes: Any) -> None:
        self.source, self._folder = source, folder
        self._settings = SourceSettings(
            **{"kind": "firestore", "page_size": 5, "poll_interval_s": 30, **state_changes}
        )
        self.stream_settings = StreamSettings(collection="appointments")
        self.state_changes: list[StreamHealth] = []
        self.open()

    def open(self) -> None:
        self.buffer = Buffer(self._folder / "m.duckdb", START)
        self.ingestor = StreamIngestor(
            stream="appointments",
            source_name="shop",
            settings=self._settings,
            stream_settings=self.stream_settings,
            buffer=self.buffer,
            reject_reason=lambda fields: None,
            open_source=lambda _source, _stream: self.source,
            chance=lambda: 0.0,
        )

    def close(self) -> None:
        self.ingestor.close()
        self.buffer.close()

    def poll(self, now: datetime) -> StreamHealth:
        """As long as there is more to do, like the loop's ticks."""
        for _ in range(200):
            result = self.ingestor.poll(now)
            if result.state_change is not None:
                self.state_changes.append(result.state_change)
            if not result.has_more:
                return self.ingestor.health
        raise AssertionError("the ingestor always has more to do")

    @property
    def states(self) -> list[str]:
        return [state_change.state for state_change in self.state_changes]


@pytest.fixture
def source() -> ScriptedSource:
    return ScriptedSource()


@pytest.fixture
def make(tmp_path: Path, source: ScriptedSource) -> Iterator[Callable[..., Reading]]:
    opened: list[Reading] = []

    def _make(**state_changes: Any) -> Reading:
        opened.append(Reading(tmp_path, source, **state_changes))
        return opened[-1]

    yield _make
    for reading in opened:
        reading.close()


def test_a_first_load_is_read_in_bounded_calls(
    make: Callable[..., Reading], source: ScriptedSource
) -> None:
    """The loop has other models to look after, and a stop signal to hear."""
    reading = make()
    for i in range(100):
        source.put(f"a{i:03d}", START - timedelta(minutes=i))

    first = reading.ingestor.poll(START)
    was_caught_up = reading.ingestor.is_caught_up

    assert first.applied.n_new == PAGES_A_POLL * 5
    assert first.has_more
    assert not was_caught_up
    assert first.state_change is not None
    assert first.state_change.state == "catching_up"
    assert reading.poll(START).state == "ok"
    assert reading.ingestor.is_caught_up
    assert len(reading.buffer.ids("appointments")) == 100


def test_nothing_is_asked_before_it_is_due(
    make: Callable[..., Reading], source: ScriptedSource
) -> None:
    """The loop ticks each second; the source is polled each half minute."""
    reading = make()
    reading.poll(START)
    source.asked.clear()

    for second in range(1, 30):
        reading.poll(START + timedelta(seconds=second))
    assert source.asked == []

    reading.poll(START + timedelta(seconds=30))
    assert source.asked == ["read"]
    reading.ingestor.poll_now()
    reading.poll(START + timedelta(seconds=31))
    assert source.asked == ["read", "read"]


def test_an_outage_is_one_change_with_growing_patience(
    make: Callable[..., Reading], source: ScriptedSource
) -> None:
    """One line in the log when it goes, one when it is back; no storm of questions between."""
    reading = make(poll_interval_s=2)
    reading.poll(START)
    reading.state_changes.clear()
    source.error = SourceUnavailable("shop: connection refused.")
    asked_at = []

    now = START + timedelta(seconds=2)
    while now < START + timedelta(minutes=10):
        before = len(source.asked)
        reading.poll(now)
        if len(source.asked) > before:
            asked_at.append((now - START).total_seconds())
        now += timedelta(seconds=1)
    waits = [later - earlier for earlier, later in itertools.pairwise(asked_at)]
    source.error = None
    source.put("a1", START + timedelta(minutes=5))
    back = reading.poll(now + timedelta(minutes=1))

    assert waits[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert set(waits[7:]) == {60}
    assert reading.states == ["unavailable", "ok"]
    assert "connection refused" in reading.state_changes[0].sentence
    assert reading.state_changes[0].since == START + timedelta(seconds=2)
    assert back.n_failures == 0
    assert reading.buffer.ids("appointments") == {"a1"}


def test_whatever_the_system_refuses_for_a_moment_is_an_outage_and_passes(
    make: Callable[..., Reading], source: ScriptedSource
) -> None:
    """All descriptors are in use for a while: that is nobody's mistake, and nobody has to act."""
    reading = make()
    source.error = OSError(24, "Too many open files")
    health = reading.poll(START)
    source.error = None
    source.put("a1", START - timedelta(hours=1))

    reading.poll(START + timedelta(minutes=2))

    assert health.state == "unavailable"
    assert "Too many open files" in health.sentence
    assert reading.buffer.ids("appointments") == {"a1"}


def test_a_misconfigured_source_is_left_alone_and_opened_afresh(
    make: Callable[..., Reading], source: ScriptedSource
) -> None:
    """Asking each second for a table that is not there helps nobody; a fix is still noticed."""
    reading = make()
    source.error = SourceMisconfigured("no table 'appointments'; the tables are orders.")

    for second in range(300):
        reading.poll(START + timedelta(seconds=second))
    n_asked = len(source.asked)
    source.error = None
    fixed = reading.poll(START + timedelta(seconds=300))

    assert n_asked == 1
    assert source.n_closed == 1
    assert reading.states == ["misconfigured", "ok"]
    assert "no table 'appointments'" in reading.state_changes[0].sentence
    assert fixed.state == "ok"


def test_a_source_that_cannot_be_opened_is_a_state_too(tmp_path: Path) -> None:
    """No credentials, no driver: the daemon says so and lives on."""

    def refuse(_source: SourceSettings, _stream: StreamSettings) -> Source:
        raise SourceMisconfigured("the driver is not installed: pip install it")

    buffer = Buffer(tmp_path / "m.duckdb", START)
    ingestor = StreamIngestor(
        stream="appointments",
        source_name="shop",
        settings=SourceSettings(kind="sql", url="postgresql://h/d"),
        stream_settings=StreamSettings(collection="appointments"),
        buffer=buffer,
        reject_reason=lambda fields: None,
        open_source=refuse,
    )

    result = ingestor.poll(START)

    assert result.state_change is not None
    assert result.state_change.state == "misconfigured"
    assert "pip install" in result.state_change.sentence
    assert ingestor.poll(START + timedelta(seconds=1)).state_change is None
    buffer.close()


def test_a_budget_slows_polling_down_before_it_is_spent(
    make: Callable[..., Reading], source: ScriptedSource
) -> None:
    """A poll each two minutes costs 720 reads a day; with 200 it must last until midnight."""
    reading = make(daily_read_budget=200, poll_interval_s=120)
    now = datetime(2026, 11, 20, tzinfo=UTC)
    midnight = now + timedelta(days=1)

    while now < midnight:
        reading.poll(now)
        now += timedelta(seconds=60)

    assert 150 < reading.buffer.billed_reads("shop", date(2026, 11, 20)) <= 200
    assert source.asked.count("read") > 150
    assert reading.states == ["budget"]
    assert "instead of every 120 s" in reading.state_changes[0].sentence


def test_a_spent_budget_waits_for_the_next_utc_day(
    make: Callable[..., Reading], source: ScriptedSource
) -> None:
    """A first load bigger than the budget goes on tomorrow where it stopped, and says so."""
    reading = make(daily_read_budget=12)
    for i in range(20):
        source.put(f"a{i:02d}", START - timedelta(minutes=60 - i))

    today = reading.poll(START)
    n_today = len(reading.buffer.ids("appointments"))
    for hour in (1, 5, 13):
        reading.poll(START + timedelta(hours=hour))
    n_still = len(reading.buffer.ids("appointments"))
    reading.poll(START + timedelta(hours=14, seconds=1))

    assert today.state == "budget"
    assert "2026-11-21 00:00 UTC" in today.sentence
    assert (n_today, n_still) == (12, 12)
    assert today.billed_reads_today == 12
    assert len(reading.buffer.ids("appointments")) == 20


def test_reads_of_a_call_that_broke_are_in_the_ledger(
    make: Callable[..., Reading], source: ScriptedSource
) -> None:
    """The provider bills what it sent, whether we could use it or not."""
    reading = make()
    reading.poll(START)
    spent = reading.buffer.billed_reads("shop", START.date())
    source.error = ReadInterrupted("shop: gone.", billed_reads=7)

    reading.poll(START + timedelta(seconds=30))

    assert reading.buffer.billed_reads("shop", START.date()) == spent + 7
    assert reading.ingestor.health.billed_reads_today == spent + 7


def test_records_that_no_query_brings_are_reported(
    make: Callable[..., Reading], source: ScriptedSource
) -> None:
    """A document without `updated_at` is absent, silently: the count says how many there are."""
    source.n_without = 3
    reading = make()

    health = reading.poll(START)
    reading.poll(START + timedelta(hours=23))
    reading.poll(START + timedelta(hours=24, minutes=1))

    assert health.n_without_cursor_field == 3
    assert source.asked.count("inspect") == 2


def test_a_commit_later_than_the_lag_is_met_by_the_daily_second_look(
    make: Callable[..., Reading], source: ScriptedSource
) -> None:
    """A transaction hung for an hour and then committed behind the cursor."""
    reading = make()
    source.put("a1", START)
    reading.poll(START)
    source.put("late", START - timedelta(hours=1))
    reading.poll(START + timedelta(hours=12))
    assert reading.buffer.ids("appointments") == {"a1"}

    reading.poll(START + timedelta(hours=24, minutes=1))

    assert reading.buffer.ids("appointments") == {"a1", "late"}
    assert source.asked.count("ids") == 0  # the overlap was enough


def test_a_record_missed_by_the_overlap_is_found_by_its_day(
    make: Callable[..., Reading], source: ScriptedSource
) -> None:
    """Clocks of devices that were off-line for days write into the past."""
    reading = make()
    source.put("a1", START)
    reading.poll(START)
    source.put("offline", START - timedelta(days=4))

    reading.poll(START + timedelta(hours=25))

    assert reading.buffer.ids("appointments") == {"a1", "offline"}


def test_deleted_records_are_found_by_comparing_days(
    make: Callable[..., Reading], source: ScriptedSource
) -> None:
    """No query says that something is gone; the counts of a day do. Only that day is listed."""
    reading = make()
    for i in range(12):
        source.put(f"a{i:02d}", START - timedelta(days=i % 4))
    reading.poll(START)
    source.records = [record for record in source.records if record.id not in ("a01", "a05")]

    reading.poll(START + timedelta(hours=25))

    assert reading.buffer.ids("appointments") == {f"a{i:02d}" for i in range(12)} - {"a01", "a05"}
    assert source.asked.count("ids") == 1


def test_old_records_that_came_later_and_old_ones_that_went_are_found(
    make: Callable[..., Reading], source: ScriptedSource
) -> None:
    """An import of the former system's years lies behind the cursor and the days that are compared.

    The year without records in between costs one read; a second day without a difference none.
    """
    reading = make()
    for i in range(12):
        source.put(f"a{i:02d}", START - timedelta(days=3 * i))
    reading.poll(START)
    for i in range(40):
        source.put(f"old{i:02d}", START - timedelta(days=800 + i % 20))
    source.records = [record for record in source.records if record.id != "a11"]
    expected = {record.id for record in source.records}

    findings: list[str] = []
    for _ in range(200):
        result = reading.ingestor.poll(START + timedelta(hours=25))
        findings += result.findings
        if not result.has_more:
            break
    source.asked.clear()
    reading.poll(START + timedelta(hours=50))

    assert reading.buffer.ids("appointments") == expected
    assert findings == ["40 older records, added since with old times, were found and read."]
    assert source.asked.count("count") == 1
    assert source.asked.count("inspect") == 1


def test_an_optional_stream_that_has_never_been_there_is_empty(tmp_path: Path) -> None:
    """A workshop without a table of parts has one stream less, and no fault."""
    source = ScriptedSource()
    source.error = CollectionMissing("no table 'parts'.")
    for is_required, state in ((False, "ok"), (True, "misconfigured")):
        buffer = Buffer(tmp_path / f"{state}.duckdb", START)
        ingestor = StreamIngestor(
            stream="parts",
            source_name="shop",
            settings=SourceSettings(kind="firestore"),
            stream_settings=StreamSettings(collection="parts"),
            buffer=buffer,
            reject_reason=lambda fields: None,
            is_required=is_required,
            open_source=lambda _source, _stream: source,
        )
        ingestor.poll(START)
        assert (ingestor.health.state, ingestor.is_caught_up) == (state, not is_required)
        assert "no table 'parts'" in ingestor.health.sentence

        source.error = None
        source.put("filter", START)
        ingestor.poll(START + timedelta(minutes=6))
        assert buffer.ids("parts") == {"filter"}

        source.error = CollectionMissing("no table 'parts'.")
        ingestor.poll(START + timedelta(minutes=12))
        assert ingestor.health.state == "misconfigured", "it was there once"
        ingestor.close()
        buffer.close()
        source.records.clear()


def test_a_record_that_moved_to_another_day_is_not_deleted(
    make: Callable[..., Reading], source: ScriptedSource
) -> None:
    """It was changed seconds ago and is still younger than the lag: absent here, but not gone."""
    reading = make()
    source.put("a1", START - timedelta(days=1))
    source.put("a2", START - timedelta(days=1))
    reading.poll(START)
    later = START + timedelta(hours=25)
    moved = Record("a1", later, {"n": 2})
    source.records = [source.records[1]]
    source.missing = lambda ids: IdSet(frozenset(), 1)  # type: ignore[method-assign]

    reading.poll(later)
    assert reading.buffer.ids("appointments") == {"a1", "a2"}

    source.records.append(moved)
    reading.poll(later + timedelta(minutes=1))
    assert reading.buffer.newest("appointments") == later


def test_a_list_of_ids_that_broke_off_deletes_nothing(
    make: Callable[..., Reading], source: ScriptedSource
) -> None:
    """A stream that ends early without an error looks exactly like a mass deletion."""
    reading = make()
    for i in range(10):
        source.put(f"a{i}", START - timedelta(hours=1))
    reading.poll(START)
    source.records.pop()
    source.hide_ids = {f"a{i}" for i in range(6)}

    reading.poll(START + timedelta(hours=25))
    assert len(reading.buffer.ids("appointments")) == 10

    source.hide_ids = set()
    reading.poll(START + timedelta(hours=50))
    assert len(reading.buffer.ids("appointments")) == 9


def test_a_count_that_never_comes_in_time_keeps_nobody_from_anything(
    make: Callable[..., Reading], source: ScriptedSource
) -> None:
    """A table of a billion rows: the count of the day times out, each time that it is tried.

    It was asked for again at every look, the stream was unavailable in between, and the comparison
    of days was never reached.
    """
    reading = make(poll_interval_s=600)
    source.put("a1", START - timedelta(days=1))
    source.put("a2", START - timedelta(days=1))
    n_asked: list[datetime] = []
    findings: list[str] = []

    def inspect(n_sample: int = 0) -> Inspection:
        n_asked.append(now)
        raise SourceUnavailable("shop: no answer within 20 s.")

    source.inspect = inspect  # type: ignore[method-assign]
    for i in range(26 * 6):
        now = START + i * timedelta(minutes=10)
        if i == 20:
            source.records.pop()
        for _ in range(20):
            result = reading.ingestor.poll(now)
            findings += result.findings
            if not result.has_more:
                break

    assert reading.ingestor.health.state == "ok"
    assert {state_change.state for state_change in reading.state_changes} <= {"ok"}
    assert len(n_asked) <= 9
    assert reading.buffer.ids("appointments") == {"a1"}
    (told,) = findings
    assert "no answer within 20 s" in told


def test_a_clock_that_is_set_back_holds_up_no_reading(
    make: Callable[..., Reading], source: ScriptedSource
) -> None:
    """Nobody waits until the clock has caught up with what it said before."""
    reading = make()
    reading.poll(START)
    source.put("a1", START - timedelta(hours=6))

    reading.poll(START - timedelta(hours=5))

    assert reading.buffer.ids("appointments") == {"a1"}


def test_a_restart_does_not_begin_the_day_again(
    make: Callable[..., Reading], source: ScriptedSource
) -> None:
    """A daemon that restarts each hour must not pay for the second look each hour."""
    reading = make()
    source.put("a1", START)
    reading.poll(START)
    reading.poll(START + timedelta(hours=25))
    source.asked.clear()
    reading.close()

    reading.open()
    reading.poll(START + timedelta(hours=26))

    assert source.asked == ["read"]
    assert reading.ingestor.is_caught_up


def test_retention_neither_loads_nor_keeps_what_is_too_old(
    make: Callable[..., Reading], source: ScriptedSource
) -> None:
    """Ten years of appointments cost reads and disk for a model that looks back two."""
    reading = make()
    reading.close()
    reading.stream_settings = StreamSettings(collection="appointments", retention_days=30)
    reading.open()
    for days in (400, 29, 1):
        source.put(f"a{days}", START - timedelta(days=days))

    reading.poll(START)
    loaded = reading.buffer.ids("appointments")
    reading.poll(START + timedelta(days=2))

    assert loaded == {"a29", "a1"}
    assert reading.buffer.ids("appointments") == {"a1"}


# --- random histories against a real database ---------------------------------------------------

_IDS = st.sampled_from([f"a{i}" for i in range(8)])
_LATE_S = st.integers(0, 59)
_STEP = st.one_of(
    st.tuples(st.just("write"), _IDS, _LATE_S),
    st.tuples(st.just("many"), st.integers(1, 12), _LATE_S),
    st.tuples(st.just("delete"), _IDS, st.just(0)),
    st.tuples(st.just("poll"), st.integers(1, 150), st.just(0)),
    st.tuples(st.just("poll"), st.integers(1, 150), st.just(0)),
    st.tuples(st.just("outage"), st.booleans(), st.just(0)),
    st.tuples(st.just("restart"), st.just(0), st.just(0)),
)


class History:
    """An SQLite application, a daemon that reads it with a lag of a minute, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.now = START
        self.path, self._away = folder / "app.db", folder / "away.db"
        self._buffer_path = folder / "m.duckdb"
        self.truth: dict[str, int] = {}
        self._n = 0
        self._run("CREATE TABLE appointments (id TEXT PRIMARY KEY, updated_at TEXT, n INTEGER)")
        self.buffer: Buffer
        self.open()

    def open(self) -> None:
        self.buffer = Buffer(self._buffer_path, self.now)
        self.ingestor = StreamIngestor(
            stream="appointments",
            source_name="app",
            settings=SourceSettings(
                kind="sql", url=f"sqlite:///{self.path}", lag_s=60, page_size=3, poll_interval_s=5
            ),
            stream_settings=StreamSettings(collection="appointments"),
            buffer=self.buffer,
            reject_reason=lambda fields: None,
            open_source=lambda one, two: open_source(one, two, clock=lambda: self.now),
        )

    def close(self) -> None:
        self.ingestor.close()
        self.buffer.close()

    def step(self, kind: str, what: Any, late_s: int) -> None:
        match kind:
            case "write":
                self._write(what, late_s)
            case "many":
                for i in range(what):
                    self._write(f"m{self._n}-{i}", late_s)
            case "delete":
                self.truth.pop(what, None)
                self._run("DELETE FROM appointments WHERE id = ?", what)
            case "poll":
                self._pass(timedelta(seconds=what))
            case "outage":
                self._set_outage(what)
            case "restart":
                self.close()
                self.open()

    def come_back(self) -> None:
        """The database is back, and as much time passes as a back-off and the lag take."""
        self._set_outage(False)
        for _ in range(3):
            self._pass(timedelta(seconds=70))

    def pass_days(self) -> None:
        for _ in range(2):
            self._pass(timedelta(hours=26))

    def _pass(self, time: timedelta) -> None:
        self.now += time
        for _ in range(300):
            if not self.ingestor.poll(self.now).has_more:
                return

    def buffered(self, folder: Path) -> dict[str, int]:
        self.buffer.snapshot(folder / "s.parquet", ["appointments"], self.now)
        rows = read_snapshot(folder / "s.parquet")["appointments"]
        return {row.id: row.fields["n"] for row in rows}

    def _write(self, id_: str, late_s: int) -> None:
        """Visible now, dated by when its transaction began."""
        self._n += 1
        self.truth[id_] = self._n
        at = (self.now - timedelta(seconds=late_s)).isoformat(timespec="microseconds")
        self._run("INSERT OR REPLACE INTO appointments VALUES (?, ?, ?)", id_, at, self._n)

    def _run(self, statement: str, *values: Any) -> None:
        path = self._away if self._away.exists() else self.path
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(statement, values)
            connection.commit()

    def _set_outage(self, is_away: bool) -> None:
        if is_away and self.path.exists():
            self.path.rename(self._away)
        elif not is_away and self._away.exists():
            assert not self.path.exists()
            self._away.rename(self.path)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(_STEP, min_size=5, max_size=40))
def test_whatever_happens_the_buffer_ends_equal_to_the_source(
    steps: list[tuple[str, Any, int]],
) -> None:
    """Writes, updates, deletions, outages, late commits and restarts, in any order."""
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder))
        try:
            for step in steps:
                history.step(*step)
            history.come_back()
            soon = history.buffered(Path(folder))
            history.pass_days()
            later = history.buffered(Path(folder))
        finally:
            history.close()

    assert {id_: soon.get(id_) for id_ in history.truth} == history.truth, "not by cursor alone"
    assert later == history.truth
