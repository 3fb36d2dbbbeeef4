"""Serve one Listen stream: what matches now, then every change, with tokens to resume from.

After each commit the session runs its queries again and sends the difference to what the client
already has. That is slow for large collections and cannot miss anything.
"""

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
from google.rpc.status_pb2 import Status

from .messages import (
    DocumentChange,
    DocumentDelete,
    DocumentPb,
    DocumentRemove,
    ListenResponse,
    RequestPb,
    ResponsePb,
    TargetChange,
    TargetChangeType,
)
from .meter import Meter
from .queries import CompiledQuery, compile_query, shown
from .refusal import Refusal
from .store import Store, collection_id_of
from .timeline import us_from_pb, us_to_pb

RESUME_WINDOW_US = 30 * 60 * 1_000_000
"""A listener that was away for longer starts again, and pays again, as a new one."""


@dataclass(slots=True)
class ListenTarget:
    """A query or a set of documents, and the version of each document that the client has."""

    target_id: int
    query: CompiledQuery | None
    names: tuple[str, ...]
    known: dict[str, int]

    def documents(self, store: Store, at_us: int) -> dict[str, DocumentPb]:
        if self.query is not None:
            found = store.query(self.query, at_us).documents
            return {document.name: shown(self.query, document) for document in found}
        looked_up = ((name, store.get(name, at_us)) for name in self.names)
        return {name: document for name, document in looked_up if document is not None}

    def collection_id(self) -> str:
        if self.query is not None:
            return self.query.collection_id or "*"
        return collection_id_of(self.names[0])


class ListenSession:
    """`responses` runs on the stream's own thread; any other thread may call the rest."""

    def __init__(self, store: Store, meter: Meter) -> None:
        self._store = store
        self._meter = meter
        self._targets: dict[int, ListenTarget] = {}
        self._inbox: deque[RequestPb] = deque()
        self._is_closed = threading.Event()
        self._drop_code: grpc.StatusCode | None = None

    def read_requests(self, requests: Iterator[RequestPb]) -> None:
        """Take in what the client asks for, until it hangs up. Blocks: give it a thread."""
        try:
            for request in requests:
                self._inbox.append(request)
                self._store.wake_waiters()
        except grpc.RpcError:
            pass  # how gRPC says that the client is gone
        finally:
            self.close()

    def close(self) -> None:
        self._is_closed.set()
        self._store.wake_waiters()

    def drop(self, code: grpc.StatusCode) -> None:
        """End the stream with an error, as a lost connection or a stopping server does."""
        self._drop_code = code
        self.close()

    def responses(self) -> Iterator[ResponsePb]:
        n_commits_seen = self._store.n_commits()
        while not self._is_closed.is_set():
            while self._inbox:
                yield from self._handle(self._inbox.popleft())
            n_commits = self._store.wait_for_commit(
                n_commits_seen, lambda: bool(self._inbox) or self._is_closed.is_set()
            )
            if n_commits != n_commits_seen:
                n_commits_seen = n_commits
                yield from self._changes()
        if self._drop_code is not None:
            raise Refusal(self._drop_code, "the server dropped this listener")

    def _handle(self, request: RequestPb) -> Iterator[ResponsePb]:
        if request.WhichOneof("target_change") == "remove_target":
            self._targets.pop(request.remove_target, None)
            yield _target_change(TargetChangeType.REMOVE, [request.remove_target])
            return
        asked_for = request.add_target
        try:
            target = _target(asked_for)
        except Refusal as refusal:
            cause = Status(code=refusal.code.value[0], message=refusal.details)
            yield _target_change(TargetChangeType.REMOVE, [asked_for.target_id], cause=cause)
            return
        yield from self._start(target, asked_for)

    def _start(self, target: ListenTarget, asked_for: RequestPb) -> Iterator[ResponsePb]:
        ids = [target.target_id]
        at_us = self._store.read_us()
        self._targets[target.target_id] = target
        yield _target_change(TargetChangeType.ADD, ids)
        resume_us = _resume_us(asked_for)
        if resume_us is not None and resume_us >= at_us - RESUME_WINDOW_US:
            held = target.documents(self._store, resume_us)
            target.known = {name: _version_of(document) for name, document in held.items()}
            yield from self._difference(target, at_us)
        else:
            if resume_us is not None:
                yield _target_change(TargetChangeType.RESET, ids)
            responses = list(self._difference(target, at_us))
            if not responses:
                self._meter.bill_reads(target.collection_id(), 1)
            yield from responses
            for name in target.names:
                if name not in target.known:
                    yield _deleted(target, name, at_us)
        yield _target_change(TargetChangeType.CURRENT, ids, at_us)
        yield _target_change(TargetChangeType.NO_CHANGE, [], at_us)

    def _changes(self) -> Iterator[ResponsePb]:
        at_us = self._store.read_us()
        n_sent = 0
        for target in self._targets.values():
            for response in self._difference(target, at_us):
                n_sent += 1
                yield response
        if n_sent:
            yield _target_change(TargetChangeType.NO_CHANGE, [], at_us)

    def _difference(self, target: ListenTarget, at_us: int) -> Iterator[ResponsePb]:
        """Bill and send what brings the client from the versions it has to those at `at_us`."""
        documents = target.documents(self._store, at_us)
        for name in [name for name in target.known if name not in documents]:
            del target.known[name]
            if self._store.get(name, at_us) is None:
                yield _deleted(target, name, at_us)
            else:
                self._meter.bill_reads(collection_id_of(name), 1)
                removal = DocumentRemove(
                    document=name,
                    removed_target_ids=[target.target_id],
                    read_time=us_to_pb(at_us),
                )
                yield ListenResponse(document_remove=removal)
        for name, document in documents.items():
            if target.known.get(name) != _version_of(document):
                target.known[name] = _version_of(document)
                self._meter.bill_reads(collection_id_of(name), 1)
                change = DocumentChange(document=document, target_ids=[target.target_id])
                yield ListenResponse(document_change=change)


def _target(asked_for: RequestPb) -> ListenTarget:
    if asked_for.WhichOneof("target_type") == "query":
        query = compile_query(asked_for.query.parent, asked_for.query.structured_query)
        return ListenTarget(asked_for.target_id, query, (), {})
    return ListenTarget(asked_for.target_id, None, tuple(asked_for.documents.documents), {})


def _resume_us(asked_for: RequestPb) -> int | None:
    match asked_for.WhichOneof("resume_type"):
        case "resume_token" if asked_for.resume_token:
            return int(asked_for.resume_token)
        case "read_time":
            return us_from_pb(asked_for.read_time)
    return None


def _target_change(
    kind: int, target_ids: list[int], at_us: int | None = None, cause: Status | None = None
) -> ResponsePb:
    change = TargetChange(target_change_type=kind, target_ids=target_ids)
    if at_us is not None:
        change.read_time.CopyFrom(us_to_pb(at_us))
        change.resume_token = b"%d" % at_us
    if cause is not None:
        change.cause.CopyFrom(cause)
    return ListenResponse(target_change=change)


def _deleted(target: ListenTarget, name: str, at_us: int) -> ResponsePb:
    deletion = DocumentDelete(
        document=name, removed_target_ids=[target.target_id], read_time=us_to_pb(at_us)
    )
    return ListenResponse(document_delete=deletion)


def _version_of(document: DocumentPb) -> int:
    return us_from_pb(document.update_time)
