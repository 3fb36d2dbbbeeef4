"""Keep requests and latency of each model over the last half hour and the last day.

Beside the counters, which only grow, this file says when they grew. One main process of a host
adds what all its workers counted since the last time; readers see the file whole. Requests that
came while no main process ran are left out, not spread over time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from api_service.metrics.latency import quantile_s, summed
from api_service.metrics.recorder import NO_MODEL, NO_VERSION, Cell, Key
from api_service.metrics.worker_file import file_of_host, read_sum
from api_service.metrics.worker_metrics import filled
from shared.exchange.json_files import write_unsynced

SUFFIX = ".traffic"
FINE_S, FINE_KEPT = 15.0, 120
COARSE_S, COARSE_KEPT = 300.0, 288
_FAILED_FROM = 500


class Span(msgspec.Struct, array_like=True, frozen=True):
    """What one model was asked in some seconds; microseconds of latency, None of no answer.

    n_requests : those that a version answered, and those that failed. Looking after the model
        (its state, its trainings) is none. Latencies : of those that a version answered.
    """

    starts_at_s: float
    lasts_s: float
    n_requests: int
    n_failed: int = 0
    p50_us: int | None = None
    p99_us: int | None = None


class Asked(msgspec.Struct):
    """Counts that are not a span yet."""

    n_requests: int = 0
    n_failed: int = 0
    buckets: dict[int, int] = {}

    def add(self, more: Asked) -> None:
        self.n_requests += more.n_requests
        self.n_failed += more.n_failed
        self.buckets = summed([self.buckets, more.buckets])


class Track(msgspec.Struct):
    """Spans of about one length, oldest first.

    looked : (start, length) in seconds of every span, also those in which nobody asked.
    models : name -> its spans, those without a request left out.
    open, open_since_s : what becomes the next span.
    """

    looked: list[tuple[float, float]] = []
    models: dict[str, list[Span]] = {}
    open: dict[str, Asked] = {}
    open_since_s: float | None = None

    def add(self, asked: Mapping[str, Asked], from_s: float, to_s: float, length_s: float) -> None:
        """Take in what was asked between two moments; a span ends when it is long enough."""
        if self.open_since_s is None:
            self.open_since_s = from_s
        for model, each in asked.items():
            self.open.setdefault(model, Asked()).add(each)
        lasts_s = to_s - self.open_since_s
        if lasts_s < length_s:
            return
        self.looked.append((self.open_since_s, lasts_s))
        for model, each in self.open.items():
            self.models.setdefault(model, []).append(_span(each, self.open_since_s, lasts_s))
        self.open, self.open_since_s = {}, None

    def forget(self, before_s: float, after_s: float, kept: int) -> None:
        """What is older, beyond the kept number, or of a clock that was ahead."""
        self.looked = [
            each for each in self.looked[-kept:] if before_s <= each[0] and sum(each) <= after_s
        ]
        first_s = self.looked[0][0] if self.looked else before_s
        for model, spans in list(self.models.items()):
            left = [each for each in spans if first_s <= each.starts_at_s < after_s]
            if left:
                self.models[model] = left
            else:
                del self.models[model]


class TrafficHistory(msgspec.Struct):
    """The file. sampled_at_s : seconds since 1970, when it was last added to."""

    sampled_at_s: float = 0.0
    fine: Track = msgspec.field(default_factory=Track)
    coarse: Track = msgspec.field(default_factory=Track)

    def models_of_a_day(self) -> list[str]:
        """Models that somebody asked, as far as it is known."""
        return list(self.coarse.models.keys() | self.coarse.open.keys())

    def spans(self, model: str, *, is_fine: bool) -> list[Span]:
        """Every span that was looked at, oldest first; what becomes the next one last."""
        track = self.fine if is_fine else self.coarse
        known = {each.starts_at_s: each for each in track.models.get(model, ())}
        found = [known.get(at_s) or Span(at_s, lasts_s, 0) for at_s, lasts_s in track.looked]
        if track.open_since_s is not None and self.sampled_at_s > track.open_since_s:
            asked, lasts_s = track.open.get(model, Asked()), self.sampled_at_s - track.open_since_s
            found.append(_span(asked, track.open_since_s, lasts_s))
        return found


def read_traffic(directory: Path) -> TrafficHistory:
    """What this host remembers; nothing where there is no file that can be read."""
    try:
        content = file_of_host(directory, SUFFIX).read_bytes()
        return msgspec.msgpack.decode(content, type=TrafficHistory)
    except (OSError, msgspec.DecodeError):
        return TrafficHistory()


class TrafficWriter:
    """Adds to the file. One thread of one main process calls `look`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._before: dict[Key, Cell] | None = None
        self._before_s = 0.0

    def look(self, now_s: float | None = None) -> None:
        """Add what was asked since the last look, when that is long enough ago.

        now_s : seconds since 1970.

        Raises:
            OSError: the disk is full or not writable; the next look adds it.
        """
        now_s = time.time() if now_s is None else now_s
        if self._before is not None and 0 <= now_s - self._before_s < FINE_S:
            return
        cells, past = read_sum(self._directory).cells, read_traffic(self._directory)
        # Another main process may have kept it in between (a restart, a standby): what it has
        # added must not be added again.
        is_ours = self._before is not None and past.sampled_at_s == self._before_s
        if is_ours and self._before is not None and now_s > self._before_s:
            asked = _between(self._before, cells)
            past.fine.add(asked, self._before_s, now_s, FINE_S)
            past.coarse.add(asked, self._before_s, now_s, COARSE_S)
        else:
            for track in (past.fine, past.coarse):
                track.open, track.open_since_s = {}, None
        past.fine.forget(now_s - 2 * FINE_S * FINE_KEPT, now_s, FINE_KEPT)
        past.coarse.forget(now_s - 2 * COARSE_S * COARSE_KEPT, now_s, COARSE_KEPT)
        past.sampled_at_s = now_s
        write_unsynced(file_of_host(self._directory, SUFFIX), msgspec.msgpack.encode(past))
        self._before, self._before_s = cells, now_s


def _between(before: Mapping[Key, Cell], cells: Mapping[Key, Cell]) -> dict[str, Asked]:
    """Model -> what was asked of it between two sums."""
    found: dict[str, Asked] = {}
    for key, cell in cells.items():
        model, version, _, status = key
        old = before.get(key)
        is_answered, is_failed = version != NO_VERSION, status >= _FAILED_FROM
        if model == NO_MODEL or not (is_answered or is_failed) or old == cell:
            continue
        # Below zero where a version that answers no more was forgotten by one worker.
        grown = [max(a - b, 0.0) for a, b in zip(cell, old, strict=True)] if old else cell
        buckets = filled(grown)
        n = sum(buckets.values())
        if n:
            asked = Asked(n, n if is_failed else 0, buckets if is_answered else {})
            found.setdefault(model, Asked()).add(asked)
    return found


def _span(asked: Asked, starts_at_s: float, lasts_s: float) -> Span:
    p50_s, p99_s = (quantile_s(share, [asked.buckets]) for share in (0.5, 0.99))
    return Span(
        starts_at_s,
        lasts_s,
        asked.n_requests,
        asked.n_failed,
        None if p50_s is None else round(1e6 * p50_s),
        None if p99_s is None else round(1e6 * p99_s),
    )
