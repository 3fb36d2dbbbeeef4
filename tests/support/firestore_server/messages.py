"""Name the wire types of Firestore v1 as plain protobuf classes. Nothing but names.

The client library ships them wrapped; the server uses what is inside, because a wrapped
timestamp or a wrapped map costs more than the work done on it. The protobuf classes carry no
type stubs, so each name exists twice: ``DocumentPb`` to annotate with, ``Document`` to construct.
"""

from typing import Any, TypeAlias

from google.cloud.firestore_v1 import types

DocumentPb: TypeAlias = Any
ValuePb: TypeAlias = Any
FieldsPb: TypeAlias = Any  # the map of field name to ValuePb inside a document or a map value
MaskPb: TypeAlias = Any
WritePb: TypeAlias = Any
WriteResultPb: TypeAlias = Any
FieldTransformPb: TypeAlias = Any
StructuredQueryPb: TypeAlias = Any
FilterPb: TypeAlias = Any
TimestampPb: TypeAlias = Any
RequestPb: TypeAlias = Any
ResponsePb: TypeAlias = Any
ServicerContext: TypeAlias = Any


def _plain(wrapped: Any) -> Any:
    return wrapped.pb()


Document = _plain(types.Document)
Value = _plain(types.Value)
Write = _plain(types.Write)
WriteResult = _plain(types.WriteResult)
ListenResponse = _plain(types.ListenResponse)
TargetChange = _plain(types.TargetChange)
DocumentChange = _plain(types.DocumentChange)
DocumentDelete = _plain(types.DocumentDelete)
DocumentRemove = _plain(types.DocumentRemove)
AggregationResult = _plain(types.AggregationResult)
BatchGetDocumentsResponse = _plain(types.BatchGetDocumentsResponse)
BatchWriteResponse = _plain(types.BatchWriteResponse)
BeginTransactionResponse = _plain(types.BeginTransactionResponse)
CommitResponse = _plain(types.CommitResponse)
ListCollectionIdsResponse = _plain(types.ListCollectionIdsResponse)
ListDocumentsResponse = _plain(types.ListDocumentsResponse)
RunAggregationQueryResponse = _plain(types.RunAggregationQueryResponse)
RunQueryResponse = _plain(types.RunQueryResponse)

BatchGetDocumentsRequest = _plain(types.BatchGetDocumentsRequest)
BatchWriteRequest = _plain(types.BatchWriteRequest)
BeginTransactionRequest = _plain(types.BeginTransactionRequest)
CommitRequest = _plain(types.CommitRequest)
CreateDocumentRequest = _plain(types.CreateDocumentRequest)
DeleteDocumentRequest = _plain(types.DeleteDocumentRequest)
GetDocumentRequest = _plain(types.GetDocumentRequest)
ListCollectionIdsRequest = _plain(types.ListCollectionIdsRequest)
ListDocumentsRequest = _plain(types.ListDocumentsRequest)
ListenRequest = _plain(types.ListenRequest)
RollbackRequest = _plain(types.RollbackRequest)
RunAggregationQueryRequest = _plain(types.RunAggregationQueryRequest)
RunQueryRequest = _plain(types.RunQueryRequest)
UpdateDocumentRequest = _plain(types.UpdateDocumentRequest)

FieldOperator = types.StructuredQuery.FieldFilter.Operator
UnaryOperator = types.StructuredQuery.UnaryFilter.Operator
CompositeOperator = types.StructuredQuery.CompositeFilter.Operator
Direction = types.StructuredQuery.Direction
ServerValue = types.DocumentTransform.FieldTransform.ServerValue
TargetChangeType = types.TargetChange.TargetChangeType
