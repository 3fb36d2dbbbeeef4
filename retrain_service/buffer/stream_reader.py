"""All streams of one model on one thread: poll due streams, count new records, write snapshots.

Everything but `is_due`, `request_read` and `stop` runs on the model controller's reader thread,
one call at a time. Decides nothing about training.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from retrain_service.buffer.ingest import StreamIngestor
from retrain_service.buffer.rejected import list_rejected
from retrain_service.buffer.store import Buffer, Change, SnapshotInfo, buffer_path
from retrain_service.buffer.stream_health import StreamHealth
from retrain_service.buffer.stream_statistics import EntityCount, StreamStatistics
from retrain_service.sources.mapped import open_mapped_source
from shared.errors import StorageUnavailable
from shared.exchange.json_files import write_struct
from shared.exchange.rejected_records import rejected_path
from shared.exchange.retrain_report import BufferReport
from shared.mapping.fields import open_mappings
from shared.settings.per_model import ModelSettings
from shared.settings.root import Settings
from shared.versions.model_names import entity_name
from shared.workloads.contract import Workload
from shared.workloads.shortage import shortage

_MOST_JUDGED = 2_000
_decode = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What one look at all streams came to.

    watermarks : entity -> the number after which its records were counted as new.
    by_entity : entity ("" where there are none) -> its usable and its new records.
    read_until : what was committed before this has been read from every stream; None: not yet.
    state_changes : streams whose state changed in this round; to be written down once.
    findings : of the daily chores, each with the name of its stream.
    billed_today : source -> billed reads of this UTC day by this model.
    shortage : why none of the records that there are can be used; "" where one can, or none is.
    """

    watermarks: Mapping[str, int]
    by_entity: Mapping[str, EntityCount]
    n_records: Mapping[str, int]
    is_caught_up: bool
    read_until: datetime | None
    health: tuple[StreamHealth, ...]
    state_changes: tuple[StreamHealth, ...]
    findings: tuple[str, ...]
    billed_today: Mapping[str, int]
    buffer: BufferReport
    notification: str | None
    shortage: str = ""


