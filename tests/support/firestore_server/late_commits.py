"""Commit writes later than they were requested, so that old server timestamps appear late.

A server timestamp is the time of the request. A slow commit becomes visible after a reader has
passed that time, and a reader that trusts the timestamp alone never sees it.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType

import grpc

from .messages import ServicerContext
from .refusal import Refusal
from .store import collection_id_of

_CLIENT_CHECK_S = 0.02


class PendingCommit(AbstractContextManager["PendingCommit"]):
    """A write that was requested and is not visible yet. `release` or leaving the block commits."""

    def __init__(self, commit: Callable[[], None]) -> None:
        self._commit = commit
        self._lock = threading.Lock()
        self.is_released = False

    def release(self) -> None:
        """Commit now. A second call does nothing."""
        with self._lock:
            if not self.is_released:
                self.is_released = True
                self._commit()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


class HeldCommits(AbstractContextManager["HeldCommits"]):
    """Commits of clients wait here, already stamped with their request time, until `release`."""

    def __init__(self, collection_id: str | None) -> None:
        self._collection_id = collection_id
        self._released = threading.Event()
        self._lock = threading.Lock()
        self._n_waiting = 0

    @property
    def n_waiting(self) -> int:
        with self._lock:
            return self._n_waiting

    def release(self) -> None:
        self._released.set()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def is_over(self) -> bool:
        return self._released.is_set()

    def applies_to(self, names: Sequence[str]) -> bool:
        ids = {collection_id_of(name) for name in names}
        return not self.is_over() and self._collection_id in {None, *ids}

    def wait(self, context: ServicerContext) -> None:
        """Block until released. A client that gives up takes its write with it."""
        with self._lock:
            self._n_waiting += 1
        try:
            while not self._released.wait(_CLIENT_CHECK_S):
                if not context.is_active():
                    raise Refusal(grpc.StatusCode.CANCELLED, "the client gave up a held commit")
        finally:
            with self._lock:
                self._n_waiting -= 1


class CommitGate:
    """Every commit passes here between taking its request time and being applied."""

    def __init__(self) -> None:
        self._holds: list[HeldCommits] = []
        self._lock = threading.Lock()

    def hold(self, collection_id: str | None) -> HeldCommits:
        held = HeldCommits(collection_id)
        with self._lock:
            self._holds.append(held)
        return held

    def pass_through(self, names: Sequence[str], context: ServicerContext) -> None:
        with self._lock:
            self._holds = [held for held in self._holds if not held.is_over()]
            waiting_at = [held for held in self._holds if held.applies_to(names)]
        for held in waiting_at:
            held.wait(context)
