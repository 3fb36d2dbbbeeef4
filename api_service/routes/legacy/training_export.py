"""Everything that a model was fed, all streams in one answer: `{products, interactions, metadata}`.

Not a blueprint of its own; feed.py exports stream by stream.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from flask import request
from flask.typing import ResponseReturnValue

from api_service.context import Context
from api_service.recording.ingest import RecordIngest
from api_service.routes.feed import begin_of, exported, place_argument
from api_service.schemas.requests import AllStreamsQuery
from api_service.web.json_body import json_response
from api_service.web.public_path import public_path
from api_service.web.query import query_as
from shared.errors import NotReady
from shared.feed import reader
from shared.records import to_epoch_us
from shared.workloads import open_workload

_ID_NAMES = ("product_id", "productId", "product", "item_id", "itemId")
_OWN_ID_NAMES = ("product_id", "productId", "id")


def export_all_streams(context: Context, model: str) -> ResponseReturnValue:
    """A page of each stream; `next` leads on while one of them has more.

    The ETag is of the records, not of the moment: what has not changed is answered with 304.

    Raises:
        StateConflict: the model is not fed through the API. NotReady: nothing was fed yet.
    """
    path = context.config.feed.path
    if path is None:
        raise NotReady("no feed is configured.")
    fed = context.config.feed.models[model]
    names = [stream.name for stream in open_workload(fed.workload, fed.parameters).streams]
    query = query_as(request, AllStreamsQuery, *(f"after_{name}" for name in names))
    limit, since = query.limit, begin_of(query, context.clock())
    ingest = RecordIngest(context.config.feed, context.clock)
    answer: dict[str, Any] = {}
    counts: dict[str, int] = {}
    # `since` and not `days`: the pages of one export have one beginning.
    following: dict[str, Any] = {"model": model, "since": since.isoformat(), "limit": limit}
    has_more = False
    for name in names:
        place, kept_in = place_argument(f"after_{name}"), ingest.destination(model, name).kept_in
        found, counts[name] = reader.records_since(
            path, kept_in.collection, since, after=place, limit=limit
        )
        answer[name] = [exported(kept) for kept in found]
        if found:
            place = (to_epoch_us(found[-1].stamp), found[-1].id)
        if place is not None:
            following[f"after_{name}"] = f"{place[0]}:{place[1]}"
        has_more = has_more or len(found) == limit
    if has_more:
        answer["next"] = public_path(f"{request.path}?{urlencode(following)}")
    if "products" in answer and "interactions" in answer:
        kept_in = ingest.destination(model, "interactions").kept_in
        totals = reader.totals_by(path, kept_in.collection, since, _ID_NAMES)
        answer["products"] = _with_aggregates(answer["products"], totals)
    etag = hashlib.sha256(msgspec.json.encode({n: answer[n] for n in names})).hexdigest()[:32]
    answer["metadata"] = {
        "model": model,
        "days": query.days,
        "since": since,
        "total": counts,
        "exported_at": context.clock(),
        **{f"total_{name}": n for name, n in counts.items()},
        "date_range_days": max((context.clock() - since).days, 0),
        "generated_at": context.clock(),
    }
    response = json_response(answer)
    response.set_etag(etag)
    return response.make_conditional(request)


def _with_aggregates(
    products: Sequence[Mapping[str, Any]], totals: Mapping[str, reader.Totals]
) -> list[dict[str, Any]]:
    """Products with what was counted of them; what a product says of itself stays."""
    found = []
    for product in products:
        names = (product.get(name) for name in _OWN_ID_NAMES)
        known = next((totals[str(one)] for one in names if str(one) in totals), reader.NOTHING)
        counted = {
            "interaction_count": known.n,
            "review_count": known.n_rated,
            "avg_rating": product.get("rating") if not known.n_rated else known.mean_rating,
        }
        found.append({**counted, **product})
    return found
