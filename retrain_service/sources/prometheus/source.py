"""A Prometheus server as a source: one record for each server and step, by range queries.

**Records.** Each expression gives one field of them; a series' label says which server it is. Steps
are whole multiples of the step since the epoch, so that the same question has the same answer. A
server without a value at a step (down, or not scraped) has no record there; between two scrapes the
newest value counts, as Prometheus itself sees it, until it is stale.

**Time** is the server's, less the lag. **Deletes**: samples are not deleted; what the server's
retention drops stays in the buffer, and its own `retention_days` forgets it.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from hashlib import blake2b
from typing import Any

import msgspec

from retrain_service.sources.base import DayCounts, IdSet, Inspection, Source
from retrain_service.sources.json_values import to_rfc3339
from retrain_service.sources.prometheus.client import PrometheusClient, TooMuch
from retrain_service.sources.prometheus.samples import NODE_EXPORTER, Samples
from shared.errors import SourceMisconfigured
from shared.records import Batch, Cursor, Record, composite_id, from_epoch_us, to_epoch_us
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings

_ROWS_A_WINDOW = 20_000
_FIRST_STEPS, _FEWEST_STEPS, _MOST_STEPS = 60, 2, 10_000  # a server answers 11,000 at most
_DAY_US = 86_400_000_000


class PrometheusSource(Source):
    """Cursor: {"at_us", "id"}, the last record that was told; {"at_us"}: from that time on."""

    def __init__(
        self, settings: SourceSettings, stream: StreamSettings, clock: Callable[[], datetime]
    ) -> None:
        """Nothing connects before the first read.

        Raises:
            SourceMisconfigured: unusable address, or no key where one is named.
        """
        self._client = PrometheusClient(settings, stream.collection)
        self._stream = stream
        self._queries: Mapping[str, str] = stream.queries or NODE_EXPORTER
        self._label = settings.server_label
        self._step_us = round(settings.step.total_seconds() * 1_000_000)
        self._lag_us = round(settings.lag_s * 1_000_000)
        self._history_us = settings.history_days * _DAY_US
        self._budget_s = settings.timeout_s / 2
        self._n_steps = _FIRST_STEPS
        self._window: tuple[int, int, list[Record]] | None = None

    @property
    def origin(self) -> str:
        asked = {"queries": dict(self._queries), "label": self._label, "step_us": self._step_us}
        digest = blake2b(msgspec.json.encode(asked, order="sorted"), digest_size=6).hexdigest()
        return f"prometheus:{self._client.sink}/{self._stream.collection}({digest})"

    def close(self) -> None:
        self._client.close()
        self._window = None

    # -- reading ---------------------------------------------------------------------------------

    def read_after(self, cursor: Cursor, limit: int) -> Batch:
        deadline_s = time.monotonic() + self._budget_s
        now_us = self._now_us()
        newest_us = self._floor(now_us - self._lag_us)
        begin_us = now_us - self._history_us if cursor is None else cursor["at_us"]
        begin_us = -self._floor(-begin_us)  # up to the next step
        after = (begin_us, cursor["id"]) if cursor and "id" in cursor else (begin_us - 1, "")
        records: list[Record] = []
        while begin_us <= newest_us and len(records) < limit:
            end_us, found = self._rows_from(begin_us, newest_us)
            first = bisect_right(found, after, key=_place)
            records += found[first : first + limit - len(records)]
            begin_us = end_us + self._step_us
            if time.monotonic() > deadline_s:
                break
        is_last = len(records) < limit and begin_us > newest_us
        if records:
            at_us, id_ = _place(records[-1])
            return Batch(tuple(records), {"at_us": at_us, "id": id_}, is_last=is_last)
        return Batch((), cursor if is_last else {"at_us": begin_us}, is_last=is_last)

    def cursor_at(self, at: datetime) -> Cursor:
        return {"at_us": to_epoch_us(at)}

    def count_by_day(self, days: Sequence[date]) -> DayCounts:
        return DayCounts({day: sum(1 for _ in self._rows_on(day)) for day in days})

    def ids_of_day(self, day: date) -> IdSet:
        return IdSet(frozenset(record.id for record in self._rows_on(day)))

    def missing(self, ids: Collection[str]) -> IdSet:
        self._client.server_time_s()  # whoever asks wants to hear of an outage
        return IdSet(frozenset())

    def inspect(self, n_sample: int = 0) -> Inspection:
        deadline_s = time.monotonic() + self._budget_s
        now_us = self._now_us()
        oldest_us, end_us = now_us - self._history_us, self._floor(now_us - self._lag_us)
        sample: list[Record] = []
        n_steps = _FIRST_STEPS
        latest_us = end_us
        while n_sample and not sample and end_us > oldest_us and time.monotonic() < deadline_s:
            begin_us = max(end_us - (n_steps - 1) * self._step_us, self._floor(oldest_us))
            sample = self._ask(begin_us, end_us)[::-1][:n_sample]
            end_us, n_steps = begin_us - self._step_us, min(2 * n_steps, _MOST_STEPS)
        n_records = self._count(latest_us) if n_sample else 0
        newest = sample[0].updated_at if sample else None
        return Inspection(max(n_records, len(sample)), 0, newest, tuple(sample), is_exact=False)

    # -- windows ---------------------------------------------------------------------------------

    def _rows_from(self, begin_us: int, newest_us: int) -> tuple[int, list[Record]]:
        """The records of a window that holds `begin_us`, and its end; the last window is kept."""
        if self._window is not None:
            first_us, end_us, records = self._window
            if first_us <= begin_us <= end_us:
                return end_us, records
        while True:
            end_us = min(newest_us, begin_us + (self._n_steps - 1) * self._step_us)
            try:
                records = self._ask(begin_us, end_us)
            except TooMuch as error:
                if self._n_steps <= _FEWEST_STEPS:
                    raise SourceMisconfigured(str(error)) from error
                self._n_steps = max(_FEWEST_STEPS, self._n_steps // 4)
                continue
            self._window = (begin_us, end_us, records)
            n_asked = (end_us - begin_us) // self._step_us + 1
            if n_asked == self._n_steps:  # as many as it takes to fill a window
                a_step = max(1, len(records) // n_asked)
                self._n_steps = min(4 * self._n_steps, _ROWS_A_WINDOW // a_step, _MOST_STEPS)
                self._n_steps = max(self._n_steps, _FEWEST_STEPS)
            return end_us, records

    def _rows_on(self, day: date) -> Iterator[Record]:
        begin = to_epoch_us(datetime(day.year, day.month, day.day, tzinfo=UTC))
        begin_us = -self._floor(-begin)
        last_us = min(self._floor(begin + _DAY_US - 1), self._floor(self._now_us() - self._lag_us))
        while begin_us <= last_us:
            self._window = None
            end_us, records = self._rows_from(begin_us, last_us)
            yield from records
            begin_us = end_us + self._step_us
        self._window = None

    def _ask(self, begin_us: int, end_us: int) -> list[Record]:
        samples = Samples(self._label, self._step_us)
        for name, expression in self._queries.items():
            for labels, values in self._client.range(
                name, expression, begin_us / 1e6, end_us / 1e6, self._step_us / 1e6
            ):
                samples.add(name, labels, values)
        return [self._record(*row) for row in samples.ordered()]

    def _count(self, newest_us: int) -> int:
        """Records in all of the history; those of the field that has the most."""
        span_s, step_s = self._history_us // 1_000_000, self._step_us / 1e6
        counts: list[float] = []
        for name, expression in self._queries.items():
            counted = f"sum(count_over_time(({expression})[{span_s}s:{step_s * 1000:.0f}ms]))"
            try:
                counts.append(self._client.number(name, counted, newest_us / 1e6))
            except TooMuch:
                return 0  # too many to be counted: the sample says enough
        return round(max(counts))

    def _record(self, at_us: int, server: str, row: Mapping[str, Any]) -> Record:
        at = from_epoch_us(at_us)
        text = to_rfc3339(at)
        return Record(
            composite_id([server, text]), at, {"server": server, "timestamp": text, **row}
        )

    def _floor(self, at_us: int) -> int:
        return at_us // self._step_us * self._step_us

    def _now_us(self) -> int:
        return round(self._client.server_time_s() * 1_000_000)


def _place(record: Record) -> tuple[int, str]:
    return to_epoch_us(record.updated_at), record.id
