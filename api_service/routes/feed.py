"""Records in, durable before the answer; training data out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec
from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from api_service.context import Context
from api_service.recording.ingest import Destination, RecordIngest
from api_service.schemas.requests import ExportQuery, RecordsQuery
from api_service.web.auth import needs, presented_key
from api_service.web.errors import problem
from api_service.web.json_body import json_response, read_value
from api_service.web.model_urls import model_route
from api_service.web.public_path import public_path
from api_service.web.query import LARGEST, as_time_utc, as_whole_number, query_as
from api_service.web.yield_lock import yield_lock
from shared.errors import NotReady, RequestInvalid
from shared.feed import database, reader
from shared.keys.api_keys import Role
from shared.records import to_epoch_us

_ROW_FIELDS = ("rows", "data", "records", "samples", "metrics")


def blueprint(context: Context) -> Blueprint:
    routes = Blueprint("feed", __name__)
    config = context.config.feed
    ingest = RecordIngest(config, context.clock)
    ingest.prepare()

    def take(to: Destination, rows: list[object], deleted: list[object]) -> ResponseReturnValue:
        answer = ingest.take(to, rows, deleted, _sender(), yield_lock(request.environ))
        n_rejected = answer["rejected"]
        if n_rejected and n_rejected == len(rows) + len(deleted):
            detail = f"none of the {n_rejected} records can be used: {answer['reasons'][0]}."
            return problem("none-accepted", "no record was accepted", 400, detail, **answer)
        return json_response(answer)

    @model_route(routes, "POST", "/records")
    @needs(Role.FEED)
    def add_records(model: str) -> ResponseReturnValue:
        body = read_value(request)
        rows, deleted, stream = _records_of(body)
        return take(ingest.destination(model, request.args.get("stream", stream)), rows, deleted)

    @routes.post("/feed/data")
    @needs(Role.FEED)
    def add_server_rows() -> ResponseReturnValue:
        to = ingest.windowed(request.args.get("model"))
        return take(to, list(_server_rows(read_value(request))), [])

    @model_route(routes, "GET", "/records")
    @needs(Role.FEED, on_loopback=False)
    def export_records(model: str) -> ResponseReturnValue:
        to = ingest.destination(model, request.args.get("stream"))
        return json_response(_export(context, to))

    @routes.get("/feed/stats")
    @needs(Role.FEED, on_loopback=False)
    def stats() -> ResponseReturnValue:
        with yield_lock(request.environ):  # it looks at every record
            found = reader.statistics(_path(context))
        answer = {
            "collections": [
                {"collection": name, **msgspec.to_builtins(one)} for name, one in found.items()
            ],
            "total": len(found),
            "size_bytes": database.size_bytes(_path(context)),
            "retention_days": config.retention_days,
        }
        return json_response(answer, is_for_people=True)

    return routes


def _sender() -> str:
    """Who is rate-limited: a key, else an address; never the key itself."""
    key = presented_key()
    return hashlib.sha256(key.encode()).hexdigest()[:16] if key else str(request.remote_addr)


def _path(context: Context) -> Any:
    path = context.config.feed.path
    if path is None:
        raise NotReady("no feed is configured.")
    return path


# -- in ------------------------------------------------------------------------------------------


def _records_of(body: object) -> tuple[list[object], list[object], str | None]:
    """(records, ids of deleted ones, stream): one record, a list of them, or an object of both."""
    if isinstance(body, list):
        return body, [], None
    if not isinstance(body, dict):
        raise RequestInvalid("a record, a list of records, or {records, deleted, stream}", body, "")
    is_envelope = isinstance(body.get("records"), list) or isinstance(body.get("deleted"), list)
    if not is_envelope:
        return [body], [], None
    for name in body:
        if name not in ("records", "deleted", "stream"):
            raise RequestInvalid("only 'records', 'deleted' and 'stream'", name, "body")
    rows, deleted, stream = body.get("records", []), body.get("deleted", []), body.get("stream")
    for name, value in (("records", rows), ("deleted", deleted)):
        if not isinstance(value, list):
            raise RequestInvalid("a list", value, name)
    if stream is not None and not isinstance(stream, str):
        raise RequestInvalid("the name of a stream", stream, "stream")
    return rows, deleted, stream


def _server_rows(body: object, server: str | None = None) -> Iterator[object]:
    """Rows out of a list, a row, {server, rows: […]}, {servers: {name: rows}} or a mix of these."""
    if isinstance(body, list):
        for one in body:
            yield from _server_rows(one, server)
    elif isinstance(body, dict) and isinstance(body.get("servers"), dict):
        for name, rows in body["servers"].items():
            yield from _server_rows(rows, name)
    elif isinstance(body, dict) and isinstance(body.get("servers"), list):
        yield from _server_rows(body["servers"], server)
    elif isinstance(body, dict) and (rows := _inner_rows(body)) is not None:
        named = next((body[n] for n in ("server", "host", "hostname") if n in body), server)
        yield from _server_rows(rows, named if isinstance(named, str) else server)
    elif isinstance(body, dict) and server is not None:
        yield {"server": server, **body}
    else:
        yield body


def _inner_rows(body: Mapping[str, Any]) -> list[object] | None:
    return next((body[n] for n in _ROW_FIELDS if isinstance(body.get(n), list)), None)


# -- out -----------------------------------------------------------------------------------------


def _export(context: Context, to: Destination) -> dict[str, Any]:
    """One page of what was fed; `next` carries the place of its last record."""
    query = query_as(request, RecordsQuery)
    since = begin_of(query, context.clock())
    found, total = reader.records_since(
        _path(context),
        to.kept_in.collection,
        since,
        entity=to.entity,
        after=place_argument("after"),
        limit=query.limit,
    )
    answer: dict[str, Any] = {
        "records": [exported(kept) for kept in found],
        "total": total,
        "metadata": {
            "model": to.model,
            "entity": to.entity,
            "stream": to.stream,
            "streams": [stream.name for stream in to.workload.streams],
            "since": since,
            "exported_at": context.clock(),
        },
    }
    if len(found) == query.limit:
        # `since` and not `days`: the pages of one export have one beginning.
        rest = {
            "since": since.isoformat(),
            "stream": to.stream,
            "limit": query.limit,
            "after": f"{to_epoch_us(found[-1].stamp)}:{found[-1].id}",
        }
        answer["next"] = public_path(f"{request.path}?{urlencode(rest)}")
    return answer


def begin_of(query: ExportQuery, now: datetime) -> datetime:
    """From when on an export asks for records, UTC."""
    if query.since is not None:
        return as_time_utc(query.since, "since")
    return now - timedelta(days=query.days)


def exported(kept: reader.KeptRecord) -> dict[str, Any]:
    """A record as it is sent out."""
    # Ours win: by them a reader pages on and tells a change from a repetition.
    return {**kept.fields, "id": kept.id, "received_at": kept.stamp}


def place_argument(name: str) -> tuple[int, str] | None:
    """The place of the last record of the page before: (stamp in microseconds, id).

    Raises:
        RequestInvalid: it is not what a page gave.
    """
    text = request.args.get(name)
    if text is None:
        return None
    stamp, colon, id_ = text.partition(":")
    stamp_us = as_whole_number(stamp)
    if not colon or stamp_us is None or stamp_us > LARGEST:
        raise RequestInvalid("what `next` of the page before says", text, name)
    return stamp_us, id_
