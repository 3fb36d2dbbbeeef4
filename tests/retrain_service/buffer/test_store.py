"""The local copy of a model's streams: what is kept, what counts as new, what survives."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from retrain_service.buffer import store as buffer_module
from retrain_service.buffer.database_file import SCHEMA, open_database
from retrain_service.buffer.store import (
    Buffer,
    SnapshotInfo,
    UpsertCounts,
    buffer_path,
    read_snapshot,
)
from shared.database.migrations import Schema
from shared.errors import AlreadyRunning, SchemaTooNew, StorageUnavailable
from shared.records import Batch, Record

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


@pytest.fixture
def buffer(tmp_path: Path) -> Iterator[Buffer]:
    opened = Buffer(tmp_path / "spare_parts.duckdb", NOW)
    opened.open_stream("appointments", "sql:app", is_counted=True)
    opened.open_stream("spare_parts", "sql:app", is_counted=False)
    yield opened
    opened.close()


def record(id_: str, minute: int = 0, is_deleted: bool = False, **fields: Any) -> Record:
    return Record(id_, NOW + timedelta(minutes=minute), fields, is_deleted)


def apply(
    buffer: Buffer,
    *records: Record,
    stream: str = "appointments",
    cursor: Any = None,
    billed_reads: int = 0,
    moves_cursor: bool = True,
) -> UpsertCounts:
    batch = Batch(records, cursor, is_last=True, billed_reads=billed_reads)
    return buffer.apply(
        stream,
        batch,
        source="shop",
        now=NOW,
        reject_reason=_reject_reason,
        moves_cursor=moves_cursor,
    )


def _reject_reason(fields: Mapping[str, Any]) -> str | None:
    return "status is not complete" if fields.get("status") == "planned" else None


def n_new_since(buffer: Buffer, seq: int) -> int:
    """What the trigger counts where records belong to nobody."""
    return sum(found.n_new for found in buffer.count_by_entity({"": seq}).values())


def test_a_record_read_again_unchanged_is_not_new(buffer: Buffer) -> None:
    """The daily second look reads hundreds of records again; it must not start a training."""
    apply(buffer, record("a1", note={"b": 1, "a": 2}), record("a2"))
    watermark = buffer.high_seq()

    again = apply(buffer, record("a2"), record("a1", note={"a": 2, "b": 1}))

    assert again == UpsertCounts(n_unchanged=2)
    assert buffer.high_seq() == watermark
    assert n_new_since(buffer, watermark) == 0


@pytest.mark.parametrize(
    "changed", [record("a1", status="complete", x=2), record("a1", minute=1, status="complete")]
)
def test_a_changed_body_or_time_counts_once(buffer: Buffer, changed: Record) -> None:
    """Both say that the application touched it; ten touches of one record are still one."""
    apply(buffer, record("a1", status="complete"))
    watermark = buffer.high_seq()

    applied = apply(buffer, changed)
    apply(buffer, record("a1", minute=9, status="complete"))

    assert applied == UpsertCounts(n_changed=1)
    assert n_new_since(buffer, watermark) == 1
    assert buffer.statistics()["appointments"].n_records == 1


def test_only_usable_records_of_counted_streams_count(buffer: Buffer) -> None:
    """Ten new parts in the catalogue, or ten planned appointments, are no reason to train."""
    apply(buffer, record("a1", status="complete"), record("a2", status="planned"))
    apply(buffer, record("p1"), record("p2"), stream="spare_parts")

    assert n_new_since(buffer, 0) == 1
    assert buffer.statistics()["appointments"].rejected == {"status is not complete": 1}
    assert buffer.statistics()["spare_parts"].n_usable == 2


def test_a_record_that_becomes_usable_counts_then(buffer: Buffer) -> None:
    """An appointment is planned first and completed later: the completion is the news."""
    apply(buffer, record("a1", status="planned"))
    watermark = buffer.high_seq()
    assert n_new_since(buffer, 0) == 0

    apply(buffer, record("a1", minute=5, status="complete"))

    assert n_new_since(buffer, watermark) == 1
    assert buffer.statistics()["appointments"].rejected == {}


def test_a_tombstone_removes_from_training_and_stays_in_the_count(
    buffer: Buffer, tmp_path: Path
) -> None:
    """The source still counts the marked document; a buffer that forgot it would differ daily."""
    apply(buffer, record("a1"), record("a2"))

    applied = apply(buffer, record("a1", minute=1, is_deleted=True))
    apply(buffer, record("never", minute=2, is_deleted=True))
    buffer.snapshot(tmp_path / "s.parquet", ["appointments"], NOW)

    assert applied == UpsertCounts(n_deleted=1)
    assert buffer.ids("appointments") == {"a2"}
    assert list(read_snapshot(tmp_path / "s.parquet")["appointments"].ids) == ["a2"]
    assert buffer.count_by_day("appointments", [NOW.date()]) == {NOW.date(): 3}
    assert apply(buffer, record("a1", minute=3)) == UpsertCounts(n_new=1)


def test_rows_cursor_and_billed_reads_are_one_transaction(tmp_path: Path) -> None:
    """A crash between them would lose records for ever, or pay for them twice."""
    path = tmp_path / "b.duckdb"
    code = f"""
