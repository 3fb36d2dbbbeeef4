"""Compare an export with a cursor and page through what is new, changed or gone. Knows no HTTP."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from retrain_service.sources.http_export.rows import Row
from shared.records import Batch, Cursor, Record, to_epoch_us

Known = Mapping[str, Sequence[Any]]
"""Id -> [digest, at_us] of every record of the last complete export."""

Position = tuple[int, str]

DAY_US = 86_400 * 1_000_000


@dataclass(frozen=True, slots=True)
class ExportWindow:
    """When an export was made, and how far back it goes.

    newest_us : records dated later are left for the next export.
    window_days : 0 when the export is not limited to the last days.
    """

    newest_us: int
    window_days: int = 0

    def has_expired(self, at_us: int, before_us: int) -> bool:
        """Whether the window may have left that time behind since the export at `before_us`.

        A day is allowed for on both sides: whose midnight a back end counts from is not known.
        What was older than the window and there all the same is in a list without a window.
        """
        window_us = self.window_days * DAY_US
        begin_us = before_us - window_us - DAY_US
        return window_us > 0 and begin_us <= at_us < self.newest_us - window_us + DAY_US


@dataclass(frozen=True, slots=True)
class ExportDiff:
    """The difference between a complete export and the one before.

    changed : rows that are new or have other fields.
    gone : ids of those that are deleted.
    known : what the next export is compared with. A row that is too young stays as it was before.
    """

    changed: list[Row]
    gone: list[str]
    known: dict[str, list[Any]]


def compare(
    rows: Mapping[str, Row],
    times_us: Mapping[str, int],
    window: ExportWindow,
    before: Known,
    before_us: int | None,
) -> ExportDiff:
    """Tell what is new. times_us: id -> the time that the row has, or was given."""
    changed: list[Row] = []
    known: dict[str, list[Any]] = {}
    for id_, row in rows.items():
        old = before.get(id_)
        if times_us[id_] > window.newest_us:
            if old is not None:
                known[id_] = list(old)
            continue
        known[id_] = [row.digest, times_us[id_]]
        if old is None or old[0] != row.digest:
            changed.append(row)
    gone = [
        id_
        for id_, (_, at_us) in before.items()
        if id_ not in rows and not (before_us and window.has_expired(at_us, before_us))
    ]
    return ExportDiff(changed, gone, known)


class ExportPager:
    """The news of one export, in pages.

    Its cursors in the middle hold the base that the export was compared with, the export's digest
    and the place reached, so that another process reads the rest as long as the export is still
    the same. When it is not, that begins at the base again; what comes twice is known to the
    buffer as unchanged.
    """

    def __init__(self, base: Cursor, digest: str, diff: list[Record], final: Cursor) -> None:
        self.digest = digest
        self._base, self._final = base, final
        self._news = sorted(diff, key=position)
        self._n_read = 0
        self._cursor: Cursor = base

    def continues(self, cursor: Cursor) -> bool:
        """Whether the next page is the one behind `cursor`."""
        return 0 < self._n_read < len(self._news) and bool(cursor == self._cursor)

    def skip_to(self, sink: Position) -> None:
        self._n_read = bisect_right(self._news, sink, key=position)

    def page(self, cursor: Cursor, limit: int) -> Batch:
        records = tuple(self._news[self._n_read : self._n_read + limit])
        self._n_read += len(records)
        self._cursor = self._behind(records[-1]) if records else cursor
        return Batch(records, self._cursor, is_last=len(records) < limit)

    def _behind(self, last: Record) -> Cursor:
        if self._n_read == len(self._news):
            return self._final
        at_us, id_ = position(last)
        if is_since(self._final):
            return since_cursor((at_us, id_))
        return {"base": self._base, "export": self.digest, "at_us": at_us, "id": id_}


def position(record: Record) -> Position:
    return to_epoch_us(record.updated_at), record.id


def since_cursor(sink: Position) -> Cursor:
    return {"at_us": sink[0], "id": sink[1], "since": True}


def is_since(cursor: Cursor) -> bool:
    return bool(cursor) and "since" in cursor


def digest_of(rows: Mapping[str, Row]) -> str:
    """Of everything in the list, whatever its order."""
    lines = sorted(f"{row.id} {row.digest}" for row in rows.values())
    return blake2b("\n".join(lines).encode("utf-8", "replace"), digest_size=12).hexdigest()
