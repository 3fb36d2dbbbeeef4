"""Explanations and histories of servers, in the fields that existing clients read.

A history is made when it is asked for: what the serving version says of the rows that were there
at each of some moments. Nothing of it is kept.
"""

from __future__ import annotations

import csv
import io
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from flask import Response, request
from flask.typing import ResponseReturnValue

from api_service.context import Context, ask, computing
from api_service.recording.ingest import Destination, RecordIngest
from api_service.schemas.requests import HistoryQuery, ModelQuery
from api_service.web.json_body import json_response
from api_service.web.query import query_as
from shared.errors import NotFound, RequestInvalid
from shared.feed import reader
from shared.feed.window import FORGOTTEN_AFTER_US, samples_of
from shared.workloads.training import Admitted

TIME_RANGES: Mapping[str, timedelta] = {
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "8h": timedelta(hours=8),
    "1d": timedelta(days=1),
    "1w": timedelta(days=7),
    "1M": timedelta(days=30),
}
TABLES = ("alerts", "environment")
_MOMENTS = 24
_MOST_RECORDS = 200_000
_FORGOTTEN_AFTER_S = FORGOTTEN_AFTER_US / 1_000_000
_HEALTHY = "healthy"
_RANK = (_HEALTHY, "degraded", "warning", "critical")
_STARS = 5
_ENVIRONMENT = (
    "timestamp", "total_servers", "critical_count", "warning_count", "degraded_count",
    "healthy_count", "fleet_health",
)  # fmt: skip
_ALERTS = (
    "timestamp", "server_name", "event_type", "previous_level", "new_level", "risk_score",
)  # fmt: skip

Windows = Mapping[str, Sequence[Mapping[str, float]]]


def explain_server(context: Context, server: str) -> ResponseReturnValue:
    """What drives the risk of one server, and what would lower it."""
    query_as(request, ModelQuery)
    to = _destination(context)
    rows = _windows(context, to).get(server)
    if not rows:
        raise NotFound(f"no rows of a server {server!r} in the last day.")
    slot = context.table.slot(to.model)
    answer = ask(context, slot, "explain", {"windows": {server: rows}})
    return json_response(_explanation(answer), is_for_people=True)


def export_history(context: Context, table: str) -> ResponseReturnValue:
    """A table of the past as CSV: in JSON, or bare where `format=csv` or Accept asks for it."""
    query = query_as(request, HistoryQuery)
    if table not in TABLES:
        raise NotFound(f"no table {table!r}; there are {' and '.join(TABLES)}.")
    to, now = _destination(context), context.clock()
    moments = _moments(context, to, now, TIME_RANGES[query.time_range])
    names = _ALERTS if table == "alerts" else _ENVIRONMENT
    rows = _alerts(moments) if table == "alerts" else map(_environment, moments)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    filename = f"{table}_{query.time_range}_{now:%Y%m%d_%H%M%S}.csv"
    if query.format == "csv" or request.accept_mimetypes.best == "text/csv":
        headers = {"Content-Disposition": f'attachment; filename="{filename}"'}
        return Response(text.getvalue(), mimetype="text/csv", headers=headers)
    answer = {
        "success": True,
        "table": table,
        "time_range": query.time_range,
        "csv_data": text.getvalue(),
        "filename": filename,
    }
    return json_response(answer, is_for_people=True)


def _destination(context: Context) -> Destination:
    return RecordIngest(context.config.feed, context.clock).windowed(request.args.get("model"))


def _windows(context: Context, to: Destination) -> Windows:
    path = context.config.feed.path
    return reader.windows(path, to.kept_in.collection) if path and path.exists() else {}


def _samples(context: Context, to: Destination, since: datetime) -> Windows:
    """Server -> its samples since then, oldest first, one a minute.

    Raises:
        RequestInvalid: there are too many.
    """
    path, window = context.config.feed.path, to.workload.window_of(to.stream)
    if path is None or not path.exists() or window is None:
        return {}
    collection = to.kept_in.collection
    found, total = reader.records_since(path, collection, since, limit=_MOST_RECORDS)
    if total > _MOST_RECORDS:
        expected = f"a time range in which at most {_MOST_RECORDS} rows came"
        raise RequestInvalid(expected, f"{total} rows", "time_range")
    judged = (to.workload.admit(to.stream, kept.fields, kept.stamp) for kept in found)
    admitted = [one for one in judged if isinstance(one, Admitted)]
    samples: dict[str, list[dict[str, float]]] = {}
    for (server, _), (_, body) in sorted(samples_of(admitted, window).items()):
        samples.setdefault(server, []).append(msgspec.json.decode(body))
    return samples


