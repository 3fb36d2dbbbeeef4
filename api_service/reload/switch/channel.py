"""A worker's half of a switch: says how far it is, hears what was decided.

Two ends with one face: `SwitchChannel` speaks to the main process, `Alone` is for a worker that has
no other beside it and decides at once. Any thread may call; the manager's reload thread does.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Protocol

import structlog

from api_service.reload.policy import VersionKey
from api_service.reload.switch.messages import (
    Committed,
    Failed,
    FromMain,
    FromWorker,
    Join,
    Later,
    Leave,
    Opening,
    Place,
    Ready,
    Refused,
    Superseded,
    encode,
    from_main,
)
from api_service.reload.switch.shared_generations import SharedGenerations
from shared.daemon.background import run_in_background

log = structlog.get_logger()

_ANSWER_WITHIN_S = 5.0
_REFUSALS_KEPT = 20

Cell = tuple[memoryview, int]
"""The board's cells and a model's place among them."""


class Line(Protocol):
    """What the reload manager asks of it."""

    def join(self, model: str) -> VersionKey | None:
        """Say that this worker is about to serve a model; what the others serve, if anything."""

    def leave(self, model: str) -> None:
        """Say that it serves no version of it any more."""

    def opening(self, model: str, key: VersionKey) -> None:
        """Say what is being opened, or wanted instead of what waits."""

    def cell(self, model: str) -> Cell | None:
        """Where the model's switch happens; None when this worker switches by itself."""

    def ready(self, model: str, key: VersionKey) -> None:
        """Say that a version is warm, and armed if the model has a cell."""

    def failed(self, model: str, key: VersionKey, reason: str) -> None:
        """Say that a version can never be opened."""

    def later(self, model: str, key: VersionKey, reason: str) -> None:
        """Say that a version cannot be opened now."""

    def refused(self, model: str, generation: int) -> str | None:
        """Why nobody may serve a generation; None when nothing is known against it."""

    def is_superseded(self, model: str, generation: int) -> bool:
        """Whether a generation that waits will never be switched to."""

    @property
    def n_heard(self) -> int:
        """How many messages came so far."""

    def wait_for_news(self, n_heard: int, timeout_s: float) -> None:
        """Return when more than `n_heard` messages came, or after `timeout_s`."""


class Alone:
    """There is no other worker: what is ready serves."""

    def join(self, model: str) -> VersionKey | None:
        return None

    def leave(self, model: str) -> None: ...

    def opening(self, model: str, key: VersionKey) -> None: ...

    def cell(self, model: str) -> Cell | None:
        return None

    def ready(self, model: str, key: VersionKey) -> None: ...

    def failed(self, model: str, key: VersionKey, reason: str) -> None: ...

    def later(self, model: str, key: VersionKey, reason: str) -> None: ...

    def refused(self, model: str, generation: int) -> str | None:
        return None

    def is_superseded(self, model: str, generation: int) -> bool:
        return False

    @property
    def n_heard(self) -> int:
        return 0

    def wait_for_news(self, n_heard: int, timeout_s: float) -> None: ...


class SwitchChannel:
    """Made by the main process, handed to a worker when it is spawned."""

    def __init__(self, connection: Connection, board: SharedGenerations) -> None:
        self._connection = connection
        self._board = board
        self._begin()

    def __getstate__(self) -> tuple[Connection, SharedGenerations]:
        return self._connection, self._board

    def __setstate__(self, state: tuple[Connection, SharedGenerations]) -> None:
        self._connection, self._board = state
        self._begin()

    def _begin(self) -> None:
        self._is_cut = threading.Event()
        self._sending = threading.Lock()
        self._news = threading.Condition()
        self._n_heard = 0
        self._wake: Callable[[], None] = lambda: None
        self._places: dict[str, int] = {}
        self._served: dict[str, VersionKey | None] = {}
        self._refused: dict[str, dict[int, str]] = {}
        self._superseded: dict[str, int] = {}

    def start(self, wake: Callable[[], None]) -> None:
        """Listen from now on, in a thread; `wake` is called after each message that is news."""
        self._wake = wake
        run_in_background("switch", self._listen, self._is_cut)

    # -- saying ----------------------------------------------------------------------------------

    def join(self, model: str) -> VersionKey | None:
        with self._news:
            self._places.pop(model, None)
        self._say(Join(model))
        with self._news:
            # No answer: the main process stands still. Better to serve than to wait for it.
            if not self._news.wait_for(lambda: model in self._places, _ANSWER_WITHIN_S):
                log.warning("the main process does not answer", model=model)
            return self._served.get(model)

    def leave(self, model: str) -> None:
        with self._news:
            self._places.pop(model, None)
            self._served.pop(model, None)
        self._say(Leave(model))

    def opening(self, model: str, key: VersionKey) -> None:
        self._say(Opening(model, *key))

    def cell(self, model: str) -> Cell | None:
        index = self._places.get(model, -1)
        return (self._board.cells, index) if index >= 0 else None

    def ready(self, model: str, key: VersionKey) -> None:
        self._say(Ready(model, *key))

    def failed(self, model: str, key: VersionKey, reason: str) -> None:
        self._say(Failed(model, *key, reason))

    def later(self, model: str, key: VersionKey, reason: str) -> None:
        self._say(Later(model, *key, reason))

    def refused(self, model: str, generation: int) -> str | None:
        with self._news:
            return self._refused.get(model, {}).get(generation)

    def is_superseded(self, model: str, generation: int) -> bool:
        with self._news:
            return generation <= self._superseded.get(model, 0)

    @property
    def n_heard(self) -> int:
        return self._n_heard

    def wait_for_news(self, n_heard: int, timeout_s: float) -> None:
        with self._news:
            self._news.wait_for(lambda: self._n_heard != n_heard, timeout_s)

    def _say(self, message: FromWorker) -> None:
        # The main process is gone: this worker ends in a moment, and goes on until then.
        with contextlib.suppress(OSError), self._sending:
            self._connection.send_bytes(encode(message))

    # -- hearing ---------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Hear one message; the end of the line is the main process's."""
        try:
            content = self._connection.recv_bytes()
        except (OSError, EOFError):
            self._is_cut.set()
            return
        message = from_main(content)
        self._hear(message)
        # A place is the answer to a question of ours: to look again for it would be to ask again,
        # and so on without end.
        if not isinstance(message, Place):
            self._wake()

    def _hear(self, message: FromMain) -> None:
        with self._news:
            match message:
                case Place(model, index, version, generation, refused):
                    self._places[model] = index
                    self._served[model] = None if version is None else (version, generation)
                    self._refused.setdefault(model, {}).update(refused)
                case Committed(model, version, generation):
                    self._served[model] = (version, generation)
                case Refused(model, generation, reason):
                    known = self._refused.setdefault(model, {})
                    known[generation] = reason
                    while len(known) > _REFUSALS_KEPT:
                        del known[min(known)]
                case Superseded(model, generation):
                    self._superseded[model] = max(self._superseded.get(model, 0), generation)
            self._n_heard += 1
            self._news.notify_all()
