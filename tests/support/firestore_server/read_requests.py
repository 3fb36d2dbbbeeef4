"""Answer queries, aggregations, lookups and lists, and bill them. Knows nothing of gRPC."""

from collections.abc import Iterator
from dataclasses import dataclass

from .aggregations import aggregate, entries_matched, with_all_fields
from .messages import (
    BatchGetDocumentsResponse,
    Document,
    DocumentPb,
    ListCollectionIdsResponse,
    ListDocumentsResponse,
    RequestPb,
    ResponsePb,
    RunAggregationQueryResponse,
    RunQueryResponse,
)
from .meter import Meter, aggregation_reads
from .queries import CompiledQuery, Matches, compile_query, shown
from .refusal import invalid, not_found, unimplemented
from .store import Store, collection_id_of
from .timeline import us_from_pb, us_to_pb
from .transactions import Transactions
from .values import masked

NO_COLLECTION = "*"
"""Where the meter books a read that belongs to no single collection."""

DEFAULT_PAGE_SIZE = 300


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one request sees. `new_transaction` is set when the request began one."""

    at_us: int
    transaction: bytes = b""
    new_transaction: bytes = b""


class ReadRequests:
    def __init__(self, store: Store, transactions: Transactions, meter: Meter) -> None:
        self._store = store
        self._transactions = transactions
        self._meter = meter

    def run_query(self, request: RequestPb) -> Iterator[ResponsePb]:
        """One message for each document; one with only the read time when there is none.

        A document is billed as it is sent, so a broken stream bills what it delivered.
        """
        query = _compiled(request, request.structured_query)
        snapshot = self._snapshot(request)
        matches = self._matches(query, snapshot)
        read_time = us_to_pb(snapshot.at_us)
        self._meter.bill_reads(query.collection_id or NO_COLLECTION, matches.n_skipped)
        if snapshot.new_transaction:
            yield RunQueryResponse(transaction=snapshot.new_transaction)
        if not matches.documents:
            if not matches.n_skipped:
                self._meter.bill_reads(query.collection_id or NO_COLLECTION, 1)
            yield RunQueryResponse(
                read_time=read_time, skipped_results=matches.n_skipped, done=True
            )
        for index, document in enumerate(matches.documents):
            self._meter.bill_reads(collection_id_of(document.name), 1)
            response = RunQueryResponse(document=shown(query, document), read_time=read_time)
            if index == 0:
                response.skipped_results = matches.n_skipped
            if index == len(matches.documents) - 1:
                response.done = True
            yield response

    def run_aggregation_query(self, request: RequestPb) -> Iterator[ResponsePb]:
        aggregation_query = request.structured_aggregation_query
        query = _compiled(request, aggregation_query.structured_query)
        snapshot = self._snapshot(request)
        matches = self._matches(query, snapshot)
        aggregations = aggregation_query.aggregations
        documents = with_all_fields(aggregations, matches.documents)
        result = aggregate(aggregations, documents)
        n_entries = entries_matched(aggregations, len(documents)) + matches.n_skipped
        self._meter.bill_reads(query.collection_id or NO_COLLECTION, aggregation_reads(n_entries))
        yield RunAggregationQueryResponse(
            result=result,
            read_time=us_to_pb(snapshot.at_us),
            transaction=snapshot.new_transaction,
        )

    def get_document(self, request: RequestPb) -> DocumentPb:
        document = self._looked_up(request.name, self._snapshot(request))
        if document is None:
            raise not_found(f"Document {request.name!r} not found.")
        return masked(document, request.mask) if request.HasField("mask") else document

    def batch_get_documents(self, request: RequestPb) -> Iterator[ResponsePb]:
        snapshot = self._snapshot(request)
        read_time = us_to_pb(snapshot.at_us)
        if snapshot.new_transaction:
            yield BatchGetDocumentsResponse(transaction=snapshot.new_transaction)
        for name in dict.fromkeys(request.documents):
            document = self._looked_up(name, snapshot)
            if document is None:
                yield BatchGetDocumentsResponse(missing=name, read_time=read_time)
            elif request.HasField("mask"):
                found = masked(document, request.mask)
                yield BatchGetDocumentsResponse(found=found, read_time=read_time)
            else:
                yield BatchGetDocumentsResponse(found=document, read_time=read_time)

    def list_documents(self, request: RequestPb) -> ResponsePb:
        """A page by name; a missing document is listed by name only, where that was asked for."""
        if request.order_by not in ("", "__name__", "__name__ asc"):
            raise unimplemented(f"ListDocuments orders by __name__ only, found {request.order_by}")
        snapshot = self._snapshot(request)
        collection = f"{request.parent}/{request.collection_id}"
        names = self._store.names(collection, snapshot.at_us, with_missing=request.show_missing)
        page, next_token = _page(names, request)
        self._meter.bill_reads(request.collection_id, max(1, len(page)))
        documents = []
        for name in page:
            document = self._store.get(name, snapshot.at_us)
            if document is None:
                document = Document(name=name)
            documents.append(
                masked(document, request.mask) if request.HasField("mask") else document
            )
        return ListDocumentsResponse(documents=documents, next_page_token=next_token)

    def list_collection_ids(self, request: RequestPb) -> ResponsePb:
        at_us = self._store.read_us()
        if request.HasField("read_time"):
            at_us = self._store.past_read_us(us_from_pb(request.read_time))
        page, next_token = _page(self._store.collection_ids(request.parent, at_us), request)
        self._meter.bill_reads(NO_COLLECTION, 1)
        return ListCollectionIdsResponse(collection_ids=page, next_page_token=next_token)

    def _snapshot(self, request: RequestPb) -> Snapshot:
        match request.WhichOneof("consistency_selector"):
            case "transaction" if request.transaction:
                transaction = request.transaction
                return Snapshot(self._transactions.read_us(transaction), transaction)
            case "new_transaction":
                transaction = self._transactions.begin(request.new_transaction)
                at_us = self._transactions.read_us(transaction)
                return Snapshot(at_us, transaction, new_transaction=transaction)
            case "read_time":
                return Snapshot(self._store.past_read_us(us_from_pb(request.read_time)))
        return Snapshot(self._store.read_us())

    def _matches(self, query: CompiledQuery, snapshot: Snapshot) -> Matches:
        matches = self._store.query(query, snapshot.at_us)
        if snapshot.transaction:
            self._transactions.note_query(snapshot.transaction, query, matches)
        return matches

    def _looked_up(self, name: str, snapshot: Snapshot) -> DocumentPb | None:
        document = self._store.get(name, snapshot.at_us)
        self._meter.bill_reads(collection_id_of(name), 1)
        if snapshot.transaction:
            self._transactions.note_document(snapshot.transaction, name, document)
        return document


def _compiled(request: RequestPb, structured_query: RequestPb) -> CompiledQuery:
    if request.HasField("explain_options"):
        raise unimplemented("query explain is not part of this server")
    return compile_query(request.parent, structured_query)


def _page(names: list[str], request: RequestPb) -> tuple[list[str], str]:
    """The names behind the page token, and the token of the next page ("" on the last one)."""
    if request.page_size < 0:
        raise invalid(f"page_size must not be negative, found {request.page_size}")
    rest = [name for name in names if name.encode() > request.page_token.encode()]
    page = rest[: request.page_size or DEFAULT_PAGE_SIZE]
    return page, page[-1] if len(page) < len(rest) else ""
