"""Sample a stream by its source: all of a small one; else oldest, middle and newest records.

Reads as the daemon does, and stores nothing. Judges nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from retrain_service.sources.base import Inspection, Source
from shared.errors import HotfitError
from shared.records import Record

WHOLE_UP_TO = 20_000
"""Records of a stream whose reads are free; a larger one is sampled."""

_N_SAMPLE = 20
_PAGE = 5_000


@dataclass(frozen=True, slots=True)
class StreamSample:
    """What was seen of a stream.

    records : that are not deleted, oldest first; is_whole : every record that can be read now.
    found : the source's own figures. remarks : what could not be read, as sentences.
    """

    found: Inspection
    records: tuple[Record, ...]
    n_deleted: int = 0
    is_whole: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def newest(self) -> datetime | None:
        times = [record.updated_at for record in self.records]
        return max([*times, *filter(None, [self.found.newest_updated_at])], default=None)

    @property
    def oldest(self) -> datetime | None:
        return min((record.updated_at for record in self.records), default=None)


def sample_stream(source: Source, *, is_free: bool, n: int = _N_SAMPLE) -> StreamSample:
    """Look at the stream.

    is_free : reads are not billed, so that a small stream may be read whole.

    Raises:
        SourceUnavailable, SourceMisconfigured: it cannot be looked at.
    """
    found = source.inspect(n_sample=n)
    if is_free and found.n_records <= WHOLE_UP_TO:
        return _whole(source, found)
    remarks: list[str] = []
    records = {record.id: record for record in found.sample}
    newest = found.newest_updated_at
    try:
        oldest = source.read_after(None, n).records
        records |= {record.id: record for record in oldest}
        if oldest and newest is not None and newest > oldest[-1].updated_at:
            middle = oldest[0].updated_at + (newest - oldest[0].updated_at) / 2
            between = source.read_after(source.cursor_at(middle), n).records
            records |= {record.id: record for record in between}
    except HotfitError as error:
        remarks.append(f"only the newest records were looked at: {error}")
    alive = [record for record in records.values() if not record.is_deleted]
    alive.sort(key=lambda record: (record.updated_at, record.id))
    is_whole = len(records) >= found.n_records - found.n_without_cursor_field
    return StreamSample(found, tuple(alive), len(records) - len(alive), is_whole, tuple(remarks))


def _whole(source: Source, found: Inspection) -> StreamSample:
    """Page by page; records of the future, which no read brings yet, come from the inspection."""
    records = {record.id: record for record in found.sample}
    cursor, remarks, is_whole = None, [], True
    try:
        for _ in range(WHOLE_UP_TO):
            batch = source.read_after(cursor, _PAGE)
            records |= {record.id: record for record in batch.records}
            if batch.is_last:
                break
            cursor = batch.cursor
    except HotfitError as error:
        is_whole = False
        remarks.append(f"not all of it could be read: {error}")
    n_unread = found.n_records - found.n_without_cursor_field - len(records)
    if is_whole and n_unread > 0:
        is_whole = False
        remarks.append(
            f"{n_unread:,} records are not read yet: they are newer than the source's lag_s allows,"
            " or dated in the future"
        )
    alive = [record for record in records.values() if not record.is_deleted]
    alive.sort(key=lambda record: (record.updated_at, record.id))
    return StreamSample(
        found, tuple(alive), len(records) - len(alive), is_whole=is_whole, remarks=tuple(remarks)
    )
