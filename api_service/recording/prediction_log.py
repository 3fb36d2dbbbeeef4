"""Take a sample of answered predictions and write it on a thread of its own.

A request only notes what it has already in its hands; encoding, masking and the disk are the
thread's. When the disk is full or the thread is behind, answers are not logged, and counted as
such. Knows no route.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import structlog

from api_service.config.prediction_log import PredictionLogConfig
from shared.daemon.background import BackgroundThread, run_in_background
from shared.errors import KeyUnusable
from shared.prediction_log.frames import LoggedAnswer
from shared.prediction_log.masking import Masking
from shared.prediction_log.writer import SegmentWriter
from shared.records import to_epoch_us

if TYPE_CHECKING:
    from shared.loading.open_version import LoadedModel

log = structlog.get_logger()

PERIOD_S = 0.5
_BURST_S = 1.0
_MOST_WAITING = 1_000
_LARGEST_BYTES = 1_000_000
_BYTES_OF_ONE = 4_096
"""A larger answer, its request included, counts as several: the disk is bounded as well."""

WRITTEN, DROPPED, TOO_LARGE = "written", "dropped", "too_large"

Pair = tuple[object, object]
"""A request and its answer: JSON as bytes, or what becomes JSON."""

_encode = msgspec.json.Encoder(enc_hook=np.ndarray.tolist).encode


class _Noted(NamedTuple):
    at: datetime
    model: str
    version: str
    generation: int
    question: str
    latency_s: float
    pairs: Callable[[], Iterable[Pair]]


class PredictionLog:
    """One worker's sample. Any thread may call `is_due` and `note`.

    Args:
        secret: what hashed columns are hashed with; may raise KeyUnusable.
    """

    def __init__(
        self,
        config: PredictionLogConfig | None = None,
        secret: Callable[[], bytes] | None = None,
    ) -> None:
        self._config = config or PredictionLogConfig()
        self._secret = secret
        self._is_on = self._config.directory is not None
        self._interval_s = 1 / self._config.per_second if self._config.per_second else 0.0
        self._due_s: dict[str, float] = {}
        self._waiting: deque[_Noted] = deque()
        self._writing = threading.Lock()
        self._writer: SegmentWriter | None = None
        self.counts: dict[str, int] = {}
        """Outcome -> answers, since the worker started: written, dropped, too_large."""
        self.error: str | None = None
        """Why the last ones were not written; None when they were."""

    def is_due(self, model: str) -> bool:
        """Whether the answer that was just given is one of the sample; at most the rate says so."""
        if not self._is_on:
            return False
        now_s = time.monotonic()
        # The models of entities share the rate of their model.
        name = model.partition("/")[0]
        due_s = self._due_s.get(name, 0.0)
        if now_s < due_s:
            return False
        self._due_s[name] = max(due_s, now_s - _BURST_S) + self._interval_s
        return True

    def note(
        self,
        live: LoadedModel,
        question: str,
        at: datetime,
        latency_s: float,
        pairs: Callable[[], Iterable[Pair]],
        n_bytes: int = 0,
    ) -> None:
        """Leave an answer that is due to the thread.

        pairs : called later, by that thread; what it holds must not change any more.
        n_bytes : of request and answer, where that is known already.
        """
        if len(self._waiting) >= _MOST_WAITING:
            self._count(DROPPED, 1)
        elif n_bytes > _LARGEST_BYTES:
            self._count(TOO_LARGE, 1)
        else:
            self._charge(live.manifest.model, n_bytes)
            self._waiting.append(
                _Noted(
                    at,
                    live.manifest.model,
                    live.version,
                    live.generation,
                    question,
                    latency_s,
                    pairs,
                )
            )

    def start(self, stop: threading.Event) -> BackgroundThread | None:
        """Write about twice a second until `stop` is set; None where nothing is logged."""
        if not self._is_on:
            return None

        def step() -> None:
            self.flush()
            stop.wait(PERIOD_S)

        return run_in_background("prediction-log", step, stop)

    def end(self) -> None:
        """Write what is left: this worker ends as it was asked to."""
        self.flush()
        with self._writing:
            if self._writer is not None:
                self._writer.close()

    def flush(self) -> None:
        """Write what was noted. A full disk is told once, and stops nothing but the log."""
        with self._writing:
            n_waiting = len(self._waiting)
            noted = [self._waiting.popleft() for _ in range(n_waiting)]
            if self._config.directory is None or (not noted and self._writer is None):
                return
            if self._writer is None:
                self._open()
            assert self._writer is not None
            answers: list[LoggedAnswer] = []
            for one in noted:
                try:
                    answers += self._logged(one)
                except Exception:
                    self._count(DROPPED, 1)
                    log.exception("prediction_not_logged", model=one.model)
            try:
                self._writer.append(answers)
                self._writer.roll()
            except OSError as error:
                self._count(DROPPED, len(answers))
                if str(error) != self.error:
                    log.warning("predictions_not_logged", reason=str(error))
                self.error = str(error)
                return
            if answers:
                self._count(WRITTEN, len(answers))
                self.error = None

    def _open(self) -> None:
        config = self._config
        assert config.directory is not None
        secret = None
        if config.hashed and self._secret is not None:
            try:
                secret = self._secret()
            except KeyUnusable as error:
                # Safe, and said: what cannot be hashed is left out.
                log.warning("prediction_log_hashes_nothing", reason=str(error))
        self._masking = Masking(config.left_out, config.hashed, secret)
        self._writer = SegmentWriter(config.directory, config.keep_days, config.max_bytes)

    def _logged(self, noted: _Noted) -> Iterable[LoggedAnswer]:
        for request, answer in noted.pairs():
            asked, answered = self._json(request), self._json(answer)
            n_bytes = len(asked) + len(answered)
            if n_bytes > _LARGEST_BYTES:
                self._count(TOO_LARGE, 1)
                self._charge(noted.model, n_bytes)
                continue
            if not isinstance(request, bytes):
                self._charge(noted.model, n_bytes)
            yield LoggedAnswer(
                to_epoch_us(noted.at),
                noted.model,
                noted.version,
                noted.generation,
                noted.question,
                asked,
                answered,
                noted.latency_s,
            )

    def _json(self, value: Any) -> bytes:
        content = value if isinstance(value, bytes) else _encode(value)
        return self._masking.of_json(content)

    def _charge(self, model: str, n_bytes: int) -> None:
        """Let a large answer use up the turns of those after it."""
        n_more = n_bytes // _BYTES_OF_ONE
        if n_more:
            name = model.partition("/")[0]
            self._due_s[name] = self._due_s.get(name, 0.0) + n_more * self._interval_s

    def _count(self, outcome: str, n: int) -> None:
        self.counts[outcome] = self.counts.get(outcome, 0) + n
