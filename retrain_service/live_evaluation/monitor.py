"""Look now and then at what was answered and at what has come, by a bounded step each time.

Runs on the model's reader thread, which alone may use the buffer. Decides nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog

from retrain_service.buffer.store import Change, buffer_path
from retrain_service.live_evaluation.live_scores import live_versions
from retrain_service.live_evaluation.truth_join import TruthJoin
from shared.exchange.retrain_report import LiveVersion
from shared.prediction_log.frames import LoggedAnswer
from shared.prediction_log.reader import read_from
from shared.prediction_log.segments import segments
from shared.records import to_epoch_us
from shared.settings.root import Settings
from shared.versions.model_names import split_name
from shared.workloads.contract import Workload

log = structlog.get_logger()

PERIOD_S = 5.0
_BUFFER = "buffer"
_MOST_CHANGES = 5_000
_MOST_BYTES = 4_000_000
_CHECK_PERIOD = timedelta(hours=1)
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Records(Protocol):
    """What is asked of the buffer; only the reader thread calls it."""

    @property
    def workload(self) -> Workload: ...
    def changes(self, now: datetime, after_seq: int, most: int) -> list[Change]: ...
    def n_records(self, now: datetime, stream: str) -> int: ...
    def missing(self, now: datetime, stream: str, ids: Sequence[str]) -> list[str]: ...


class LiveMonitor:
    """One configured model's live errors. `is_due` may be called by any thread."""

    def __init__(self, name: str, settings: Settings, records: Records) -> None:
        self._name = name
        self._settings = settings
        self._records = records
        path = buffer_path(settings.live_dir, name)
        self._path: Path = path.with_suffix(".sqlite")
        self._join: TruthJoin | None = None
        self._next_s = 0.0
        self._checked_at: datetime | None = None
        self._counts: dict[str, int] = {}

    def is_due(self) -> bool:
        """Whether a step would do something now."""
        return (
            self._records.workload.judges_answers()
            and time.monotonic() >= self._next_s
            and self._settings.prediction_log_dir.is_dir()
        )

    def step(self, now: datetime) -> Mapping[str, list[LiveVersion]]:
        """Take in what is new, and say how every version does; model with its entity -> versions.

        Raises:
            StorageUnavailable: nothing was taken in; the next step does.
        """
        self._next_s = time.monotonic() + PERIOD_S
        if self._join is None:
            self._join = TruthJoin(self._path)
        join, now_us = self._join, to_epoch_us(now)
        counts: dict[str, int] = {}
        with join.transaction():
            # Answers first: a record must find what was expected of it.
            has_more = self._take_answers(join)
            if not has_more:
                has_more = self._take_changes(join, now)
                counts = self._take_removals(join, now)
            keep = timedelta(days=self._settings.prediction_log.keep_days)
            join.forget(to_epoch_us(now - keep), now_us)
            join.forget_outcomes(join.oldest_needed_us(now_us))
        if counts:  # only now that what they led to is written
            self._counts = counts
            if self._is_check_due(now):
                self._checked_at = now
        if has_more:
            self._next_s = 0.0
        has_units = self._records.workload.slices_have_units
        return {
            model: live_versions(judged, has_units) for model, judged in join.judged(now_us).items()
        }

    def close(self) -> None:
        if self._join is not None:
            self._join.close()
            self._join = None

    def _take_answers(self, join: TruthJoin) -> bool:
        """Read on in each segment; True when there is more than one step may read."""
        positions, n_bytes = dict(join.positions()), 0
        for segment in segments(self._settings.prediction_log_dir):
            name = segment.path.name
            before = positions.pop(name, 0)
            if n_bytes > _MOST_BYTES or segment.size <= before:
                if segment.size > before:
                    return True
                continue
            try:
                answers, after = read_from(segment.path, before, _MOST_BYTES)
            except OSError:  # pruned meanwhile
                continue
            for logged in answers:
                if split_name(logged.model)[0] == self._name:
                    self._expect(join, logged)
            n_bytes += after - before
            if after != before:
                join.set_position(name, after)
        for name in positions.keys() - {_BUFFER}:
            join.forget_position(name)
        return n_bytes > _MOST_BYTES

    def _expect(self, join: TruthJoin, logged: LoggedAnswer) -> None:
        try:
            expected = self._records.workload.expectations(
                logged.question,
                _decode(logged.request),
                _decode(logged.answer),
                logged.at_us,
            )
        except Exception:
            log.exception("answer_not_understood", model=logged.model, version=logged.version)
            return
        join.expect(logged.model, logged.version, logged.at_us, expected)

    def _take_changes(self, join: TruthJoin, now: datetime) -> bool:
        """Records in the order in which they reached the buffer."""
        after = join.positions().get(_BUFFER, 0)
        changes = self._records.changes(now, after, _MOST_CHANGES)
        oldest_us = join.oldest_needed_us(to_epoch_us(now))
        for change in changes:
            said = []
            if not change.is_deleted:
                try:
                    said = [
                        one
                        for one in self._records.workload.outcomes(
                            change.stream, _decode(change.body), change.updated_us
                        )
                        if one.at_us >= oldest_us
                    ]
                except Exception:
                    log.exception("record_not_understood", model=self._name, id=change.id)
            join.replace(change.stream, change.id, change.updated_us, said)
        if changes:
            join.set_position(_BUFFER, changes[-1].seq)
        return len(changes) == _MOST_CHANGES

    def _is_check_due(self, now: datetime) -> bool:
        at = self._checked_at
        return at is None or not timedelta(0) <= now - at < _CHECK_PERIOD

    def _take_removals(self, join: TruthJoin, now: datetime) -> dict[str, int]:
        """Records that left the buffer without a word: not those that retention took.

        Returns:
            Stream -> the records that it holds now.
        """
        records, is_time = self._records, self._is_check_due(now)
        counts: dict[str, int] = {}
        model = self._settings.models[self._name]
        for spec in records.workload.streams:
            n = records.n_records(now, spec.name)
            if is_time or n < self._counts.get(spec.name, 0):
                days = model.stream(spec.name).retention_days
                from_us = to_epoch_us(now - timedelta(days=days)) if days else -(2**62)
                known = join.records(spec.name, from_us)
                for record in records.missing(now, spec.name, known):
                    join.replace(spec.name, record, 0, ())
            counts[spec.name] = n
        return counts
