"""Run background threads in a guarded loop each, and report their failures to health.

What a thread raises is logged once and counted; the thread waits a growing pause and goes on. Knows
nothing of what a thread does. Any thread may call any function here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import structlog

from shared.errors import HotfitError

log = structlog.get_logger()

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


class BackgroundThread:
    """One daemon thread that calls `step` again and again until `stop` is set.

    Args:
        step: does one turn of the work, its waiting included. Whatever it raises, also
            SystemExit, ends the turn and not the thread.
    """

    def __init__(self, name: str, step: Callable[[], object], stop: threading.Event) -> None:
        self.name = name
        self._step = step
        self._stop = stop
        self._error: str | None = None
        self._n_failures = 0  # in a row
        self._has_ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    @property
    def is_over(self) -> bool:
        """Whether it ended because it was asked to."""
        return self._has_ended

    @property
    def is_gone(self) -> bool:
        """Whether it ended although nobody asked it to: only a new process helps."""
        return not self._has_ended and not self._thread.is_alive()

    @property
    def problem(self) -> str | None:
        """A sentence for health; None when all is well."""
        if self.is_gone:
            return f"the background thread {self.name} has ended; its process must be replaced."
        error = self._error
        if error is not None:
            return (
                f"the background thread {self.name} has failed {self._n_failures} times in a row"
                f" and tries again: {error}."
            )
        return None

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._step()
            except BaseException as error:  # noqa: BLE001 - the thread outlives every surprise
                # Neither may the telling end it: no memory, no descriptor, an odd character.
                with contextlib.suppress(BaseException):
                    self._note(error)
                pause_s = FIRST_PAUSE_S * 2 ** min(self._n_failures - 1, 10)
                self._stop.wait(min(pause_s, LONGEST_PAUSE_S))
            else:
                if self._error is not None:
                    log.info(
                        "background_thread_recovered",
                        thread=self.name,
                        n_failures=self._n_failures,
                    )
                    self._error, self._n_failures = None, 0
        self._has_ended = True

    def _note(self, error: BaseException) -> None:
        self._n_failures += 1
        sentence = f"{type(error).__name__}: {error}"
        is_new, self._error = sentence != self._error, sentence
        if is_new:
            # Of the system's refusals the sentence says all; of a defect the trace does.
            is_of_system = isinstance(error, (OSError, HotfitError))
            log.error(
                "background_thread_failed",
                thread=self.name,
                reason=sentence,
                exc_info=None if is_of_system else error,
            )


_threads: list[BackgroundThread] = []
_guard = threading.Lock()


def run_in_background(
    name: str, step: Callable[[], object], stop: threading.Event | None = None
) -> BackgroundThread:
    """Start a thread that calls `step` until `stop` is set; without `stop`, for ever."""
    thread = BackgroundThread(name, step, stop or threading.Event())
    with _guard:
        _threads[:] = [known for known in _threads if not known.is_over]
        _threads.append(thread)
    return thread


def run_once_in_background(name: str, call: Callable[[], object]) -> BackgroundThread:
    """Start a thread that calls `call` until that has returned once without raising."""
    done = threading.Event()

    def step() -> None:
        call()
        done.set()

    return run_in_background(name, step, done)


def background_problems() -> list[str]:
    """What is wrong with the threads of this process, as sentences for health."""
    with _guard:
        threads = list(_threads)
    return [problem for thread in threads if (problem := thread.problem) is not None]


def is_background_thread_gone() -> bool:
    """Whether a thread of this process has ended although nobody asked it to."""
    with _guard:
        return any(thread.is_gone for thread in _threads)
