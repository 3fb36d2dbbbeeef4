"""Server metrics: the forecast of each server, and what needs somebody's attention now."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from api_service.context import Context, ask
from api_service.recording.ingest import RecordIngest
from api_service.schemas.requests import AlertsPage, ServerQuery
from api_service.web.json_body import json_response
from api_service.web.query import query_as
from shared.errors import NotFound
from shared.feed import reader


def blueprint(context: Context) -> Blueprint:
    routes = Blueprint("fleet", __name__)
    ingest = RecordIngest(context.config.feed, context.clock)

    def fleet(**more: Any) -> dict[str, Any]:
        """One answer for all servers, by one version, from the windows as they are now."""
        to = ingest.windowed(request.args.get("model"))
        path = context.config.feed.path
        windows: dict[str, Any] = {}
        if path is not None and path.exists():
            windows = reader.windows(path, to.kept_in.collection)
        slot = context.table.slot(to.model)
        return ask(context, slot, "fleet", {"windows": windows, **more})

    @routes.get("/predictions/current")
    def predictions() -> ResponseReturnValue:
        query = query_as(request, ServerQuery)
        named = query.server
        answer = fleet(band=query.band)
        if named is not None:
            answer["servers"] = [one for one in answer["servers"] if one["server"] == named]
            if not answer["servers"]:
                raise NotFound(f"no rows of a server {named!r} in the last day.")
        return json_response({**answer, "total": len(answer["servers"])})

    @routes.get("/alerts/active")
    def alerts() -> ResponseReturnValue:
        page = query_as(request, AlertsPage)
        answer = fleet()
        found = [
            {name: one[name] for name in one if name != "forecast"}
            for one in answer.pop("servers")
            if one["alert_level"] != "healthy" and page.level in (None, one["alert_level"])
        ]
        return json_response({**answer, **page.answer("alerts", page.of_items(found), len(found))})

    return routes
