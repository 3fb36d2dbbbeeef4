"""Share between workers and the main process when each worker last answered, and that it ends.

A worker writes three numbers, the main process reads and judges them and writes a fourth: no disk
and no socket is involved. Knows no request, no model and no report.
"""

from __future__ import annotations

import time
from multiprocessing import get_context
from typing import Any

import psutil

COLD_START_S = 300.0
"""A new worker may take so long between two steps of opening its models."""

STOPPED_S = 3.0
"""A worker whose process is stopped is replaced after so long without an answer."""

LOOP_LIMIT_S = 30.0
"""The main process looks after its workers each second; beyond this it is stuck itself."""

_PROGRESS, _ANSWERED, _IS_UNHEALTHY, _IS_ENDING = range(4)
_N_NUMBERS = 4


class WorkerLiveness:
    """The numbers of one worker; times on the monotonic clock, which all processes share.

    Made by the main process, handed to the worker. Each number is an aligned 8-byte word, which
    is written and read whole.
    """

    def __init__(self, shared: Any, place: int) -> None:
        self._place = place
        self.__setstate__((shared, place))

    def __getstate__(self) -> tuple[Any, int]:
        return self._shared, self._place

    def __setstate__(self, state: tuple[Any, int]) -> None:
        self._shared, self._place = state
        first = self._place * _N_NUMBERS
        numbers = memoryview(self._shared).cast("B").cast("d")
        self._numbers = numbers[first : first + _N_NUMBERS]

    # -- the worker, any thread ------------------------------------------------------------------

    def note_progress(self) -> None:
        """A step of opening the models is done."""
        self._numbers[_PROGRESS] = time.monotonic()

    def note_answer(self) -> None:
        """A request was answered, by the way that every request takes."""
        self._numbers[_ANSWERED] = time.monotonic()

    def note_unhealthy(self, is_unhealthy: bool) -> None:
        """Whether something in the worker has ended that only a new process has again."""
        self._numbers[_IS_UNHEALTHY] = float(is_unhealthy)

    # -- both ------------------------------------------------------------------------------------

    @property
    def answered_s(self) -> float:
        """When it answered last; 0 when it never has."""
        return self._numbers[_ANSWERED]

    @property
    def progress_s(self) -> float:
        return self._numbers[_PROGRESS]

    @property
    def is_unhealthy(self) -> bool:
        return bool(self._numbers[_IS_UNHEALTHY])

    @property
    def is_ending(self) -> bool:
        """Whether the main process asks this worker to end, or is about to."""
        return bool(self._numbers[_IS_ENDING])

    # -- the main process ------------------------------------------------------------------------

    def begin(self) -> None:
        """A new worker gets these numbers."""
        self._numbers[_ANSWERED] = self._numbers[_IS_UNHEALTHY] = self._numbers[_IS_ENDING] = 0.0
        self.note_progress()

    def note_ending(self) -> None:
        """From now on the worker waits for no slow body; to be called before it is asked to end."""
        self._numbers[_IS_ENDING] = 1.0


class WorkersLiveness:
    """The numbers of all workers, as the main process judges them.

    Only the main thread calls `of` and `replacement_reason`.

    Args:
        timeout_s: a worker that has answered nothing for so long is replaced.
    """

    def __init__(self, n_workers: int, timeout_s: float) -> None:
        shared = get_context("spawn").RawArray("d", n_workers * _N_NUMBERS)
        self._workers = [WorkerLiveness(shared, place) for place in range(n_workers)]
        self._timeout_s = timeout_s
        self._checked_s = time.monotonic()

    def of(self, idx: int) -> WorkerLiveness:
        """The numbers for a worker that is about to be started."""
        self._workers[idx].begin()
        return self._workers[idx]

    def note_ending(self) -> None:
        """All workers are about to be asked to end."""
        for worker in self._workers:
            worker.note_ending()

    def note_check(self) -> None:
        """The main process has looked after its workers."""
        self._checked_s = time.monotonic()

    def replacement_reason(self, idx: int, pid: int | None) -> str | None:
        """Why a worker that lives must be replaced; None when it need not."""
        worker, now_s = self._workers[idx], time.monotonic()
        if worker.is_unhealthy:
            return "one of its threads has ended or stands still; its own log says which."
        if worker.answered_s == 0:
            silent_s = now_s - worker.progress_s
            limit_s, problem = COLD_START_S, "opening its models has come no further"
        else:
            silent_s = now_s - worker.answered_s
            limit_s, problem = self._timeout_s, "it has answered no request"
        if silent_s > limit_s:
            return f"{problem} for {silent_s:.0f} s."
        if silent_s > STOPPED_S and _is_stopped(pid):
            return f"its process is stopped, and {problem} for {silent_s:.0f} s."
        return None

    # -- any thread ------------------------------------------------------------------------------

    @property
    def has_answered(self) -> bool:
        """Whether a worker of ours has answered yet; another instance's do not count."""
        return any(worker.answered_s for worker in self._workers)

    def health_problem(self) -> str | None:
        """What only a restart of the main process helps against; None when all is well.

        That one worker does not answer is none: the main process replaces it.
        """
        now_s = time.monotonic()
        if now_s - self._checked_s > LOOP_LIMIT_S:
            return (
                f"the main process has not checked its workers for {now_s - self._checked_s:.0f} s."
            )
        newest_s = max(max(worker.answered_s, worker.progress_s) for worker in self._workers)
        if now_s - newest_s > self._timeout_s + LOOP_LIMIT_S:
            return f"no worker has answered for {now_s - newest_s:.0f} s."
        return None


def _is_stopped(pid: int | None) -> bool:
    try:
        return pid is not None and psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False