class StreamReader:
    """Owns the buffer and the intakes of one model; both are opened on the reader thread."""

    def __init__(
        self,
        model_name: str,
        settings: Settings,
        workload: Workload,
        *,
        n_sharing: int,
        spent_elsewhere: Callable[[str, date], int],
    ) -> None:
        self._model_name = model_name
        self._settings = settings
        self._model: ModelSettings = settings.models[model_name]
        self._workload = workload
        self._mappings = open_mappings(
            model_name,
            workload.read_fields,
            self._model.streams,
            settings.sources[self._model.source].time_zone,
        )
        self._n_sharing = n_sharing
        self._spent_elsewhere = spent_elsewhere
        self._buffer: Buffer | None = None
        self._ingestors: list[StreamIngestor] = []
        self._read_requested = True
        self._has_more = False
        self._stopping = threading.Event()
        self._listed: Mapping[str, StreamStatistics] | None = None
        self._judged: tuple[Mapping[str, int], str] | None = None

    @property
    def per_entity(self) -> bool:
        return self._workload.per_entity

    # -- any thread ------------------------------------------------------------------------------

    def is_due(self, now: datetime) -> bool:
        """Whether `read` would do something now."""
        if self._read_requested or self._has_more:
            return True
        return any(ingestor.is_due(now) for ingestor in self._ingestors)

    def request_read(self) -> None:
        """Make the next `read` due at once, without polling a source before its time."""
        self._read_requested = True

    def stop(self) -> None:
        """End the wait for an answer that a call of the reader thread may be in, for good."""
        self._stopping.set()

    # -- the reader thread -------------------------------------------------------------------------

    def read(self, now: datetime, watermarks: Mapping[str, int]) -> ReadResult:
        """Poll every stream that is due, at most a few pages each, and count.

        Raises:
            StorageUnavailable: the buffer cannot be opened or written.
        """
        with self._reopen_after_trouble():
            return self._read(now, watermarks)

    def _read(self, now: datetime, watermarks: Mapping[str, int]) -> ReadResult:
        buffer = self._open_in_place(now)
        self._read_requested = False
        results = [ingestor.poll(now) for ingestor in self._ingestors]
        self._has_more = any(result.has_more for result in results)
        statistics = buffer.statistics()
        self._list_rejected(buffer, statistics, now)
        source = self._model.source
        names = [stream.name for stream in self._workload.streams]
        by_entity = buffer.count_by_entity(watermarks)
        is_usable = any(count.n_usable for count in by_entity.values())
        return ReadResult(
            watermarks=watermarks,
            by_entity=by_entity,
            n_records={name: found.n_records for name, found in statistics.items()},
            is_caught_up=all(ingestor.is_caught_up for ingestor in self._ingestors),
            read_until=self._read_until(),
            health=tuple(ingestor.health for ingestor in self._ingestors),
            state_changes=tuple(
                result.state_change for result in results if result.state_change is not None
            ),
            findings=tuple(
                f"{source}/{name}: {sentence}"
                for name, result in zip(names, results, strict=True)
                for sentence in result.findings
            ),
            billed_today={source: buffer.billed_reads(source, now.astimezone(UTC).date())},
            buffer=_buffer_report(buffer, statistics),
            notification=buffer.take_message(),
            shortage="" if is_usable else self._shortage(buffer, statistics),
        )

    def _list_rejected(
        self, buffer: Buffer, statistics: Mapping[str, StreamStatistics], now: datetime
    ) -> None:
        """Write down which records cannot be used, where that has changed and nothing waits."""
        if statistics is self._listed or self._has_more:
            return
        found = list_rejected(buffer, self._model_name, self._workload.read_fields, now)
        path = rejected_path(self._settings.reports_dir, self._model_name)
        with suppress(StorageUnavailable, OSError):  # written with the next change
            if found.counts or path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_struct(path, found)
            self._listed = statistics

    def _shortage(self, buffer: Buffer, statistics: Mapping[str, StreamStatistics]) -> str:
        """By the newest records, judged again; once for each change of their number."""
        counts = {name: found.n_records for name, found in statistics.items()}
        if self._judged is None or self._judged[0] != counts:
            records = {
                name: [_decode(body) for body in buffer.bodies(name, _MOST_JUDGED)]
                for name, n in counts.items()
                if n
            }
            told = [shortage(self._workload, records)] if records else []
            told += [f"{each.suggestion}." for each in self._ingestors if each.suggestion]
            self._judged = counts, " ".join(told)
        return self._judged[1]

    def snapshot(self, path: Path, now: datetime, entity: str = "") -> SnapshotInfo:
        """Freeze all streams, or one entity's part of them, into a parquet file."""
        names = [stream.name for stream in self._workload.streams]
        with self._reopen_after_trouble():
            return self._open(now).snapshot(path, names, now, entity)

    @property
    def workload(self) -> Workload:
        """The model's own."""
        return self._workload

    def changes(self, now: datetime, after_seq: int, most: int) -> list[Change]:
        """See `Buffer`."""
        with self._reopen_after_trouble():
            return self._open(now).changes(after_seq, most)

    def n_records(self, now: datetime, stream: str) -> int:
        """Records and tombstones."""
        with self._reopen_after_trouble():
            return self._open(now).count(stream)

    def missing(self, now: datetime, stream: str, ids: Sequence[str]) -> list[str]:
        """See `Buffer`."""
        with self._reopen_after_trouble():
            return self._open(now).missing(stream, ids)

    def confirm_deletions(self, now: datetime) -> int:
        """Delete what is withheld; how many records there were.

        Raises:
            StorageUnavailable: the buffer cannot be opened or written.
        """
        with self._reopen_after_trouble():
            self._open_in_place(now)
            return sum(each.confirm_deletions(now) for each in self._ingestors)

    @contextmanager
    def _reopen_after_trouble(self) -> Iterator[None]:
        """A connection that met a full disk may refuse everything from then on; a new one not."""
        try:
            yield
        except StorageUnavailable:
            self.close()
            raise

    def close(self) -> None:
        """Leave no connection and no lock on the buffer behind."""
        for ingestor in self._ingestors:
            ingestor.close()
        self._ingestors = []
        if self._buffer is not None:
            self._buffer.close()
            self._buffer = None

    def _read_until(self) -> datetime | None:
        times = [ingestor.health.last_read_at for ingestor in self._ingestors]
        read = [at for at in times if at is not None]
        lag = timedelta(seconds=self._settings.sources[self._model.source].lag_s)
        return min(read) - lag if read and len(read) == len(times) else None

    def _entity_of(self, stream: str, fields: Mapping[str, Any]) -> str:
        raw = self._workload.entity_of(stream, fields)
        return entity_name(raw) if raw is not None else ""

    def _open_in_place(self, now: datetime) -> Buffer:
        """The buffer, in its place: what somebody removed is read from the source again."""
        if self._buffer is None or self._buffer.is_in_place:
            return self._open(now)
        self.close()
        buffer = self._open(now)
        buffer.add_message(
            f"{buffer.path.name} was removed or exchanged; what is missing is read from the source"
            " again."
        )
        return buffer

    def _open(self, now: datetime) -> Buffer:
        if self._buffer is None:
            path = buffer_path(self._settings.buffer_dir, self._model_name)
            self._buffer = Buffer(path, now)
            self._ingestors = [
                StreamIngestor(
                    stream=stream.name,
                    source_name=self._model.source,
                    settings=self._settings.sources[self._model.source],
                    stream_settings=self._model.stream(stream.name),
                    buffer=self._buffer,
                    reject_reason=partial(self._workload.why_unusable, stream.name),
                    entity_of=partial(self._entity_of, stream.name),
                    is_counted=stream.is_counted,
                    is_required=stream.is_required,
                    n_sharing=self._n_sharing,
                    spent_elsewhere=partial(self._spent_elsewhere, self._model.source),
                    stopping=self._stopping,
                    open_source=partial(open_mapped_source, self._mappings[stream.name]),
                )
                for stream in self._workload.streams
            ]
        return self._buffer


def _buffer_report(buffer: Buffer, statistics: Mapping[str, StreamStatistics]) -> BufferReport:
    oldest = [found.oldest for found in statistics.values() if found.oldest is not None]
    newest = [found.newest for found in statistics.values() if found.newest is not None]
    rejected: Counter[str] = Counter()
    for found in statistics.values():
        rejected.update(found.rejected)
    return BufferReport(
        n_records=sum(found.n_records for found in statistics.values()),
        n_files=1,
        oldest=min(oldest, default=None),
        newest=max(newest, default=None),
        size_bytes=buffer.size_bytes(),
        rejected=dict(rejected),
    )
