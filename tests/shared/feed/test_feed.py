"""The feed: what was answered is kept, whatever dies; what came twice counts once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.database.migrations import version_of
from shared.errors import NotReady, RateLimited, SchemaTooNew, StorageUnavailable
from shared.feed import database, reader
from shared.feed.window import WindowSpec
from shared.feed.writer import FedRecord, Feed, Limit, Receipt
from tests.support.daemons import ROOT
from tests.support.waiting import wait_until

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
WINDOW = WindowSpec(n_slots=5, slot_s=60)

WRITER = """
import sys
from pathlib import Path
from shared.daemon.loop import utc_now
from shared.feed.writer import Feed, FedRecord
feed = Feed(Path(sys.argv[1]), utc_now)
name, n = sys.argv[2], int(sys.argv[3])
for i in range(n):
    feed.append("rows", [FedRecord(f"{name}-{i}", {"i": i}), FedRecord(f"both-{i}", {"i": i})])
    print(f"{name}-{i}", flush=True)
"""


class FakeClock:
    """A wall clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "feed.sqlite"


@pytest.fixture
def feed(path: Path, clock: FakeClock) -> Iterator[Feed]:
    found = Feed(path, clock)
    yield found
    found.close()


def writer(path: Path, name: str, n: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(n)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kept(path: Path, collection: str = "rows") -> dict[str, Any]:
    records, total = reader.records_since(
        path, collection, NOW - timedelta(days=4000), limit=100_000
    )
    assert total == len(records)
    return {record.id: record.fields for record in records}


def sample(server: str, at: datetime, cpu: float) -> FedRecord:
    return FedRecord(
        f"{server}@{at.isoformat()}", {"cpu": cpu}, server, at, {"at": at.timestamp(), "cpu": cpu}
    )


def test_a_record_sent_twice_counts_once_and_a_changed_one_is_an_update(
    feed: Feed, path: Path
) -> None:
    """A client repeats a request whenever the answer was lost on the way."""
    first = feed.append("rows", [FedRecord("a", {"x": 1, "y": 2}), FedRecord("b", {"x": 1})])
    again = feed.append("rows", [FedRecord("a", {"y": 2, "x": 1}), FedRecord("b", {"x": 2})])
    in_one = feed.append("rows", [FedRecord("c", {"x": 1}), FedRecord("c", {"x": 2})])

    assert (first.n_new, first.n_changed, first.n_duplicate) == (2, 0, 0)
    assert (again.n_new, again.n_changed, again.n_duplicate) == (0, 1, 1)
    assert (in_one.n_new, in_one.n_duplicate) == (1, 1)
    assert kept(path) == {"a": {"x": 1, "y": 2}, "b": {"x": 2}, "c": {"x": 2}}


def test_a_deleted_record_is_gone_and_comes_back_when_it_is_sent_again(
    feed: Feed, path: Path
) -> None:
    """A product is deleted in the shop, and created anew a week later."""
    feed.append("rows", [FedRecord("a", {"x": 1}), FedRecord("b", {"x": 1})])

    feed.append("rows", [FedRecord("a", {}, is_deleted=True)])
    without = kept(path)
    feed.append("rows", [FedRecord("a", {"x": 1})])

    assert without == {"b": {"x": 1}}
    assert kept(path) == {"a": {"x": 1}, "b": {"x": 1}}


def test_several_processes_write_at_once_without_losing_or_doubling_anything(path: Path) -> None:
    """All workers of the API take records at the same time, from the first second on."""
    n = 60
    writers = [writer(path, f"w{i}", n) for i in range(3)]

    for one in writers:
        _, errors = one.communicate(timeout=60)
        assert one.returncode == 0, errors

    expected = {f"w{k}-{i}" for k in range(3) for i in range(n)} | {f"both-{i}" for i in range(n)}
    assert kept(path).keys() == expected


def test_a_reader_that_follows_the_stamps_misses_nothing_of_concurrent_writers(path: Path) -> None:
    """The retrain daemon reads while workers write; a stamp below its cursor would be lost."""
    writers = [writer(path, f"w{i}", 60) for i in range(2)]
    seen: list[str] = []
    after: tuple[int, str] | None = None

    while True:
        is_last_look = all(one.poll() is not None for one in writers)
        try:
            records, _ = reader.records_since(
                path, "rows", NOW - timedelta(days=4000), after=after, limit=7
            )
        except (NotReady, StorageUnavailable):
            assert not is_last_look
            continue  # the file is just being made
        for record in records:
            seen.append(record.id)
            stamp = record.stamp - datetime(1970, 1, 1, tzinfo=UTC)
            after = (stamp // timedelta(microseconds=1), record.id)
        if is_last_look and not records:
            break

    for one in writers:
        one.communicate()
    assert len(seen) == len(set(seen))
    assert set(seen) == kept(path).keys()


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
def test_a_killed_worker_loses_no_record_that_it_answered(path: Path) -> None:
    """The machine's out-of-memory killer asks nobody."""
    one = writer(path, "w", 100_000)
    assert one.stdout is not None
    answered = [one.stdout.readline().strip() for _ in range(40)]

    one.kill()
    answered += [line.strip() for line in one.stdout.readlines() if line.endswith("\n")]
    one.wait()

    assert set(answered) <= kept(path).keys()
    with reader.reading(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def append_together(feed: Feed, ids: list[str]) -> dict[str, BaseException | Receipt]:
    """One call a record, all in one commit: id -> what its caller got."""
    results: dict[str, BaseException | Receipt] = {}

    def append(id_: str) -> None:
        try:
            results[id_] = feed.append("rows", [FedRecord(id_, {})])
        except BaseException as error:
            results[id_] = error

    threads = [threading.Thread(target=append, args=(id_,)) for id_ in ids]
    with feed._writing:  # a slow disk: everybody queues up meanwhile
        for i, thread in enumerate(threads):
            thread.start()
            wait_until(lambda n=i + 1: len(feed._queue) == n, 30, "the next call is queued")  # type: ignore[misc]
    for thread in threads:
        thread.join()
    return results


def test_concurrent_requests_of_a_worker_share_a_commit(feed: Feed, path: Path) -> None:
    """A disk does some hundred commits a second; a request must not wait for all before it."""
    n_commits = 0

    def count(statement: str) -> None:
        nonlocal n_commits
        n_commits += statement == "COMMIT"

    feed._connection.set_trace_callback(count)
    append_together(feed, [f"r{i}" for i in range(20)])

    assert len(kept(path)) == 20
    assert n_commits < 20


def test_a_record_that_cannot_be_stored_costs_its_own_sender_only(feed: Feed, path: Path) -> None:
    """Records of strangers share the commit: each receipt must be of a record on the disk."""
    results = append_together(feed, ["before", "half a character \ud800", "after"])

    receipts = {id_ for id_, result in results.items() if isinstance(result, Receipt)}
    assert receipts == kept(path).keys() == {"before", "after"}
    assert isinstance(results["half a character \ud800"], UnicodeEncodeError)


def test_a_thread_that_is_ended_in_the_midst_leaves_nobody_with_a_receipt(
    feed: Feed, path: Path, clock: FakeClock
) -> None:
    """An exit undoes the commit of everybody who shares it; the others must send again."""

    def exit_at_second_call() -> datetime:
        times.append(NOW)
        if len(times) == 2:
            raise SystemExit
        return NOW

    times: list[datetime] = []
    feed._clock = exit_at_second_call
    results = append_together(feed, ["a", "b", "c"])
    feed._clock = clock
    feed.append("rows", [FedRecord("d", {})])

    assert kept(path).keys() == {"d"}
    kinds = sorted(type(result).__name__ for result in results.values())
    assert kinds == ["StorageUnavailable", "StorageUnavailable", "SystemExit"]


FIRST_RELEASE = """
CREATE TABLE records (seq INTEGER PRIMARY KEY, collection TEXT NOT NULL, id TEXT NOT NULL,
    stamp_us INTEGER NOT NULL, is_deleted INTEGER NOT NULL, entity TEXT NOT NULL,
    body BLOB NOT NULL, UNIQUE (collection, id));
CREATE INDEX records_by_stamp ON records (collection, stamp_us, id);
CREATE TABLE window_rows (collection TEXT NOT NULL, entity TEXT NOT NULL, slot INTEGER NOT NULL,
    at_us INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (collection, entity, slot)
) WITHOUT ROWID;
CREATE TABLE senders (sender TEXT PRIMARY KEY, tokens REAL NOT NULL, at_us INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO records VALUES (1, 'rows', 'old', 1700000000000000, 0, '', '{"x":1}');
"""


def test_a_feed_of_the_first_release_goes_on_and_gets_a_version(
    path: Path, clock: FakeClock
) -> None:
    """It had no version; records that nobody has trained on yet wait in it."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as old:
        old.executescript(FIRST_RELEASE)

    before = kept(path)  # the training daemon may be upgraded before the API
    with closing(Feed(path, clock)) as feed:
        feed.append("rows", [FedRecord("new", {})])

    assert before.keys() == {"old"}
    assert kept(path).keys() == {"old", "new"}
    with closing(sqlite3.connect(path)) as found:
        assert version_of(found) == database.SCHEMA.version


def test_a_feed_of_a_later_release_is_left_alone_and_said(path: Path, clock: FakeClock) -> None:
    """After a step back by a release: writing what one does not understand costs records."""
    Feed(path, clock).close()
    with closing(sqlite3.connect(path)) as later:
        later.execute("PRAGMA user_version=2001")

    for use in (lambda: Feed(path, clock), lambda: reader.statistics(path)):
        with pytest.raises(SchemaTooNew, match="feed has format 2, written by a later release"):
            use()


def test_the_file_is_opened_so_that_a_power_cut_takes_no_answered_record(feed: Feed) -> None:
    """With `synchronous` below FULL a commit in write-ahead mode returns before it is on the
    disk; nothing but a power cut would show it."""
    pragmas = {
        name: feed._connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("synchronous", "journal_mode")
    }

    assert pragmas == {"synchronous": 2, "journal_mode": "wal"}


def test_a_full_disk_keeps_nothing_of_a_batch_and_says_so(feed: Feed, path: Path) -> None:
    """Half a batch would be answered as an error and sent again, which must be harmless."""
    feed.append("rows", [FedRecord("a", {"x": 1})])
    (n_pages,) = feed._connection.execute("PRAGMA page_count").fetchone()
    feed._connection.execute(f"PRAGMA max_page_count={n_pages}")
    large = [FedRecord(f"r{i}", {"text": "x" * 2000}) for i in range(200)]

    with pytest.raises(StorageUnavailable, match="full"):
        feed.append("rows", large)
    full = kept(path)
    feed._connection.execute("PRAGMA max_page_count=1000000")
    feed.append("rows", large)

    assert full == {"a": {"x": 1}}
    assert len(kept(path)) == 201


def test_stamps_grow_when_the_clock_is_set_back_a_little(
    feed: Feed, path: Path, clock: FakeClock
) -> None:
    """A time server corrects the clock by a second: what comes next must still come after."""
    feed.append("rows", [FedRecord("a", {})])
    clock.now -= timedelta(seconds=1)
    feed.append("rows", [FedRecord("b", {})])

    records, _ = reader.records_since(path, "rows", NOW - timedelta(days=1), limit=9)

    assert [record.id for record in records] == ["a", "b"]
    assert records[0].stamp < records[1].stamp


def test_windows_hold_the_newest_sample_of_each_slot_and_survive_a_restart(
    feed: Feed, path: Path
) -> None:
    """A forecast needs the last hour whatever version serves and however often it was sent."""
    for minute in range(8):
        at = NOW + timedelta(minutes=minute)
        feed.append(
            "rows",
            [sample("web/1", at + timedelta(seconds=s), minute + s / 100) for s in (0, 10, 50)],
            window=WINDOW,
        )
    feed.append("rows", [sample("db", NOW, 7.0)], window=WINDOW)
    feed.append("rows", [sample("web/1", NOW + timedelta(minutes=7), -1.0)], window=WINDOW)
    feed.append("rows", [sample("web/1", NOW, -1.0)], window=WINDOW)
    feed.close()

    windows = reader.windows(path, "rows")

    assert [row["cpu"] for row in windows["web/1"]] == [3.5, 4.5, 5.5, 6.5, 7.5]
    assert [row["cpu"] for row in windows["db"]] == [7.0]


def test_a_slot_holds_the_newest_value_of_each_name_in_whatever_order_they_come(
    feed: Feed, path: Path
) -> None:
    """An agent sends the processor and the memory in rows of their own, seconds apart."""

    def one(second: int, **values: float) -> FedRecord:
        at = NOW + timedelta(seconds=second)
        return FedRecord(
            f"{second}", values, entity="web", at=at, sample={"at": at.timestamp(), **values}
        )

    feed.append("rows", [one(11, memory=30.0), one(1, cpu=95.0)], window=WINDOW)
    feed.append("rows", [one(21, cpu=96.5)], window=WINDOW)
    feed.append("rows", [one(5, cpu=1.0, disk=60.0)], window=WINDOW)

    at = (NOW + timedelta(seconds=21)).timestamp()
    kept = {"at": at, "cpu": 96.5, "memory": 30.0, "disk": 60.0}
    assert reader.windows(path, "rows")["web"] == [kept]


def test_old_records_and_silent_servers_are_forgotten(
    feed: Feed, path: Path, clock: FakeClock
) -> None:
    """Rows every few seconds would fill any disk."""
    feed.append("rows", [sample("old", NOW, 1.0)], window=WINDOW, retention_days=3)
    clock.now += timedelta(days=2)
    feed.append("rows", [sample("new", clock.now, 1.0)], window=WINDOW, retention_days=3)
    windows = reader.windows(path, "rows")
    clock.now += timedelta(days=2)
    feed.append("rows", [sample("newest", clock.now, 1.0)], window=WINDOW, retention_days=3)

    assert windows.keys() == {"new"}
    assert [id_.partition("@")[0] for id_ in kept(path)] == ["new", "newest"]


def test_a_sender_over_its_limit_is_told_when_to_come_again(
    feed: Feed, path: Path, clock: FakeClock
) -> None:
    """The limit is counted in the file, so that it holds over all workers."""
    other = Feed(path, clock)
    limit = Limit("key m", 60)
    feed.append("rows", [FedRecord(f"a{i}", {}) for i in range(50)], limit=limit)

    with pytest.raises(RateLimited) as refused:
        other.append("rows", [FedRecord(f"b{i}", {}) for i in range(20)], limit=limit)
    other.append("rows", [FedRecord("c", {})], limit=Limit("another m", 60))
    clock.now += timedelta(seconds=refused.value.retry_after_s)
    other.append("rows", [FedRecord(f"b{i}", {}) for i in range(20)], limit=limit)
    other.close()

    assert refused.value.retry_after_s == 10
    assert len(kept(path)) == 71


def test_statistics_say_how_much_there_is(feed: Feed, path: Path) -> None:
    """Before a disk is full somebody wants to know of what."""
    feed.append("rows", [sample("a", NOW, 1.0), sample("b", NOW, 2.0)])
    feed.append("rows", [FedRecord("x", {}, is_deleted=True)])

    found = reader.statistics(path)["rows"]

    assert (found.n_records, found.n_deleted) == (2, 1)
    assert found.content_bytes > 10
    assert found.oldest == NOW


def test_a_file_that_is_no_feed_is_refused_and_left_as_it_is(path: Path, clock: FakeClock) -> None:
    """A wrong path in a configuration must not cost anybody a database."""
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else entirely, " * 100)

    with pytest.raises(StorageUnavailable, match="not a database"):
        Feed(path, clock)
    with pytest.raises(StorageUnavailable):
        reader.statistics(path)

    assert path.read_bytes().startswith(b"something else")


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be taken away there")
def test_a_feed_that_was_taken_away_is_made_anew(feed: Feed, path: Path) -> None:
    """Somebody clears the home directory below a running daemon: writing into a file that has
    no name any more would lose everything and say nothing."""
    feed.append("rows", [FedRecord("a", {})])
    for file in path.parent.glob("feed.sqlite*"):
        file.unlink()

    feed.append("rows", [FedRecord("b", {})])

    assert kept(path).keys() == {"b"}


def test_reading_never_makes_the_file(path: Path) -> None:
    """A reader that makes an empty file would hide that nobody writes there."""
    with pytest.raises(NotReady):
        reader.windows(path, "rows")

    assert not path.exists()
    assert sqlite3.threadsafety >= 1
