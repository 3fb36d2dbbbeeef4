"""Follow the run log and write every ended run to a sink, such as MLflow or MongoDB.

It has its own thread and its own connection: an outage of the sink delays the export and never the
loop, and no run that the log still holds is lost. A checkpoint file says how far it got, so that a
restart continues there. Knows no particular sink.
"""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from retrain_service.backoff import pause_s
from shared.atomic_file import write_atomic
from shared.daemon.background import run_in_background
from shared.errors import HotfitError, NotFound
from shared.run_log.reader import reading
from shared.run_log.run import Run

log = structlog.get_logger()

PERIOD_S = 2.0
LONGEST_PAUSE_S = 300.0
CLOSE_TIMEOUT_S = 5.0
_PAGE = 100


class RunSink(Protocol):
    """Where runs are brought to. Only the exporter's thread calls it."""

    @property
    def name(self) -> str:
        """One word for the log."""

    @property
    def address(self) -> str:
        """Which place it is, without any password: another one gets all runs anew."""

    def write(self, run: Run) -> None:
        """Write an ended run down there. Must be the same when it is done twice.

        Raises:
            HotfitError: not now; the run is brought again later.
        """

    def close(self) -> None:
        """Leave no connection behind."""


class _Checkpoint(msgspec.Struct, frozen=True):
    """Runs that ended before `at` are there, and of those that ended at it, `run_ids`."""

    address: str
    at: datetime
    run_ids: list[str]


class RunExporter:
    """One thread; `close` ends it."""

    def __init__(
        self,
        sink: RunSink,
        checkpoint_path: Path,
        run_log_path: Path,
        *,
        period_s: float = PERIOD_S,
    ) -> None:
        self._sink = sink
        self._checkpoint_path = checkpoint_path
        self._run_log_path = run_log_path
        self._period_s = period_s
        self._closing = threading.Event()
        self._trouble: str | None = None
        self._ended = threading.Event()
        self._n_failures = 0
        self._thread = run_in_background(sink.name, self._turn, self._ended)

    def close(self) -> None:
        """End the thread; it has a few seconds to bring over what has just ended."""
        self._closing.set()
        self._thread.join(CLOSE_TIMEOUT_S)

    def _turn(self) -> None:
        is_last = self._closing.is_set()
        wait_s = self._period_s
        try:
            self.export_runs()
        except HotfitError as error:
            self._n_failures += 1
            wait_s = pause_s(self._n_failures, 2 * self._period_s, LONGEST_PAUSE_S)
            self._log_once(str(error))
        else:
            self._n_failures, self._trouble = 0, None
        finally:
            if is_last:
                self._ended.set()
                self._sink.close()
        self._closing.wait(wait_s)

    def _log_once(self, sentence: str) -> None:
        if sentence != self._trouble:
            self._trouble = sentence
            log.warning(
                "run_export_failed",
                sink=self._sink.name,
                sentence=f"{sentence} Runs are exported when it answers again.",
            )

    def export_runs(self) -> int:
        """Bring every ended run over that is not there yet; how many.

        Raises:
            HotfitError: the place or the run log is away; what is left comes next time.
        """
        checkpoint, n = self._read_checkpoint(), 0
        while True:
            known = checkpoint.run_ids if checkpoint is not None else []
            try:
                with reading(self._run_log_path) as run_log:
                    after = checkpoint.at if checkpoint is not None else None
                    ended = run_log.ended_since(after, _PAGE + len(known))
            except NotFound:
                return n
            new = [run for run in ended if run.run_id not in known]
            if not new:
                return n
            for run in new:
                self._sink.write(run)
                checkpoint = self._advance(checkpoint, run)
                n += 1

    def _read_checkpoint(self) -> _Checkpoint | None:
        try:
            checkpoint = msgspec.json.decode(self._checkpoint_path.read_bytes(), type=_Checkpoint)
        except (OSError, msgspec.DecodeError):
            return None  # then everything is brought once more, which changes nothing
        return checkpoint if checkpoint.address == self._sink.address else None

    def _advance(self, checkpoint: _Checkpoint | None, run: Run) -> _Checkpoint:
        at = run.finished_at or run.requested_at
        others = checkpoint.run_ids if checkpoint is not None and checkpoint.at == at else []
        new = _Checkpoint(self._sink.address, at, [*others, run.run_id])
        write_atomic(self._checkpoint_path, msgspec.json.encode(new))
        return new
