"""Remember what each open transaction has read, and refuse its commit when that has changed.

Optimistic: reads see one snapshot, taken at the first read; nothing is locked; the commit is
ABORTED when a document or the result of a query that was read is no longer the same. The real
service may instead make the other writer wait; either way the client's retry is what runs.
"""

import itertools
import threading
from dataclasses import dataclass, field

from .messages import DocumentPb, RequestPb
from .queries import CompiledQuery, Matches
from .refusal import aborted, invalid
from .store import Store
from .timeline import us_from_pb

_Fingerprint = tuple[tuple[str, int], ...]


@dataclass(slots=True)
class Transaction:
    is_read_only: bool
    read_us: int | None
    documents_read: dict[str, int] = field(default_factory=dict)
    queries_read: list[tuple[CompiledQuery, _Fingerprint]] = field(default_factory=list)


class Transactions:
    """Any thread may call. One transaction is used by one client thread at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: dict[bytes, Transaction] = {}
        self._ended: set[bytes] = set()
        self._ids = itertools.count(1)
        self._lock = threading.Lock()

    def begin(self, options: RequestPb) -> bytes:
        is_read_only = options.WhichOneof("mode") == "read_only"
        read_us = None
        if is_read_only and options.read_only.HasField("read_time"):
            read_us = self._store.past_read_us(us_from_pb(options.read_only.read_time))
        with self._lock:
            transaction_id = b"transaction-%d" % next(self._ids)
            self._open[transaction_id] = Transaction(is_read_only, read_us)
        return transaction_id

    def read_us(self, transaction_id: bytes) -> int:
        """The time of the transaction's snapshot, which its first read fixes."""
        transaction = self._find(transaction_id)
        if transaction.read_us is None:
            transaction.read_us = self._store.read_us()
        return transaction.read_us

    def note_document(self, transaction_id: bytes, name: str, document: DocumentPb | None) -> None:
        self._find(transaction_id).documents_read[name] = _version_of(document)

    def note_query(self, transaction_id: bytes, query: CompiledQuery, matches: Matches) -> None:
        self._find(transaction_id).queries_read.append((query, _fingerprint(matches)))

    def check_conflicts(self, transaction_id: bytes) -> None:
        """ABORTED when anything read has changed. Call under the store's lock, before writing."""
        transaction = self._find(transaction_id)
        if transaction.is_read_only:
            return  # its snapshot was consistent, and it has nothing to apply
        now_us = self._store.read_us()
        for name, version in transaction.documents_read.items():
            if _version_of(self._store.get(name, now_us)) != version:
                raise aborted(f"{name} was changed after this transaction read it")
        for query, fingerprint in transaction.queries_read:
            if _fingerprint(self._store.query(query, now_us)) != fingerprint:
                raise aborted("the result of a query in this transaction has changed")

    def check_may_write(self, transaction_id: bytes) -> None:
        if self._find(transaction_id).is_read_only:
            raise invalid("a read-only transaction cannot write")

    def end(self, transaction_id: bytes) -> None:
        """Close it, whatever came of it. Closing twice is fine: clients roll back after ABORTED."""
        with self._lock:
            if self._open.pop(transaction_id, None) is not None:
                self._ended.add(transaction_id)
            elif transaction_id not in self._ended:
                raise _unknown(transaction_id)

    def _find(self, transaction_id: bytes) -> Transaction:
        with self._lock:
            if transaction_id not in self._open:
                raise _unknown(transaction_id)
            return self._open[transaction_id]


def _unknown(transaction_id: bytes) -> Exception:
    return invalid(f"transaction {transaction_id!r} has expired or is no longer valid")


def _version_of(document: DocumentPb | None) -> int:
    return 0 if document is None else us_from_pb(document.update_time)


def _fingerprint(matches: Matches) -> _Fingerprint:
    return tuple((document.name, _version_of(document)) for document in matches.documents)