import os
from tests.retrain_service.buffer.test_store import *
from pathlib import Path
buffer = Buffer(Path({str(path)!r}), NOW)
buffer.open_stream("appointments", "sql:app", True)
apply(buffer, record("a1"), cursor=1, billed_reads=1)
original = buffer._add_reads
def die(*arguments):
    original(*arguments)
    os._exit(9)
buffer._add_reads = die
apply(buffer, record("a2"), cursor=2, billed_reads=1)
"""
    died = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], timeout=60)
    assert died.returncode == 9

    buffer = Buffer(path, NOW)

    assert buffer.ids("appointments") == {"a1"}
    assert buffer.cursor("appointments") == 1
    assert buffer.billed_reads("shop", NOW.date()) == 1
    buffer.close()


def test_a_second_look_leaves_the_cursor_alone(buffer: Buffer) -> None:
    """Going back for late commits must not make everything since be read twice."""
    apply(buffer, record("a1"), cursor={"at": 5})

    apply(buffer, record("late"), cursor={"at": 2}, moves_cursor=False)

    assert buffer.cursor("appointments") == {"at": 5}
    assert buffer.ids("appointments") == {"a1", "late"}


def test_numbers_go_on_above_the_old_ones_when_the_file_is_rebuilt(tmp_path: Path) -> None:
    """A watermark from before the rebuild must not hide what comes after it."""
    path = tmp_path / "b.duckdb"
    buffer = Buffer(path, NOW)
    buffer.open_stream("appointments", "sql:app", True)
    apply(buffer, *(record(f"a{i}") for i in range(1000)))
    watermark = buffer.high_seq()
    buffer.close()
    path.unlink()

    rebuilt = Buffer(path, NOW + timedelta(seconds=1))
    rebuilt.open_stream("appointments", "sql:app", True)
    apply(rebuilt, record("a1"))

    assert rebuilt.high_seq() > watermark
    assert n_new_since(rebuilt, watermark) == 1
    rebuilt.close()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("not DuckDB", b"hello world, this is no database\n" * 500),
        ("empty", b""),
        ("cut off", None),
        ("someone else's", None),
    ],
)
def test_an_unusable_file_is_moved_aside_and_said_once(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    """The source is the truth: a broken copy costs a second read, never a person's night."""
    path = tmp_path / "b.duckdb"
    if name == "cut off":
        whole = Buffer(path, NOW)
        whole.open_stream("appointments", "sql:app", True)
        apply(
            whole,
            *(record(f"a{i}", text=random.Random(i).randbytes(900).hex()) for i in range(900)),
        )
        whole.close()
        content = path.read_bytes()[: path.stat().st_size // 2]
        path.write_bytes(content)
    elif name == "someone else's":
        duckdb.connect(str(path)).execute("CREATE TABLE t (i INTEGER)").close()
    else:
        assert content is not None
        path.write_bytes(content)

    buffer = Buffer(path, NOW)
    notice = buffer.take_message()

    assert notice is not None
    assert "b.duckdb.unusable-20261121T083000Z" in notice
    assert buffer.take_message() is None
    assert (tmp_path / "b.duckdb.unusable-20261121T083000Z").exists()
    buffer.open_stream("appointments", "sql:app", True)
    assert apply(buffer, record("a1")).n_new == 1
    buffer.close()


FIRST_RELEASE = """
CREATE TABLE meta (key VARCHAR NOT NULL, value VARCHAR NOT NULL);
CREATE TABLE streams (stream VARCHAR NOT NULL, origin VARCHAR NOT NULL,
    is_counted BOOLEAN NOT NULL, cursor VARCHAR NOT NULL, caught_up_us BIGINT, chores_us BIGINT,
    inspected_us BIGINT, n_without_cursor_field BIGINT);
CREATE TABLE rows (stream VARCHAR NOT NULL, id VARCHAR NOT NULL, updated_us BIGINT NOT NULL,
    body VARCHAR NOT NULL, is_deleted BOOLEAN NOT NULL, is_counted BOOLEAN NOT NULL,
    reject_reason VARCHAR, entity VARCHAR NOT NULL, seq BIGINT NOT NULL);
CREATE TABLE reads (source VARCHAR NOT NULL, day DATE NOT NULL, stream VARCHAR NOT NULL,
    billed BIGINT NOT NULL);
INSERT INTO meta VALUES ('format', '2'), ('high_seq', '41');
INSERT INTO streams VALUES ('appointments', 'sql:app', true, '7', NULL, NULL, NULL, NULL);
INSERT INTO rows VALUES ('appointments', 'old', 1, '{}', false, true, NULL, '', 41);
"""


def test_a_buffer_of_the_first_release_goes_on(tmp_path: Path) -> None:
    """Reading everything again after an upgrade may cost a day's budget."""
    path = tmp_path / "b.duckdb"
    with duckdb.connect(str(path)) as old:
        old.execute(FIRST_RELEASE)

    buffer = Buffer(path, NOW)
    buffer.open_stream("appointments", "sql:app", is_counted=True)
    apply(buffer, record("new"), cursor=8)

    assert buffer.take_message() is None
    assert buffer.ids("appointments") == {"old", "new"}
    assert buffer.high_seq() == 42
    buffer.close()


def test_a_buffer_gets_the_steps_that_it_lacks_once(tmp_path: Path) -> None:
    """A later release adds a column; a step back goes on with the file as it is."""
    path = tmp_path / "b.duckdb"
    steps = ("ALTER TABLE streams ADD COLUMN note VARCHAR", "UPDATE streams SET note = 'new'")
    later = Schema("buffer", steps, format=2)
    with duckdb.connect(str(path)) as old:
        old.execute(FIRST_RELEASE)

    for schema in (later, later, SCHEMA, later):
        database, notice = open_database(path, NOW, schema)
        notes = database.execute("SELECT note FROM streams").fetchall()
        found = database.execute("SELECT value FROM meta WHERE key = 'steps'").fetchall()
        database.close()
        assert (notice, notes, found) == (None, [("new",)], [("2",)])


def write_duckdb_version(path: Path, version: int) -> None:
    """Into DuckDB's own header, with the checksum that goes with it."""
    content = bytearray(path.read_bytes())
    content[12:20] = version.to_bytes(8, "little")
    checksum = 5381
    for (word,) in struct.iter_unpack("<Q", content[8:4096]):
        checksum ^= word * 0xBF58476D1CE4E5B9 % 2**64
    content[:8] = struct.pack("<Q", checksum)
    path.write_bytes(content)


@pytest.mark.parametrize("by", ["hotfit", "duckdb"])
def test_a_buffer_of_a_later_release_is_left_alone_and_says_what_mends_it(
    tmp_path: Path, by: str
) -> None:
    """After a step back: moved aside, its records would be read and paid for twice."""
    path = tmp_path / "b.duckdb"
    if by == "hotfit":
        open_database(path, NOW, Schema("buffer", (), format=3))[0].close()
    else:
        Buffer(path, NOW).close()
        write_duckdb_version(path, 9999)
    before = path.read_bytes()

    with pytest.raises(SchemaTooNew, match=r"by a later release .* delete the file"):
        Buffer(path, NOW)

    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["b.duckdb"]


def test_what_was_taken_in_is_on_the_disk_before_the_next_read(tmp_path: Path) -> None:
    """A cursor that outlives its rows in a power cut would skip them for ever."""
    buffer = Buffer(tmp_path / "b.duckdb", NOW)
    buffer.open_stream("appointments", "sql:app", is_counted=True)
    apply(buffer, record("a1"), cursor=1)

    mode = buffer._file.one("SELECT current_setting('fsync_mode')")
    shutil.copytree(tmp_path, tmp_path / "as a crash leaves it")
    found = Buffer(tmp_path / "as a crash leaves it" / "b.duckdb", NOW)

    assert mode[0] in ("STANDARD", "FULL")
    assert found.ids("appointments") == {"a1"}
    assert found.cursor("appointments") == 1
    found.close()
    buffer.close()


def test_a_flipped_byte_is_found_at_start_not_in_training(tmp_path: Path) -> None:
    """Disks rot; every block's checksum is looked at when the file is opened."""
    path = tmp_path / "b.duckdb"
    buffer = Buffer(path, NOW)
    buffer.open_stream("appointments", "sql:app", True)
    noise = random.Random(1)
    apply(buffer, *(record(f"a{i}", text=noise.randbytes(400).hex()) for i in range(3000)))
    buffer.close()
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 0xFF
    path.write_bytes(content)

    rebuilt = Buffer(path, NOW)

    assert rebuilt.take_message() is not None
    assert rebuilt.statistics() == {}
    rebuilt.close()


def test_a_buffer_in_use_is_not_taken_for_broken(tmp_path: Path) -> None:
    """Moving aside the file of a running daemon would be the worst answer to being second."""
    path = tmp_path / "b.duckdb"
    Buffer(path, NOW).close()
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import duckdb; c = duckdb.connect({str(path)!r}); print('open', flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()

        with pytest.raises(AlreadyRunning, match="another process"):
            Buffer(path, NOW)
    finally:
        holder.communicate(b"\n", timeout=30)
    assert list(tmp_path.glob("*.unusable*")) == []


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="a small tmpfs needs Linux and root"
)
def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    """Nothing half-written, one clear sentence, and it goes on when there is room again."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small]).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        buffer = Buffer(small / "b.duckdb", NOW)
        buffer.open_stream("appointments", "sql:app", True)
        apply(buffer, record("a1"), cursor=1)
        ballast = small / "ballast"
        ballast.write_bytes(bytes(shutil.disk_usage(small).free - 20_000))
        noise = random.Random(2)
        many = [record(f"b{i}", text=noise.randbytes(300).hex()) for i in range(2000)]

        with pytest.raises(StorageUnavailable, match="No space left"):
            apply(buffer, *many, cursor=2)
        ballast.write_bytes(bytes(shutil.disk_usage(small).free + ballast.stat().st_size))
        with pytest.raises(StorageUnavailable, match="snapshot"):
            buffer.snapshot(small / "s.parquet", ["appointments"], NOW)
        assert buffer.cursor("appointments") == 1
        ballast.unlink()
        leftovers = [path.name for path in small.iterdir() if not path.name.startswith("b.duckdb")]
        assert leftovers == []
        assert apply(buffer, *many, cursor=2).n_new == 2000
        buffer.close()

        again = Buffer(small / "b.duckdb", NOW)
        assert again.take_message() is None
        assert len(again.ids("appointments")) == 2001
        again.close()
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_a_stream_that_points_elsewhere_starts_afresh(buffer: Buffer) -> None:
    """Ids and cursors of the test database mean nothing in the real one."""
    apply(buffer, record("a1"), cursor=7)
    apply(buffer, record("p1"), stream="spare_parts", cursor=3)

    was_reset = buffer.open_stream("appointments", "sql:other", is_counted=True)

    assert was_reset
    assert buffer.cursor("appointments") is None
    assert buffer.ids("appointments") == frozenset()
    assert buffer.cursor("spare_parts") == 3
    assert "sql:other" in str(buffer.take_message())


def test_the_ledger_counts_by_source_day_and_stream(buffer: Buffer) -> None:
    """A person compares it with the provider's bill, which is by day."""
    apply(buffer, record("a1"), billed_reads=12)
    apply(buffer, billed_reads=1)
    buffer.add_reads("shop", "spare_parts", NOW + timedelta(days=1), 5)
    buffer.add_reads("shop", "spare_parts", NOW, 0)

    assert buffer.billed_reads("shop", NOW.date()) == 13
    assert buffer.billed_reads("other", NOW.date()) == 0
    assert buffer.ledger(date(2026, 11, 1)) == [
        ("shop", date(2026, 11, 21), "appointments", 13),
        ("shop", date(2026, 11, 22), "spare_parts", 5),
    ]


def test_a_snapshot_that_fails_leaves_a_buffer_that_works(
    buffer: Buffer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk was full for twelve seconds; after that every statement was refused, for ever."""

    def fails(*_: object) -> SnapshotInfo:
        raise StorageUnavailable("s.parquet: the training snapshot could not be written.")

    apply(buffer, record("a1"))
    monkeypatch.setattr(buffer_module, "write_snapshot", fails)

    with pytest.raises(StorageUnavailable, match="snapshot") as kept:  # as a failed run keeps it
        buffer.snapshot(tmp_path / "s.parquet", ["appointments"], NOW)

    assert kept.value is not None
    assert apply(buffer, record("a2")).n_new == 1
    assert buffer.ids("appointments") == {"a1", "a2"}


def test_a_snapshot_is_the_same_whatever_way_the_records_came(tmp_path: Path) -> None:
    """The digest in the manifest names the training data; it must not depend on the journey."""
    records = [record(f"a{i:03d}", minute=i % 7, n=i, text="é\\x41" * (i % 5)) for i in range(100)]
    infos = []
    for n, size in enumerate((100, 1, 7)):
        buffer = Buffer(tmp_path / f"{n}.duckdb", NOW)
        for stream in ("appointments", "spare_parts"):
            buffer.open_stream(stream, "sql:app", True)
        shuffled = random.Random(n).sample(records, len(records))
        for begin in range(0, 100, size):
            apply(buffer, *shuffled[begin : begin + size])
        streams = ["spare_parts", "appointments"]
        infos.append(buffer.snapshot(tmp_path / f"{n}.parquet", streams, NOW))
        buffer.close()

    tables = [read_snapshot(tmp_path / f"{n}.parquet") for n in range(3)]

    assert len({info.digest for info in infos}) == 1
    assert tables[0] == tables[1] == tables[2]
    assert infos[0].n_rows == {"appointments": 100, "spare_parts": 0}
    assert infos[0].newest == NOW + timedelta(minutes=6)
    assert len(tables[0]["spare_parts"]) == 0
    found = list(tables[0]["appointments"])
    assert found == sorted(records, key=lambda r: (r.updated_at, r.id))


def test_one_changed_character_changes_the_digest(buffer: Buffer, tmp_path: Path) -> None:
    """Moving a character from one record to the next must not go unseen either."""
    digests = set()
    for left, right in (("ab", "c"), ("a", "bc"), ("a", "bd")):
        apply(buffer, record("1", t=left), record("2", t=right))
        digests.add(buffer.snapshot(tmp_path / "s.parquet", ["appointments"], NOW).digest)

    assert len(digests) == 3


def test_retention_forgets_by_the_time_of_the_last_change(buffer: Buffer) -> None:
    """Old data costs disk and makes training slower without making it better."""
    apply(buffer, record("old", minute=-10), record("new", minute=10))

    assert buffer.prune("appointments", NOW) == 1
    assert buffer.delete_ids("appointments", ["new", "unknown"]) == 1
    assert buffer.ids("appointments") == frozenset()


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("spare_parts", "spare_parts.duckdb"),
        ("solar_power/device-1", "solar_power/device-1.duckdb"),
        ("solar_power/../../etc", "solar_power/%2E%2E/%2E%2E/etc.duckdb"),
        ("solar_power/a:b c", "solar_power/a%3Ab%20c.duckdb"),
    ],
)
def test_each_model_has_its_file_inside_the_folder(model: str, expected: str) -> None:
    """An entity is named by a device or a customer, and a path must not be steered by them."""
    assert buffer_path(Path("buffer"), model) == Path("buffer") / expected


def test_a_hundred_thousand_records_are_taken_in_within_seconds(buffer: Buffer) -> None:
    """The first load of a real collection; row by row it would take minutes."""
    many = [
        record(f"a{i:06d}", minute=i, status="complete", text="x" * 150) for i in range(100_000)
    ]

    began = time.perf_counter()
    apply(buffer, *many, cursor=1, billed_reads=100_000)
    taken_s = time.perf_counter() - began

    assert n_new_since(buffer, 0) == 100_000
    assert taken_s < 10  # about one second on a quiet machine


def test_a_look_that_brings_nothing_goes_through_no_row(
    buffer: Buffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million records must not be counted anew every few seconds because somebody looked."""
    apply(buffer, record("a"))
    before = buffer.statistics(), buffer.count_by_entity({"": 0})

    with monkeypatch.context() as patch:
        patch.setattr(buffer, "_file", None)  # whoever asks the database now fails
        again = buffer.statistics(), buffer.count_by_entity({"": 0})
    apply(buffer, record("b"))

    assert again == before
    assert buffer.statistics()["appointments"].n_records == 2
    assert buffer.count_by_entity({"": 0})[""].n_usable == 2
    buffer.delete_ids("appointments", ["a"])
    assert buffer.statistics()["appointments"].n_records == 1
    assert buffer.count_by_entity({"": 0})[""].n_usable == 1
