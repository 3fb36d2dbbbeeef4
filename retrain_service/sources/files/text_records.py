"""Read records from CSV and JSON lines, piece by piece, as long as they are complete.

A record is complete when its line has an end and its quotes are closed; what is not is left for
the next look. Knows no database and no cursor.
"""

from __future__ import annotations

import csv
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec

from retrain_service.sources.json_values import to_json
from shared.errors import SourceMisconfigured

UNREADABLE = "unreadable"
"""The only field of a record that stands for a line that could not be read: says why."""

_MISSING = frozenset({"", "\\N"})
_LONGEST_FIELD = 1_000_000
_DELIMITERS = (",", ";", "\t", "|")
_MARKS = (  # the longer ones first: that of UTF-32 begins with that of UTF-16
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class TextRecord:
    """line : where it begins, from 1. end : of the record, in bytes from where reading began.
    is_ended : its line has an end, so that nothing more comes to it.
    """

    fields: Mapping[str, Any]
    line: int
    end: int
    is_ended: bool = True


class Lines:
    """The lines of a file with their numbers and ends; a line can be given back."""

    def __init__(self, file: BinaryIO, size: int, encoding: str, name: str, line: int) -> None:
        """size: of the bytes to read. line: number of the line before the first."""
        self._file, self._left, self._encoding, self._name = file, size, encoding, name
        self._again: deque[tuple[str, int, int]] = deque()
        self._read_to, self._read_line = 0, line
        self.end, self.line, self.is_ended = 0, line, True

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self._again:
            raw = self._file.readline(self._left)
            if not raw:
                raise StopIteration
            self._left -= len(raw)
            self._read_to += len(raw)
            self._read_line += 1
            self.is_ended = raw.endswith(b"\n")
            try:
                text = raw.decode(self._encoding)
            except UnicodeDecodeError as error:
                if not self.is_ended:
                    raise StopIteration from None  # half of a sign: the rest is being written
                raise SourceMisconfigured(
                    f"{self._name} line {self._read_line}: not {self._encoding} (byte"
                    f" 0x{raw[error.start]:02X}); name the file's encoding, as in"
                    ' encoding = "cp1252".'
                ) from None
            self._again.append((text, self._read_to, self._read_line))
        text, self.end, self.line = self._again.popleft()
        return text

    def give_back(self, lines: Sequence[tuple[str, int, int]]) -> None:
        self._again.extendleft(reversed(lines))


def encoding_of(head: bytes, configured: str) -> tuple[str, int]:
    """The encoding, and how many bytes its mark takes at the beginning."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    return configured or "utf-8", 0


def json_records(lines: Lines, name: str) -> Iterator[TextRecord]:
    for text in lines:
        if text.strip():
            yield TextRecord(
                _of_json(text, name, lines.line), lines.line, lines.end, lines.is_ended
            )


def csv_header(first: str, name: str, configured: str) -> tuple[tuple[str, ...], str]:
    """Names of the columns and the delimiter of a header line.

    Raises:
        SourceMisconfigured: two columns have the same name.
    """
    delimiter = configured or max(_DELIMITERS, key=lambda sign: _n_outside_quotes(first, sign))
    names = next(csv.reader([first], delimiter=delimiter), [])
    columns = tuple(each.strip() or f"column {n}" for n, each in enumerate(names, 1))
    twice = sorted({each for each in columns if columns.count(each) > 1})
    if twice:
        raise SourceMisconfigured(f"{name} line 1: two columns are named {twice[0]!r}.")
    return columns, delimiter


def csv_records(
    lines: Lines, name: str, columns: Sequence[str], delimiter: str
) -> Iterator[TextRecord]:
    """Values are texts, or None where there is nothing. A line that cannot be read costs itself."""
    csv.field_size_limit(_LONGEST_FIELD)
    taken: list[tuple[str, int, int]] = []

    def noted() -> Iterator[str]:
        for text in lines:
            taken.append((text, lines.end, lines.line))
            yield text

    reader = csv.reader(noted(), delimiter=delimiter, strict=True)
    while True:
        taken.clear()
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            _, end, line = taken[0]
            if "unexpected end" in str(error):
                # Quotes that are still open: the rest may be on its way, and if not, it is a line.
                yield TextRecord(
                    _unreadable(name, line, "its quotes are not closed"), line, end, False
                )
                lines.give_back(taken[1:])
                reader = csv.reader(noted(), delimiter=delimiter, strict=True)
                continue
            lines.give_back(taken[1:])
            yield TextRecord(_unreadable(name, line, str(error)), line, end)
            continue
        if not values:
            continue
        _, _, line = taken[0]
        while len(values) > len(columns) and values[-1].strip() == "":
            values.pop()
        if len(values) != len(columns):
            fields = _unreadable(
                name, line, f"expected {len(columns)} values, as in the header, found {len(values)}"
            )
        else:
            fields = {
                column: None if value.strip() in _MISSING else value
                for column, value in zip(columns, values, strict=True)
            }
        yield TextRecord(fields, line, lines.end, lines.is_ended)


def _of_json(text: str, name: str, line: int) -> Mapping[str, Any]:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        try:
            value = json.loads(text)  # takes NaN and Infinity, as pandas writes them
        except (ValueError, RecursionError) as error:
            return _unreadable(name, line, f"no JSON ({error})")
    if not isinstance(value, dict):
        return _unreadable(name, line, f"expected an object, found {type(value).__name__}")
    found: Mapping[str, Any] = to_json(value)
    return found


def _unreadable(name: str, line: int, why: str) -> Mapping[str, Any]:
    return {UNREADABLE: f"{name} line {line}: {why}"}


def _n_outside_quotes(text: str, sign: str) -> int:
    return sum(part.count(sign) for part in text.split('"')[::2])