def _moments(
    context: Context, to: Destination, now: datetime, reach: timedelta
) -> Iterator[Mapping[str, Any]]:
    """The fleet at evenly spaced moments, oldest first, from the first row on."""
    live, window = context.table.slot(to.model).require(), to.workload.window_of(to.stream)
    assert window is not None, "`windowed` gave one"
    samples = _samples(context, to, now - reach - timedelta(seconds=window.n_slots * window.slot_s))
    times = {server: [row["at"] for row in rows] for server, rows in samples.items()}
    first = min((of_one[0] for of_one in times.values()), default=now.timestamp())
    begin = max((now - reach).timestamp(), first)
    for n in range(1, _MOMENTS + 1):
        at_s = begin + n * (now.timestamp() - begin) / _MOMENTS
        windows = {}
        for server, rows in samples.items():
            end = bisect_right(times[server], at_s)
            if end and times[server][end - 1] > at_s - _FORGOTTEN_AFTER_S:
                windows[server] = rows[max(end - window.n_slots, 0) : end]
        moment = datetime.fromtimestamp(at_s, UTC)
        with computing():  # of the past: neither counted nor logged as a prediction
            answer = live.answerer.answer("fleet", {"windows": windows}, moment)
        yield answer


def _environment(fleet: Mapping[str, Any]) -> dict[str, Any]:
    """fleet_health : 100 less the mean risk score."""
    counts = fleet["fleet"]
    return {
        "timestamp": fleet["generated_at"],
        "total_servers": counts["total_servers"],
        **{f"{level}_count": counts[level] for level in _RANK},
        "fleet_health": round(100 - counts["mean_risk_score"], 1),
    }


def _alerts(moments: Iterator[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each change of a server's level."""
    levels: dict[str, str] = {}
    for fleet in moments:
        for server in fleet["servers"]:
            before = levels.get(server["server"], _HEALTHY)
            after = levels[server["server"]] = server["alert_level"]
            if after == before:
                continue
            is_worse = _RANK.index(after) > _RANK.index(before)
            event = "resolved" if after == _HEALTHY else "escalated" if is_worse else "improved"
            yield {
                "timestamp": fleet["generated_at"],
                "server_name": server["server"],
                "event_type": "new" if before == _HEALTHY else event,
                "previous_level": before,
                "new_level": after,
                "risk_score": server["risk_score"],
            }


def _cell(value: object) -> object:
    """A spreadsheet must not take a server's name for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" else value


def _explanation(answer: Mapping[str, Any]) -> dict[str, Any]:
    """importance : a metric's share of the scores of all metrics, 0 to 1."""
    (server,) = answer["servers"]
    scores: Mapping[str, float] = server["scores"]
    total = sum(scores.values()) or 1.0
    features = [
        {
            "feature": metric,
            "metric": metric,
            "importance": round(score / total, 3),
            "risk_score": round(score, 1),
            "stars": _stars(score),
        }
        for metric, score in sorted(scores.items(), key=lambda item: -item[1])
    ]
    before = server["risk_score"]
    return {
        **{name: answer[name] for name in answer if name not in ("servers", "generated_at")},
        "server_name": server["server"],
        "timestamp": answer["generated_at"],
        "prediction": {"risk_score": before, "alert_level": server["alert_level"]},
        "shap": {"top_features": features, "feature_importance": features},
        "attention": {
            "focus_periods": ["the last hour"],
            "analysis": "; ".join(server["reasons"]) or "no metric comes near its limit.",
        },
        "counterfactuals": [
            {
                "scenario": f"{one['metric']} lower by {one['lower_by']:g}",
                "impact": f"the risk score goes from {before:g} to {one['risk_score']:g}",
                "risk_score": one["risk_score"],
            }
            for one in server["changes"]
        ],
    }


def _stars(score: float) -> str:
    full = min(_STARS, max(1, round(score / 100 * _STARS)))
    return "★" * full + "☆" * (_STARS - full)
