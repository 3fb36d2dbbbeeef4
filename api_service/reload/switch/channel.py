"""Exchange switch messages between a worker and the main process, from the worker's side.

`SwitchChannel` talks to the main process; `LocalChannel` serves a worker that is the only one and
decides alone. Both decide nothing else and open no version. Any thread may call.
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
    Opening,
    Ready,
    Refused,
    Register,
    Registered,
    Retry,
    Superseded,
    Unregister,
    encode,
    from_main,
)
from api_service.reload.switch.shared_generations import SharedGenerations
from shared.daemon.background import run_in_background

log = structlog.get_logger()

_ANSWER_WITHIN_S = 5.0
_REFUSALS_KEPT = 20

Entry = tuple[memoryview, int]
"""The board's cells and a model's place among them."""


class Channel(Protocol):
    """What the reload manager asks of it."""

    def register(self, model: str) -> VersionKey | None:
        """Say that this worker is about to serve a model; what the others serve, if anything."""

    def unregister(self, model: str) -> None:
        """Say that it serves no version of it any more."""

    def opening(self, model: str, key: VersionKey) -> None:
        """Say what is being opened, or wanted instead of what waits."""

    def entry(self, model: str) -> Entry | None:
        """Where the model's switch happens; None when this worker switches by itself."""

    def ready(self, model: str, key: VersionKey) -> None:
        """Say that a version is warm, and armed if the model has a cell."""

    def failed(self, model: str, key: VersionKey, reason: str) -> None:
        """Say that a version can never be opened."""

    def retry(self, model: str, key: VersionKey, reason: str) -> None:
        """Say that a version cannot be opened now."""

    def refused(self, model: str, generation: int) -> str | None:
        """Why nobody may serve a generation; None when nothing is known against it."""

    def is_superseded(self, model: str, generation: int) -> bool:
        """Whether a generation that waits will never be switched to."""

    @property
    def n_messages(self) -> int:
        """How many messages came so far."""

    def wait_for_message(self, n_messages: int, timeout_s: float) -> None:
        """Return when more than `n_messages` messages came, or after `timeout_s`."""


class LocalChannel:
    """There is no other worker: what is ready serves."""

    def register(self, model: str) -> VersionKey | None:
        return None

    def unregister(self, model: str) -> None: ...

    def opening(self, model: str, key: VersionKey) -> None: ...

    def entry(self, model: str) -> Entry | None:
        return None

    def ready(self, model: str, key: VersionKey) -> None: ...

    def failed(self, model: str, key: VersionKey, reason: str) -> None: ...

    def retry(self, model: str, key: VersionKey, reason: str) -> None: ...

    def refused(self, model: str, generation: int) -> str | None:
        return None

    def is_superseded(self, model: str, generation: int) -> bool:
        return False

    @property
    def n_messages(self) -> int:
        return 0

    def wait_for_message(self, n_messages: int, timeout_s: float) -> None: ...


class SwitchChannel:
    """Made by the main process, handed to a worker when it is spawned."""

    def __init__(self, connection: Connection, generations: SharedGenerations) -> None:
        self._connection = connection
        self._generations = generations
        self._reset_state()

    def __getstate__(self) -> tuple[Connection, SharedGenerations]:
        return self._connection, self._generations

    def __setstate__(self, state: tuple[Connection, SharedGenerations]) -> None:
        self._connection, self._generations = state
        self._reset_state()

    def _reset_state(self) -> None:
        self._is_closed = threading.Event()
        self._sending = threading.Lock()
        self._received = threading.Condition()
        self._n_messages = 0
        self._wake: Callable[[], None] = lambda: None
        self._indexes: dict[str, int] = {}
        self._committed: dict[str, VersionKey | None] = {}
        self._refused: dict[str, dict[int, str]] = {}
        self._superseded: dict[str, int] = {}

    def start(self, wake: Callable[[], None]) -> None:
        """Listen from now on, in a thread; `wake` is called after each message that is news."""
        self._wake = wake
        run_in_background("switch", self._listen, self._is_closed)

    # -- saying ----------------------------------------------------------------------------------

    def register(self, model: str) -> VersionKey | None:
        with self._received:
            self._indexes.pop(model, None)
        self._send(Register(model))
        with self._received:
            # No answer: the main process stands still. Better to serve than to wait for it.
            if not self._received.wait_for(lambda: model in self._indexes, _ANSWER_WITHIN_S):
                log.warning("main_process_silent", model=model, timeout_s=_ANSWER_WITHIN_S)
            return self._committed.get(model)

    def unregister(self, model: str) -> None:
        with self._received:
            self._indexes.pop(model, None)
            self._committed.pop(model, None)
        self._send(Unregister(model))

    def opening(self, model: str, key: VersionKey) -> None:
        self._send(Opening(model, *key))

    def entry(self, model: str) -> Entry | None:
        index = self._indexes.get(model, -1)
        return (self._generations.entries, index) if index >= 0 else None

    def ready(self, model: str, key: VersionKey) -> None:
        self._send(Ready(model, *key))

    def failed(self, model: str, key: VersionKey, reason: str) -> None:
        self._send(Failed(model, *key, reason))

    def retry(self, model: str, key: VersionKey, reason: str) -> None:
        self._send(Retry(model, *key, reason))

    def refused(self, model: str, generation: int) -> str | None:
        with self._received:
            return self._refused.get(model, {}).get(generation)

    def is_superseded(self, model: str, generation: int) -> bool:
        with self._received:
            return generation <= self._superseded.get(model, 0)

    @property
    def n_messages(self) -> int:
        return self._n_messages

    def wait_for_message(self, n_messages: int, timeout_s: float) -> None:
        with self._received:
            self._received.wait_for(lambda: self._n_messages != n_messages, timeout_s)

    def _send(self, message: FromWorker) -> None:
        # The main process is gone: this worker ends in a moment, and goes on until then.
        with contextlib.suppress(OSError), self._sending:
            self._connection.send_bytes(encode(message))

    # -- hearing ---------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Hear one message; the end of the line is the main process's."""
        try:
            content = self._connection.recv_bytes()
        except (OSError, EOFError):
            self._is_closed.set()
            return
        message = from_main(content)
        self._handle(message)
        # A place is the answer to a question of ours: to look again for it would be to ask again,
        # and so on without end.
        if not isinstance(message, Registered):
            self._wake()

    def _handle(self, message: FromMain) -> None:
        with self._received:
            match message:
                case Registered(model, index, version, generation, refused):
                    self._indexes[model] = index
                    self._committed[model] = None if version is None else (version, generation)
                    self._refused.setdefault(model, {}).update(refused)
                case Committed(model, version, generation):
                    self._committed[model] = (version, generation)
                case Refused(model, generation, reason):
                    known = self._refused.setdefault(model, {})
                    known[generation] = reason
                    while len(known) > _REFUSALS_KEPT:
                        del known[min(known)]
                case Superseded(model, generation):
                    self._superseded[model] = max(self._superseded.get(model, 0), generation)
            self._n_messages += 1
            self._received.notify_all()
