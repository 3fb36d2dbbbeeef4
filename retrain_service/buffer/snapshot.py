"""Write and read a snapshot: the frozen rows of one run in one parquet file.

The same records give the same rows in the same order and the same digest, wherever and whenever
they were buffered. Knows neither DuckDB nor workloads: arrow batches in, Tables out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shared.errors import StorageUnavailable
from shared.records import Table, from_epoch_us

SCHEMA = pa.schema(
    [
        ("stream", pa.string()),
        ("id", pa.string()),
        ("updated_us", pa.int64()),
        ("body", pa.binary()),
    ]
)
_STREAMS_KEY = b"hotfit.streams"


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """What a snapshot holds.

    digest : SHA-256 in hex over the content (not the file's bytes, which change with libraries).
    n_rows : records by stream; a stream without records is there with 0.
    newest : greatest `updated_at` of all rows, UTC; None when there is no row.
    high_seq : the buffer's sequence number when it was taken; what came later is new.
    """

    digest: str
    n_rows: Mapping[str, int]
    newest: datetime | None
    high_seq: int
    taken_at: datetime

    @property
    def n_total(self) -> int:
        return sum(self.n_rows.values())


class _ContentDigest:
    """SHA-256 column by column, so that where a batch begins or ends does not matter."""

    def __init__(self) -> None:
        self._columns = {
            f"{name}.{part}": hashlib.sha256()
            for name in SCHEMA.names
            for part in ("lengths", "bytes")
        }

    def add(self, batch: pa.RecordBatch) -> None:
        for name in ("stream", "id", "body"):
            column = batch.column(name).cast(pa.binary())
            lengths = pc.binary_length(column).to_numpy(zero_copy_only=False)
            self._columns[f"{name}.lengths"].update(lengths.astype("<i8").tobytes())
            self._columns[f"{name}.bytes"].update(b"".join(column.to_pylist()))
        times = batch.column("updated_us").to_numpy(zero_copy_only=False)
        self._columns["updated_us.bytes"].update(np.ascontiguousarray(times, "<i8").tobytes())

    def hexdigest(self) -> str:
        whole = hashlib.sha256(b"hotfit snapshot 1\n")
        for name in sorted(self._columns):
            whole.update(name.encode() + b" " + self._columns[name].digest())
        return whole.hexdigest()


def write_snapshot(
    batches: Iterable[pa.RecordBatch],
    path: Path,
    streams: Sequence[str],
    high_seq: int,
    taken_at: datetime,
) -> SnapshotInfo:
    """Write batches, already ordered by (stream, updated_us, id), to `path`.

    batches : of SCHEMA; `body` may also be text, which is kept as its UTF-8 bytes.

    Raises:
        StorageUnavailable: the disk is full or not writable; nothing is left at `path`.
    """
    beside = path.with_name(path.name + ".part")
    digest, n_rows, newest_us = _ContentDigest(), dict.fromkeys(sorted(streams), 0), None
    schema = SCHEMA.with_metadata({_STREAMS_KEY: json.dumps(sorted(streams)).encode()})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(beside, schema, compression="zstd") as writer:
            for batch in batches:
                if batch.num_rows == 0:
                    continue
                digest.add(batch)
                for counted in pc.value_counts(batch.column("stream")):
                    n_rows[counted["values"].as_py()] += counted["counts"].as_py()
                top_us = pc.max(batch.column("updated_us")).as_py()
                newest_us = top_us if newest_us is None else max(newest_us, top_us)
                writer.write_batch(batch.cast(SCHEMA))
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise StorageUnavailable(
            f"{path}: the training snapshot could not be written: {error.strerror or error}."
            " Nothing half-written was left behind."
        ) from error
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    newest = None if newest_us is None else from_epoch_us(newest_us)
    return SnapshotInfo(digest.hexdigest(), n_rows, newest, high_seq, taken_at)


def read_snapshot(path: Path) -> dict[str, Table]:
    """Every stream the snapshot was taken of, empty ones included.

    What the tables hold stays in the file and is read whenever it is asked for, piece by piece.

    Raises:
        StorageUnavailable: the file is missing or not a snapshot.
    """
    try:
        with pq.ParquetFile(path) as file:
            streams: list[str] = json.loads(file.schema_arrow.metadata[_STREAMS_KEY])
            of_rows = file.read(columns=["stream"]).column(0)
    except (OSError, pa.ArrowInvalid, KeyError, TypeError) as error:
        raise StorageUnavailable(f"{path}: not a readable training snapshot: {error}.") from error
    found = {}
    for stream in streams:
        # The rows of a stream stand together.
        n_rows = pc.sum(pc.equal(of_rows, stream)).as_py() or 0
        begin = pc.index(of_rows, stream).as_py() if n_rows else 0
        columns = (
            _Column(path, name, begin, begin + n_rows) for name in ("id", "updated_us", "body")
        )
        found[stream] = Table(stream, *columns)
    return found


class _Column(Sequence[Any]):
    """One column of the rows from `begin` to `end` of a snapshot; to be gone through in order."""

    def __init__(self, path: Path, name: str, begin: int, end: int) -> None:
        self._path, self._name, self._begin, self._end = path, name, begin, end

    def __len__(self) -> int:
        return self._end - self._begin

    def __iter__(self) -> Iterator[Any]:
        return self._values(self._begin, self._end)

    @overload
    def __getitem__(self, at: int) -> Any: ...
    @overload
    def __getitem__(self, at: slice) -> list[Any]: ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            wanted = range(self._begin, self._end)[at]
            if wanted.step != 1:
                return list(self)[at]
            return list(self._values(wanted.start, wanted.stop))
        sink = range(self._begin, self._end)[at]
        return next(self._values(sink, sink + 1))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        raise TypeError("a column of a snapshot is compared by its values and has no hash")

    def _values(self, begin: int, end: int) -> Iterator[Any]:
        # Opened anew each time: an open file cannot be removed on Windows.
        with pq.ParquetFile(self._path) as file:
            first = 0
            for i in range(file.num_row_groups):
                last = first + file.metadata.row_group(i).num_rows
                if first < end and begin < last:
                    rows = file.read_row_group(i, columns=[self._name]).column(0)
                    lowest, highest = max(begin, first), min(end, last)
                    yield from rows.slice(lowest - first, highest - lowest).to_pylist()
                first = last
