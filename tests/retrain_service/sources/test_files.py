"""Files as people export them: forms, encodings, growth, replacement, half of a file, errors."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retrain_service.sources import open_source
from retrain_service.sources.base import Source
from retrain_service.sources.files import source as files
from shared.errors import CollectionMissing, SourceMisconfigured, SourceUnavailable
from shared.records import Cursor, Record
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings

NOW = datetime.now(UTC)
Opener = Callable[..., Source]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    sources: list[Source] = []

    def _open(
        collection: str = "orders", at: datetime | None = None, lag_s: float = 0, **kept: Any
    ) -> Source:
        own = {name: kept.pop(name) for name in ("encoding", "delimiter", "url") if name in kept}
        settings = SourceSettings(
            kind="files",
            lag_s=lag_s,
            timeout_s=kept.pop("timeout_s", 5),
            **{"url": str(tmp_path), **own},
        )
        streams = StreamSettings(collection=collection, **kept)
        clock = (
            (lambda: at) if at is not None else (lambda: datetime.now(UTC) + timedelta(seconds=5))
        )
        sources.append(open_source(settings, streams, clock=clock))
        return sources[-1]

    yield _open
    for source in sources:
        source.close()


def read(source: Source, cursor: Cursor = None, limit: int = 3) -> tuple[list[Record], Cursor]:
    records: list[Record] = []
    while True:
        batch = source.read_after(cursor, limit)
        records += batch.records
        cursor = json.loads(json.dumps(batch.cursor))
        if batch.is_last:
            return records, cursor


def lines(*rows: str) -> bytes:
    return "".join(f"{row}\n" for row in ("id,updated_at,qty", *rows)).encode()


def replaced(path: Path, content: bytes) -> None:
    """As exporters do it that take care: beside, then in its place."""
    beside = path.with_name(f"{path.name}.tmp")
    beside.write_bytes(content)
    beside.replace(path)


def parquet(**columns: list[Any]) -> bytes:
    content = io.BytesIO()
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), content)
    return content.getvalue()


ROW = {"id": "1", "updated_at": "2025-11-26T10:00:00Z", "name": "Öl; 5 L", "price": "1.234,50"}
GERMAN = 'id;updated_at;name;price\n1;2025-11-26T10:00:00Z;"Öl; 5 L";1.234,50\n'
FORMS: dict[str, tuple[str, bytes, dict[str, Any], dict[str, Any]]] = {
    "semicolons": ("orders.csv", GERMAN.encode(), {}, ROW),
    "mark of UTF-8": ("orders.csv", codecs.BOM_UTF8 + GERMAN.encode(), {}, ROW),
    "mark of UTF-16": ("orders.csv", codecs.BOM_UTF16_LE + GERMAN.encode("utf-16-le"), {}, ROW),
    "named encoding": ("orders.csv", GERMAN.encode("cp1252"), {"encoding": "cp1252"}, ROW),
    "Excel's first line": ("orders.csv", f"sep=;\r\n{GERMAN}".encode(), {}, ROW),
    "Windows' line ends": ("orders.csv", GERMAN.replace("\n", "\r\n").encode(), {}, ROW),
    "named delimiter": (
        "orders.csv",
        b"id~updated_at,a\n1~x,y\n",
        {"delimiter": "~"},
        {"id": "1", "updated_at,a": "x,y"},
    ),
    "tabs, compressed": (
        "orders.tsv.gz",
        gzip.compress(b"id\ta,b\tc;d;e\n7\t\\N\t,,\n"),
        {},
        {"id": "7", "a,b": None, "c;d;e": ",,"},
    ),
    "a line break in quotes, and an empty line": (
        "orders.csv",
        b'id,note\n\n1,"two\nlines, ""quoted"""\n',
        {},
        {"id": "1", "note": 'two\nlines, "quoted"'},
    ),
    "a comma at each end": (
        "orders.csv",
        b"id,a,\n1,2,\n",
        {},
        {"id": "1", "a": "2", "column 3": None},
    ),
    "JSON in a column": (
        "orders.csv",
        b'id,parts\n1,"[{""qty"": 2}]"\n',
        {},
        {"id": "1", "parts": [{"qty": 2}]},
    ),
    "JSON lines of pandas": (
        "orders.jsonl",
        b'{"id": 1, "price": NaN, "deep": {"a": [1]}}\n',
        {},
        {"id": 1, "price": None, "deep": {"a": [1]}},
    ),
    "a JSON list": ("orders.json", b'[{"id": 1.0, "a": true}]', {}, {"id": 1.0, "a": True}),
    "a JSON object with a list": (
        "orders.json.gz",
        gzip.compress(b'{"total": 1, "orders": [{"id": 1}]}'),
        {},
        {"id": 1},
    ),
    "Parquet": (
        "orders.parquet",
        parquet(
            id=[7],
            at=pa.array([1_764_151_200_000_000_001], pa.timestamp("ns", tz="Asia/Tokyo")),
            price=[Decimal("1.50")],
            tags=[["a"]],
            raw=[b"ab"],
        ),
        {},
        {"id": 7, "at": "2025-11-26T10:00:00Z", "price": 1.5, "tags": ["a"], "raw": "YWI="},
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_row_is_the_same_in_whatever_form_it_was_exported(
    tmp_path: Path, opened: Opener, form: str
) -> None:
    """Texts stay texts: what they mean is read where the meaning is known."""
    name, content, options, expected = FORMS[form]
    (tmp_path / name).write_bytes(content)

    ((record,), _) = read(opened(**options))

    assert dict(record.fields) == expected
    assert record.id == str(int(float(expected["id"])))


@pytest.mark.parametrize(
    ("content", "stream", "expected"),
    [
        (b"id,a\n1,x\n2,\xe4\n", {}, r"orders\.csv line 3: not utf-8 \(byte 0xE4\).*encoding = "),
        (b"nr,a\n1,x\n", {}, r"orders\.csv: id_field is 'id', but the columns are nr, a.*\"#\""),
        (b"id,a,a\n1,x,y\n", {}, r"orders\.csv line 1: two columns are named 'a'"),
        (
            b"id,updated_at\n1,03/04/2025\n",
            {},
            r"orders\.csv: updated_at: .*day of March or of April",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_what_would_mend_it(
    tmp_path: Path, opened: Opener, content: bytes, stream: dict[str, Any], expected: str
) -> None:
    """Each asks for a person; nothing is read half."""
    (tmp_path / "orders.csv").write_bytes(content)

    with pytest.raises(SourceMisconfigured, match=expected):
        read(opened(**stream))


def test_rows_of_one_id_are_versions_of_it_or_a_wrong_id(tmp_path: Path, opened: Opener) -> None:
    """A log of changes, and an export each day, name an id often; lines of orders must not."""
    folder = tmp_path / "orders"
    folder.mkdir()
    versions = [f"7,2025-11-{day:02d},{day}" for day in range(1, 20)]
    for name in ("monday.csv", "tuesday.csv"):
        (folder / name).write_bytes(lines(*versions, *versions))
    (tmp_path / "lines.csv").write_bytes(lines(*(f"{n // 4},2025-11-26,{n}" for n in range(40))))

    records, _ = read(opened())
    apart, _ = read(opened("lines", id_field=("id", "qty")), limit=100)

    assert [(r.id, r.fields["qty"]) for r in records] == [("7", "19")]
    assert len(apart) == 40
    with pytest.raises(
        SourceMisconfigured, match=r"lines\.csv: 40 rows have only 10 different ids"
    ):
        read(opened("lines"))


def test_an_export_of_a_document_database_is_read_as_it_is(tmp_path: Path, opened: Opener) -> None:
    """mongoexport writes ids and times as objects; each line was a record without an id."""
    (tmp_path / "orders.jsonl").write_text(
        '{"_id": {"$oid": "65F0C0DE0000000000000001"}, "updated_at":'
        ' {"$date": {"$numberLong": "1764151200000"}}}\n',
        encoding="utf-8",
    )
    os.utime(tmp_path / "orders.jsonl", (0, 0))

    (record,), _ = read(opened(id_field="_id"))

    assert record.id == "65f0c0de0000000000000001"
    assert record.updated_at == datetime(2025, 11, 26, 10, tzinfo=UTC)


def test_a_line_that_cannot_be_read_costs_itself(tmp_path: Path, opened: Opener) -> None:
    """A quote that somebody forgot must not swallow the ten thousand lines behind it."""
    bad = ["2,2025-11-26", '3,2025-11-26,"open', '"4"x,2025-11-26,1', "5,2025-11-26,1,2,3"]
    good = [f"{n},2025-11-26,1" for n in range(10, 40)]
    (tmp_path / "orders.csv").write_bytes(lines("1,2025-11-26,1", *bad, *good))
    os.utime(tmp_path / "orders.csv", (0, 0))
    (tmp_path / "last.csv").write_bytes(
        lines("1,2025-11-26,1", '2,2025-11-26,"1', "3,2025-11-26,1")
    )
    os.utime(tmp_path / "last.csv", (0, 0))
    (tmp_path / "visits.jsonl").write_bytes(b'{"id": 1}\n{"id": 2\n[3]\n{"id": 4}\n')

    orders, _ = read(opened(), limit=100)
    last, _ = read(opened("last"), limit=100)
    visits, _ = read(opened("visits"), limit=100)

    told = {record.id: record.fields.get("unreadable") for record in [*orders, *visits]}
    why = {record.id: record.fields.get("unreadable") for record in last}
    assert why == {"1": None, "3": None, "last.csv#2": "last.csv line 3: its quotes are not closed"}
    assert sorted(id_ for id_, why in told.items() if why is None) == sorted(
        ["1", *(str(n) for n in range(10, 40)), "4"]
    )
    assert told["orders.csv#2"] == "orders.csv line 3: expected 3 values, as in the header, found 2"
    assert str(told["orders.csv#3"]).startswith("orders.csv line 4: ")
    assert str(told["orders.csv#4"]).startswith("orders.csv line 5: ")
    assert told["orders.csv#5"] == "orders.csv line 6: expected 3 values, as in the header, found 5"
    assert str(told["visits.jsonl#2"]).startswith("visits.jsonl line 2: no JSON")
    assert told["visits.jsonl#3"] == "visits.jsonl line 3: expected an object, found list"


@pytest.mark.parametrize("restarts", [False, True])
def test_a_file_that_grows_is_read_from_its_end_on(
    tmp_path: Path, opened: Opener, restarts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of a line is no record yet, whatever it looks like; nothing is told twice."""
    monkeypatch.setattr(files, "MOST_NAMED", 0)  # as in a file too long for that
    path = tmp_path / "orders.csv"
    path.write_bytes(lines("1,2025-11-26,1", "2,2025-11-25,1"))
    just_now = datetime.now(UTC)
    source = opened(at=just_now)
    first, cursor = read(source)

    with path.open("ab") as file:
        file.write(b'3,2020-01-01,1\n4,2025-11-26,"1')
    source = opened(at=just_now) if restarts else source
    second, cursor = read(source, cursor)
    with path.open("ab") as file:
        file.write(b'2"\n5,2025-11-26,13')
    third, cursor = read(source, cursor)
    rested = opened(at=just_now + timedelta(minutes=5))
    fourth, cursor = read(rested, cursor)
    with path.open("ab") as file:
        file.write(b"7\n")
    fifth, cursor = read(opened(at=just_now + timedelta(minutes=9)), cursor)

    pages = [[(r.id, r.fields["qty"]) for r in each] for each in (first, second, third)]
    assert pages == [[("2", "1"), ("1", "1")], [("3", "1")], [("4", "12")]]
    # Nothing came to the last line for a while, so it is taken as it is; and corrected.
    assert [(r.id, r.fields["qty"]) for r in fourth] == [("5", "13")]
    assert [(r.id, r.fields["qty"]) for r in fifth] == [("5", "137")]


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("most_named", [0, 100])
def test_a_file_that_is_replaced_tells_what_changed_and_what_is_gone(
    tmp_path: Path,
    opened: Opener,
    restarts: bool,
    most_named: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also without a time in the rows, and whether the daemon saw it or not."""
    monkeypatch.setattr(files, "MOST_NAMED", most_named)
    path = tmp_path / "goods.csv"
    path.write_bytes(b"id,price\na,1\nb,2\nc,3\n")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    source = opened("goods")
    first, cursor = read(source)

    replaced(path, b"id,price\na,1\nb,9\nd,4\n")
    source = opened("goods") if restarts else source
    second, cursor = read(source, cursor)

    assert [r.id for r in first] == ["a", "b", "c"]
    assert {r.updated_at for r in first} == {datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)}
    told = {(r.id, r.is_deleted): r.fields.get("price") for r in second}
    is_complete = most_named or not restarts
    assert told.items() >= {("b", False): "9", ("d", False): "4"}.items()
    assert (("c", True) in told) is bool(is_complete)
    assert (("a", False) in told) is (most_named == 0)  # told again, and known to the buffer
    if most_named:
        day = first[0].updated_at.date()
        assert source.count_by_day([day]).by_day == {day: 1}
    assert read(source, cursor)[0] == []


@pytest.mark.parametrize("form", ["parquet", "jsonl.gz", "json"])
def test_half_of_a_file_is_not_taken(tmp_path: Path, opened: Opener, form: str) -> None:
    """What was read before it stays until the new content is whole; broken for good, it is said."""

    def content(*ids: int) -> bytes:
        rows = [{"id": id_, "note": f"{id_} " * 40} for id_ in ids]
        if form == "parquet":
            return parquet(id=[row["id"] for row in rows], note=[row["note"] for row in rows])
        if form == "json":
            return json.dumps(rows).encode()
        return gzip.compress("".join(f"{json.dumps(row)}\n" for row in rows).encode())

    path = tmp_path / f"orders.{form}"
    path.write_bytes(content(1, 2))
    moment = datetime.now(UTC) + timedelta(seconds=0.5)
    source = opened(at=moment)
    first, cursor = read(source)

    path.write_bytes(content(1, 3, 4)[:-9])
    half, same = read(source, cursor)
    path.write_bytes(content(1, 3, 4))
    whole, cursor = read(source, same)
    path.write_bytes(content(5)[:-9])

    assert [r.id for r in first] == ["1", "2"]
    assert (half, same) == ([], cursor) or same is not None
    assert half == []
    assert sorted((r.id, r.is_deleted) for r in whole) == [("2", True), ("3", False), ("4", False)]
    with pytest.raises(SourceMisconfigured, match=rf"orders\.{form}"):
        read(opened(at=moment + timedelta(hours=1)), cursor)


def test_a_file_that_is_being_written_anew_deletes_nothing(tmp_path: Path, opened: Opener) -> None:
    """An exporter that opens the file and then asks its database leaves it empty for a while."""
    path = tmp_path / "orders.csv"
    path.write_bytes(lines("1,2025-11-26,1", "2,2025-11-26,1"))
    moment = datetime.now(UTC)
    clock = [moment + timedelta(minutes=2)]
    settings = SourceSettings(kind="files", url=str(tmp_path), lag_s=60)
    source = open_source(settings, StreamSettings(collection="orders"), clock=lambda: clock[0])
    try:
        first, cursor = read(source)
        path.write_bytes(b"")
        clock[0] = datetime.now(UTC) + timedelta(seconds=1)
        empty, cursor = read(source, cursor)
        with pytest.raises(SourceUnavailable, match=r"orders\.csv is being written"):
            source.missing(["1"])
        path.write_bytes(lines("1,2025-11-26,1"))
        half, cursor = read(source, cursor)
        clock[0] += timedelta(minutes=2)
        rested, cursor = read(source, cursor)
    finally:
        source.close()

    assert [r.id for r in first] == ["1", "2"]
    assert [each for each in (*empty, *half) if each.is_deleted] == []
    assert [(r.id, r.is_deleted) for r in rested] == [("2", True)]


def test_a_folder_is_watched(tmp_path: Path, opened: Opener) -> None:
    """A file that arrives late with old rows is read; one that goes takes its rows with it."""
    folder = tmp_path / "orders"
    (folder / "2025").mkdir(parents=True)
    (folder / "2025" / "b.csv").write_bytes(lines("1,2025-11-26,1", "2,2025-11-26,1"))
    (folder / "notes.docx").write_bytes(b"?")
    (folder / ".hidden.csv").write_bytes(b"?")
    (folder / "c.csv.part").write_bytes(b"?")
    source = opened()

    first, cursor = read(source)
    (folder / "a.csv").write_bytes(lines("3,2019-01-01,1", "2,2025-11-27,7"))
    second, cursor = read(source, cursor)
    (folder / "2025" / "b.csv").unlink()
    third, cursor = read(source, cursor)
    (folder / "a.csv").unlink()

    assert [r.id for r in first] == ["1", "2"]
    assert [(r.id, r.fields["qty"]) for r in second] == [("3", "1"), ("2", "7")]
    assert [(r.id, r.is_deleted) for r in third] == [("1", True)]
    with pytest.raises(CollectionMissing, match=r"no file belongs to 'orders'.*notes\.docx"):
        read(source, cursor)
    (folder / "a.csv").write_bytes(lines("3,2019-01-01,1", "2,2025-11-27,7"))
    assert read(source, cursor)[0] == []


@pytest.mark.parametrize(
    ("collection", "url", "expected"),
    [
        ("orders", "", ["orders.csv#1"]),
        ("orders.csv", "", ["orders.csv#1"]),
        ("shop/*.csv", "", ["shop/x.csv#1"]),
        ("*.csv", "shop", ["x.csv#1"]),
        ("whatever", "orders.csv", ["orders.csv#1"]),
    ],
)
def test_which_files_belong_to_a_stream(
    tmp_path: Path, opened: Opener, collection: str, url: str, expected: list[str]
) -> None:
    """By name, by pattern, or the one file that the address names; without an id by position."""
    (tmp_path / "shop").mkdir()
    for name in ("orders.csv", "shop/x.csv"):
        (tmp_path / name).write_bytes(b"a,b\n1,2\n")

    records, _ = read(opened(collection, url=str(tmp_path / url), id_field="#"))

    assert [r.id for r in records] == expected


def test_a_long_file_is_read_over_several_calls(tmp_path: Path, opened: Opener) -> None:
    """A read has a deadline; a first load of millions of rows may need several of them."""
    (tmp_path / "orders.csv").write_bytes(lines(*(f"{n},2025-11-26,1" for n in range(9000))))
    source = opened(timeout_s=1e-6)

    calls, cursor, ids = 0, None, set[str]()
    while len(ids) < 9000:
        batch = source.read_after(cursor, 5000)
        cursor, calls = batch.cursor, calls + 1
        ids |= {record.id for record in batch.records}
        assert not (batch.is_last and len(ids) < 9000)

    assert calls > 3
