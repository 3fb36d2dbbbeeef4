"""Connect the methods of the Firestore service to gRPC: threads, faults, refusals as statuses."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from . import messages
from .faults import Faults
from .late_commits import CommitGate
from .listening import ListenSession
from .messages import RequestPb, ResponsePb, ServicerContext
from .meter import Meter
from .read_requests import ReadRequests
from .refusal import Refusal
from .store import Store
from .transactions import Transactions
from .write_requests import WriteRequests

SERVICE_NAME = "google.firestore.v1.Firestore"

Unary = Callable[[RequestPb, ServicerContext], ResponsePb]
Streaming = Callable[[RequestPb], Iterator[ResponsePb]]


class FirestoreService:
    """The state outlives any one gRPC server, so that stopping and starting keeps the data."""

    def __init__(self, store: Store, meter: Meter, faults: Faults, gate: CommitGate) -> None:
        transactions = Transactions(store)
        self._store = store
        self._meter = meter
        self._faults = faults
        self._reads = ReadRequests(store, transactions, meter)
        self.writes = WriteRequests(store, transactions, meter, gate)
        self._sessions: set[ListenSession] = set()
        self._sessions_lock = threading.Lock()

    def handler(self) -> Any:
        """What a gRPC server needs to route requests here."""
        reads, writes = self._reads, self.writes
        unary: dict[str, tuple[Unary, Any]] = {
            "GetDocument": (_alone(reads.get_document), messages.GetDocumentRequest),
            "ListDocuments": (_alone(reads.list_documents), messages.ListDocumentsRequest),
            "ListCollectionIds": (
                _alone(reads.list_collection_ids),
                messages.ListCollectionIdsRequest,
            ),
            "Commit": (writes.commit, messages.CommitRequest),
            "BatchWrite": (writes.batch_write, messages.BatchWriteRequest),
            "CreateDocument": (writes.create_document, messages.CreateDocumentRequest),
            "UpdateDocument": (writes.update_document, messages.UpdateDocumentRequest),
            "DeleteDocument": (writes.delete_document, messages.DeleteDocumentRequest),
            "BeginTransaction": (
                _alone(writes.begin_transaction),
                messages.BeginTransactionRequest,
            ),
            "Rollback": (_alone(writes.rollback), messages.RollbackRequest),
        }
        streaming: dict[str, tuple[Streaming, Any]] = {
            "RunQuery": (reads.run_query, messages.RunQueryRequest),
            "RunAggregationQuery": (
                reads.run_aggregation_query,
                messages.RunAggregationQueryRequest,
            ),
            "BatchGetDocuments": (reads.batch_get_documents, messages.BatchGetDocumentsRequest),
        }
        handlers: dict[str, Any] = {
            "Listen": grpc.stream_stream_rpc_method_handler(
                self._listen,
                request_deserializer=messages.ListenRequest.FromString,
                response_serializer=_serialized,
            )
        }
        for method, (answer, request_class) in unary.items():
            handlers[method] = grpc.unary_unary_rpc_method_handler(
                self._unary(method, answer), request_class.FromString, _serialized
            )
        for method, (stream, request_class) in streaming.items():
            handlers[method] = grpc.unary_stream_rpc_method_handler(
                self._streaming(method, stream), request_class.FromString, _serialized
            )
        return grpc.method_handlers_generic_handler(SERVICE_NAME, handlers)

    def drop_listeners(self, code: grpc.StatusCode) -> None:
        with self._sessions_lock:
            sessions = list(self._sessions)
        for session in sessions:
            session.drop(code)

    def n_listeners(self) -> int:
        with self._sessions_lock:
            return len(self._sessions)

    def _unary(self, method: str, answer: Unary) -> Unary:
        def call(request: RequestPb, context: ServicerContext) -> ResponsePb:
            try:
                self._faults.before_request(method, context)
                return answer(request, context)
            except Refusal as refusal:
                context.abort(refusal.code, refusal.details)

        return call

    def _streaming(
        self, method: str, stream: Streaming
    ) -> Callable[[RequestPb, ServicerContext], Iterator[ResponsePb]]:
        def call(request: RequestPb, context: ServicerContext) -> Iterator[ResponsePb]:
            try:
                self._faults.before_request(method, context)
                yield from self._faults.along(method, stream(request), _carries_document)
            except Refusal as refusal:
                context.abort(refusal.code, refusal.details)

        return call

    def _listen(
        self, requests: Iterator[RequestPb], context: ServicerContext
    ) -> Iterator[ResponsePb]:
        session = ListenSession(self._store, self._meter)
        with self._sessions_lock:
            self._sessions.add(session)
        context.add_callback(session.close)
        threading.Thread(
            target=session.read_requests,
            args=(requests,),
            name="firestore-listen-requests",
            daemon=True,
        ).start()
        try:
            self._faults.before_request("Listen", context)
            yield from session.responses()
        except Refusal as refusal:
            context.abort(refusal.code, refusal.details)
        finally:
            with self._sessions_lock:
                self._sessions.discard(session)


def _alone(answer: Callable[[RequestPb], ResponsePb]) -> Unary:
    """Give a method that needs only the request the shape that gRPC calls."""
    return lambda request, _context: answer(request)


def _carries_document(response: ResponsePb) -> bool:
    """Whether a streamed answer is about a document: found, or looked up and missing."""
    set_fields = {field.name for field, _ in response.ListFields()}
    return not set_fields.isdisjoint({"document", "found", "missing"})


def _serialized(response: ResponsePb) -> bytes:
    return bytes(response.SerializeToString())
