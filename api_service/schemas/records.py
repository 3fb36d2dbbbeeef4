"""Records in, training data out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api_service.schemas.common import MODEL, Fields, Whole
from api_service.schemas.operation import Answer, Body, Operation, Query, Time


class Taken(msgspec.Struct, kw_only=True):
    """How many records were kept, on the disk; and why others were not."""

    model: str
    stream: str
    accepted: Whole
    new: Whole
    updated: Whole
    duplicates: Whole
    rejected: Whole
    reasons: list[Fields]
    received_at: Time


class Source(msgspec.Struct):
    model: str
    entity: str | None
    stream: str
    streams: list[str]
    since: Time
    exported_at: Time


class Records(msgspec.Struct, kw_only=True):
    records: list[Fields]
    total: Whole
    metadata: Source
    next: str | UnsetType = UNSET


class Collection(msgspec.Struct):
    collection: str
    n_records: Whole
    n_deleted: Whole
    n_entities: Whole
    oldest: Time | None
    newest: Time | None
    content_bytes: Whole


class FeedStatistics(msgspec.Struct):
    collections: list[Collection]
    total: Whole
    size_bytes: Whole
    retention_days: Whole


Days = Annotated[int, Meta(ge=1, le=3650)]
DAYS = Query("days", Days, "how far back; 90 by default")
SINCE = Query("since", Time, "from when on, instead of days")
FORMAT = Query("format", Literal["json"], "the only one there is")
MANY = Query("limit", Annotated[int, Meta(ge=1, le=10_000)], "how many at most")
STREAM = Query("stream", str, "of which stream of the model")
AFTER = Query(
    "after",
    Annotated[str, Meta(pattern="^[0-9]{1,18}:")],
    "the place of the last record of the page before, as `next` says",
)
TAKEN = {200: Answer(Taken, "at least one record was kept, or was known already")}

OPERATIONS: Mapping[str, Operation] = {
    "POST /models/<model>/records": Operation(
        "Records to learn from, on the disk before the answer.\n"
        "One record, a list of them, or {stream, records, deleted}.",
        TAKEN,
        query=(STREAM,),
        body=Body(dict[str, Any] | list[Any]),
        errors=(409, 429, 503),
    ),
    "GET /models/<model>/records": Operation(
        "What was sent, to train elsewhere; in pages.",
        {200: Answer(Records, "a page of records, oldest first")},
        query=(DAYS, SINCE, FORMAT, STREAM, MANY, AFTER),
        errors=(409, 503),
    ),
    "POST /feed/data": Operation(
        "Rows of servers (server_metrics), in any of several shapes.",
        TAKEN,
        query=(MODEL,),
        body=Body(dict[str, Any] | list[Any]),
        errors=(404, 409, 429, 503),
    ),
    "GET /feed/stats": Operation(
        "How much was sent.", {200: Answer(FeedStatistics, "by collection")}, errors=(503,)
    ),
}
