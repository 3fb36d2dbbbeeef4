"""Read a whole stream of samples into columns: many rows with the same names at once.

As `records` reads each row, only faster; a row that is unusual in any way is read there. Knows no
feature and no model.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.records import Table
from shared.workloads.server_metrics.features import Floats
from shared.workloads.server_metrics.records import (
    Plan,
    SampleReader,
    highest_percentage,
    server_of,
)

IN_THE_FUTURE = "dated in the future"
CLOCK_SLACK = timedelta(minutes=5)

_AT_ONCE = 5_000
_PLAIN = {int, float, type(None)}
_NUMBERS = {int, float}
_TEXT = {str}
_EARLIEST_S = datetime(1990, 1, 2, tzinfo=UTC).timestamp()
_LATEST_S = datetime(2100, 1, 1, tzinfo=UTC).timestamp()

_decode = msgspec.json.Decoder(list[dict[str, Any]]).decode


@dataclass(frozen=True, slots=True, eq=False)
class SampleColumns:
    """Samples of a fleet, by server and oldest first; of equal times in the order of the table.

    servers : names, sorted. ends : (n_servers,) where the rows of each end.
    times : (n,) epoch seconds. values : (n, n_metrics), NaN where there is none.
    """

    servers: tuple[str, ...]
    ends: NDArray[np.int64]
    times: Floats
    values: Floats

    def by_server(self) -> Iterator[tuple[str, Floats, Floats]]:
        """(server, times, values) of each; views."""
        begin = 0
        for server, end in zip(self.servers, self.ends.tolist(), strict=True):
            yield server, self.times[begin:end], self.values[begin:end]
            begin = end


def read_columns(table: Table, reader: SampleReader, rejected: Counter[str]) -> SampleColumns:
    """Every usable sample; the others are counted under their reasons.

    A sample without a time of its own is of the moment when its record was written. A metric that
    is no percentage is left out of its sample and counted.
    """
    chunks = _Chunks(reader, rejected)
    bodies, written_us = iter(table.bodies), iter(table.updated_at_us)
    was_collecting = gc.isenabled()
    gc.disable()  # decoded rows hold no cycles, and looking for some takes a third of the time
    try:
        while piece := list(islice(bodies, _AT_ONCE)):
            written = np.array(list(islice(written_us, len(piece))), dtype=np.float64) / 1e6
            chunks.add(_decode(b"[" + b",".join(piece) + b"]"), written)
    finally:
        if was_collecting:
            gc.enable()
    return chunks.sorted()


class _Chunks:
    """Columns as they are read, piece by piece, with a number for each server."""

    def __init__(self, reader: SampleReader, rejected: Counter[str]) -> None:
        self._reader, self._rejected = reader, rejected
        self._codes: dict[str, int] = {}
        self._raw_codes: dict[object, int] = {}
        self._parts: list[tuple[NDArray[np.int32], Floats, Floats]] = []

    def add(self, rows: Sequence[Mapping[str, Any]], written_s: Floats) -> None:
        all_names = list(map(tuple, rows))
        groups: dict[tuple[str, ...], Sequence[int]] = {all_names[0]: range(len(rows))}
        if len(set(all_names)) > 1:
            by_names: dict[tuple[str, ...], list[int]] = {}
            for i, names in enumerate(all_names):
                by_names.setdefault(names, []).append(i)
            groups = {**by_names}
        n, n_metrics = len(rows), len(self._reader.metrics)
        codes = np.full(n, -1, dtype=np.int32)
        times, values = written_s.copy(), np.full((n, n_metrics), np.nan)
        for names, chosen in groups.items():
            plan = self._reader.plan(names)
            its_rows = [rows[i] for i in chosen] if len(chosen) < n else rows
            read = self._read_alike(plan, its_rows)
            at = np.array(chosen) if len(chosen) < n else slice(None)
            if read is None:
                self._read_each(rows, chosen, codes, times, values)
                continue
            is_odd, its_codes, its_times, its_values = read
            codes[at] = its_codes
            if its_times is not None:
                times[at] = its_times
            values[at] = its_values
            if is_odd.any():
                odd = [chosen[i] for i in np.flatnonzero(is_odd).tolist()]
                codes[odd] = -1
                self._read_each(rows, odd, codes, times, values)
        is_late = (codes >= 0) & (times > written_s + CLOCK_SLACK.total_seconds())
        if is_late.any():
            self._rejected[IN_THE_FUTURE] += int(is_late.sum())
            codes[is_late] = -1
        kept = codes >= 0
        if kept.all():
            self._parts.append((codes, times, values))
        else:
            self._parts.append((codes[kept], times[kept], values[kept]))

    def _read_alike(
        self, plan: Plan, rows: Sequence[Mapping[str, Any]]
    ) -> tuple[NDArray[np.bool_], NDArray[np.int32], Floats | None, Floats] | None:
        """(is unusual, server, time or None for none, values) of rows with the same names; None
        where they are better read one by one."""
        if not plan.server or plan.long_form is not None:
            return None
        its_codes = self._codes_of([row[plan.server[0]] for row in rows])
        is_odd = its_codes < 0
        times = None
        if plan.time:
            times = _seconds([row[plan.time[0]] for row in rows])
            if times is None:
                return None
            is_odd |= np.isnan(times)
        values = np.full((len(rows), len(self._reader.metrics)), np.nan)
        for position, names in enumerate(plan.metrics):
            is_in_parts = plan.shares[position][0] or plan.busy[0]
            can_stand_elsewhere = bool(plan.nested or len(names) > 1 or is_in_parts)
            if names:
                column = [row[names[0]] for row in rows]
                if not set(map(type, column)) <= _PLAIN:
                    return None
                try:
                    numbers = np.array(column, dtype=np.float64)
                except OverflowError:
                    return None
                values[:, position] = np.where(np.isfinite(numbers), numbers, np.nan)
            if can_stand_elsewhere:
                is_odd |= np.isnan(values[:, position])
        for position, metric in enumerate(self._reader.metrics):
            if metric in self._reader.percentages:
                is_odd |= ~self._possible(metric, values[:, position])
        is_odd |= np.isnan(values).all(axis=1)
        return is_odd, its_codes, times, values

    def _possible(self, metric: str, numbers: Floats) -> NDArray[np.bool_]:
        with np.errstate(invalid="ignore"):
            return ~((numbers < 0) | (numbers > highest_percentage(metric)))

    def _read_each(
        self,
        rows: Sequence[Mapping[str, Any]],
        chosen: Sequence[int],
        codes: NDArray[np.int32],
        times: Floats,
        values: Floats,
    ) -> None:
        for i in chosen:
            sample = self._reader.read(rows[i])
            if isinstance(sample, str):
                self._rejected[sample] += 1
                continue
            for metric in sample.impossible:
                self._rejected[f"{metric} is no percentage"] += 1
            codes[i] = self._code(sample.server)
            if sample.at is not None:
                times[i] = sample.at.timestamp()
            found = sample.values
            values[i] = [found.get(metric, np.nan) for metric in self._reader.metrics]

    def _codes_of(self, column: Sequence[object]) -> NDArray[np.int32]:
        """The number of each server; -1 where there is no name that can be read at once."""
        known = self._raw_codes
        if not set(map(type, column)) <= {str, int}:
            return np.full(len(column), -1, dtype=np.int32)
        for raw in set(column) - known.keys():
            server = server_of(raw)
            known[raw] = -1 if server is None else self._code(server)
        return np.array([known[raw] for raw in column], dtype=np.int32)

    def _code(self, server: str) -> int:
        return self._codes.setdefault(server, len(self._codes))

    def sorted(self) -> SampleColumns:
        """All parts as one; each is let go of as soon as it is copied, since they are large."""
        names = sorted(self._codes)
        place = np.empty(len(names), dtype=np.int32)
        place[[self._codes[name] for name in names]] = np.arange(len(names), dtype=np.int32)
        parts, self._parts = self._parts, []
        n = sum(len(part[0]) for part in parts)
        servers = np.empty(n, dtype=np.int32)
        unordered = np.empty(n)
        at = 0
        for codes, times, _ in parts:
            servers[at : at + len(codes)] = place[codes]
            unordered[at : at + len(codes)] = times
            at += len(codes)
        order = np.lexsort((unordered, servers))
        rank = np.empty(n, dtype=np.int64)
        rank[order] = np.arange(n)
        ends = np.cumsum(np.bincount(servers, minlength=len(names)))
        ordered = unordered[order]
        del order, servers, unordered
        values = np.empty((n, len(self._reader.metrics)))
        at = 0
        parts.reverse()
        while parts:
            part = parts.pop()[2]
            values[rank[at : at + len(part)]] = part
            at += len(part)
        return _without_empty(SampleColumns(tuple(names), ends, ordered, values))


def _without_empty(columns: SampleColumns) -> SampleColumns:
    """Without servers all of whose samples were left out."""
    sizes = np.diff(columns.ends, prepend=0)
    kept = np.flatnonzero(sizes)
    names = tuple(columns.servers[i] for i in kept)
    return SampleColumns(names, columns.ends[kept], columns.times, columns.values)


def _seconds(column: Sequence[Any]) -> Floats | None:
    """Epoch seconds; NaN for what is better read one by one, None where nearly all is."""
    types = set(map(type, column))
    if types <= _TEXT:
        # Servers of a fleet send at the same moments: each text is read once.
        known: dict[str, float] = {}
        try:
            for text in set(column):
                moment = datetime.fromisoformat(text)
                known[text] = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except ValueError:
            return None
        seconds = np.array([known[text] for text in column])
    elif types <= _NUMBERS:
        numbers = np.array(column, dtype=np.float64)
        units = np.select([numbers < 1e11, numbers < 1e14, numbers < 1e17], [1.0, 1e3, 1e6], 1e9)
        seconds = numbers / units
    else:
        return None
    with np.errstate(invalid="ignore"):
        seconds[~((seconds >= _EARLIEST_S) & (seconds < _LATEST_S))] = np.nan
    return seconds
