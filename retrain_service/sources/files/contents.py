"""Open one file of any form and give its records from a place on. Knows no database."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, BinaryIO

import msgspec

from retrain_service.sources.files.listing import FoundFile
from retrain_service.sources.files.text_records import (
    Lines,
    TextRecord,
    csv_header,
    csv_records,
    encoding_of,
    json_records,
)
from retrain_service.sources.json_values import to_json
from shared.errors import SourceMisconfigured

_PIECE = 1 << 20
_ROWS_A_BATCH = 1000


class Incomplete(Exception):
    """The file ends before its content does; reason: for a person, if it stays so."""


@dataclass(frozen=True, slots=True)
class Place:
    """Up to where a file has been read.

    n_records, n_lines : complete ones. end : of them, in bytes; 0 where the form is read whole.
    """

    n_records: int = 0
    n_lines: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class FileOptions:
    """As configured; empty: found out for each file."""

    encoding: str = ""
    delimiter: str = ""


def digest_of(file: BinaryIO, end: int) -> str:
    """Of the first `end` bytes."""
    digest = blake2b(digest_size=12)
    file.seek(0)
    while end > 0 and (piece := file.read(min(end, _PIECE))):
        digest.update(piece)
        end -= len(piece)
    return digest.hexdigest()


def read_records(
    file: BinaryIO, found: FoundFile, options: FileOptions, since: Place
) -> Iterator[tuple[Mapping[str, Any], Place, bool]]:
    """Records with the place behind each, and whether the record is surely complete.

    Raises:
        Incomplete: a packed file or Parquet file that is cut off, or is none.
        SourceMisconfigured: another encoding or header than expected.
    """
    size = found.stamp[0]
    try:
        if found.form == "parquet":
            yield from _whole(_parquet_rows(file), 0)
            return
        opened: BinaryIO = file
        if found.is_packed:
            file.seek(0)
            opened, size = gzip.GzipFile(fileobj=file), 1 << 62  # type: ignore[assignment]
        if found.form == "json":
            yield from _whole(_json_rows(opened.read(), found.name), 0)
            return
        yield from _text(opened, size, found, options, since)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Incomplete(f"{found.name}: {error}") from error


def _text(
    file: BinaryIO, size: int, found: FoundFile, options: FileOptions, since: Place
) -> Iterator[tuple[Mapping[str, Any], Place, bool]]:
    file.seek(0)
    encoding, mark = encoding_of(file.read(4), options.encoding)
    file.seek(mark)
    if encoding.startswith(("utf-16", "utf-32")):  # its lines do not end with a byte of their own
        raw = file.read(size)
        text = raw.decode(encoding, "replace")
        file, encoding, mark, size = io.BytesIO(text.encode()), "utf-8", 0, 1 << 62
    lines = Lines(file, size - mark, encoding, found.name, 0)
    records: Iterator[TextRecord]
    if found.form == "csv":
        delimiter = options.delimiter or ("\t" if ".tsv" in found.name.lower() else "")
        header = next(lines, "")
        if header[:4] == "sep=" and len(header.strip()) == 5:  # as Excel writes it
            delimiter, header = header[4], next(lines, "")
        if not header or not lines.is_ended:
            return
        columns, delimiter = csv_header(header, found.name, delimiter)
        if since.end:
            file.seek(since.end)
            lines = Lines(file, size - since.end, encoding, found.name, since.n_lines)
            mark = since.end
        records = csv_records(lines, found.name, columns, delimiter)
    else:
        if since.end:
            file.seek(since.end)
            lines = Lines(file, size - since.end, encoding, found.name, since.n_lines)
            mark = since.end
        records = json_records(lines, found.name)
    for n, record in enumerate(records, since.n_records + 1):
        place = Place(n, lines.line, mark + record.end)
        yield record.fields, place, record.is_ended


def _whole(
    rows: Iterator[Mapping[str, Any]], end: int
) -> Iterator[tuple[Mapping[str, Any], Place, bool]]:
    for n, row in enumerate(rows, 1):
        yield row, Place(n, n, end), True


def _json_rows(content: bytes, name: str) -> Iterator[Mapping[str, Any]]:
    """A list of objects, or an object with one list."""
    try:
        value = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"))
    except msgspec.DecodeError as error:
        raise Incomplete(f"{name}: no JSON ({error})") from error
    if isinstance(value, dict):
        lists = [each for each in value.values() if isinstance(each, list)]
        value = lists[0] if len(lists) == 1 else [value]
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise SourceMisconfigured(f"{name}: expected a list of objects, or one object a line.")
    yield from value


def _parquet_rows(file: BinaryIO) -> Iterator[Mapping[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parquet = pq.ParquetFile(file)
        for batch in parquet.iter_batches(batch_size=_ROWS_A_BATCH):
            # Nanoseconds would come as pandas' own type.
            schema = pa.schema([_in_microseconds(column) for column in batch.schema])
            table = pa.Table.from_batches([batch]).cast(schema, safe=False)
            for row in table.to_pylist():
                yield to_json(row)
    except (pa.ArrowInvalid, OSError) as error:
        raise Incomplete(f"no whole Parquet file ({str(error).splitlines()[0]})") from error


def _in_microseconds(column: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        return column.with_type(pa.timestamp("us", tz=column.type.tz))
    return column
