"""Answer commits and single writes, bill them, and drive transactions. Knows nothing of gRPC
beyond asking a held client whether it is still there.
"""

import secrets
import string
from collections.abc import Sequence
from functools import partial

from google.protobuf.empty_pb2 import Empty
from google.rpc.status_pb2 import Status

from .late_commits import CommitGate
from .messages import (
    BatchWriteResponse,
    BeginTransactionResponse,
    CommitResponse,
    Document,
    DocumentPb,
    RequestPb,
    ResponsePb,
    ServicerContext,
    Write,
    WritePb,
    WriteResult,
)
from .meter import Meter
from .refusal import Refusal, invalid
from .store import Committed, Store, collection_id_of
from .timeline import us_to_pb
from .transactions import Transactions
from .values import masked
from .writes import name_written

MAX_BATCH_WRITES = 500
_ID_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH = 20


class WriteRequests:
    def __init__(
        self, store: Store, transactions: Transactions, meter: Meter, gate: CommitGate
    ) -> None:
        self._store = store
        self._transactions = transactions
        self._meter = meter
        self._gate = gate

    def commit(self, request: RequestPb, context: ServicerContext) -> ResponsePb:
        committed = self._gated(request.writes, context, request.transaction)
        return CommitResponse(
            write_results=committed.results, commit_time=us_to_pb(committed.commit_us)
        )

    def batch_write(self, request: RequestPb, context: ServicerContext) -> ResponsePb:
        """Each write on its own: one that is refused leaves the others as they are."""
        if len(request.writes) > MAX_BATCH_WRITES:
            raise invalid(f"at most {MAX_BATCH_WRITES} writes, found {len(request.writes)}")
        names = [name_written(write) for write in request.writes]
        if len(set(names)) < len(names):
            raise invalid("a batch may write each document only once")
        request_us = self._store.clock_us()
        self._gate.pass_through(names, context)
        response = BatchWriteResponse()
        for write in request.writes:
            try:
                committed = self.apply([write], request_us)
            except Refusal as refusal:
                response.write_results.append(WriteResult())
                response.status.append(Status(code=refusal.code.value[0], message=refusal.details))
            else:
                response.write_results.extend(committed.results)
                response.status.append(Status())
        return response

    def create_document(self, request: RequestPb, context: ServicerContext) -> DocumentPb:
        document_id = request.document_id or _new_id()
        document = Document()
        document.CopyFrom(request.document)
        document.name = f"{request.parent}/{request.collection_id}/{document_id}"
        write = Write(update=document)
        write.current_document.exists = False
        return self._written(write, request, context)

    def update_document(self, request: RequestPb, context: ServicerContext) -> DocumentPb:
        write = Write(update=request.document)
        if request.HasField("update_mask"):
            write.update_mask.CopyFrom(request.update_mask)
        if request.HasField("current_document"):
            write.current_document.CopyFrom(request.current_document)
        return self._written(write, request, context)

    def delete_document(self, request: RequestPb, context: ServicerContext) -> ResponsePb:
        write = Write(delete=request.name)
        if request.HasField("current_document"):
            write.current_document.CopyFrom(request.current_document)
        self._gated([write], context)
        return Empty()

    def begin_transaction(self, request: RequestPb) -> ResponsePb:
        return BeginTransactionResponse(transaction=self._transactions.begin(request.options))

    def rollback(self, request: RequestPb) -> ResponsePb:
        self._transactions.end(request.transaction)
        return Empty()

    def apply(
        self, writes: Sequence[WritePb], request_us: int, transaction: bytes = b""
    ) -> Committed:
        """Commit at once, as requested at `request_us`, and bill it. A refused commit is free."""
        check = partial(self._transactions.check_conflicts, transaction) if transaction else None
        committed = self._store.commit(writes, request_us, check)
        for write in writes:
            collection_id = collection_id_of(name_written(write))
            if write.WhichOneof("operation") == "delete":
                self._meter.bill_delete(collection_id)
            else:
                self._meter.bill_write(collection_id)
        return committed

    def _gated(
        self, writes: Sequence[WritePb], context: ServicerContext, transaction: bytes = b""
    ) -> Committed:
        # Taken before anything can delay the commit: this is what server timestamps show.
        request_us = self._store.clock_us()
        if transaction and writes:
            self._transactions.check_may_write(transaction)
        self._gate.pass_through([name_written(write) for write in writes], context)
        try:
            return self.apply(writes, request_us, transaction)
        finally:
            if transaction:
                self._transactions.end(transaction)

    def _written(self, write: WritePb, request: RequestPb, context: ServicerContext) -> DocumentPb:
        committed = self._gated([write], context)
        document = self._store.get(name_written(write), committed.commit_us)
        return masked(document, request.mask) if request.HasField("mask") else document


def _new_id() -> str:
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
