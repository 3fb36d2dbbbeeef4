"""Console view of server metrics: each server's risk level with reasons, and one forecast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from api_service.console.charts.drawing import Picture
from api_service.console.charts.plots import Band, Bar, Series, bars, over_time
from api_service.console.formatting import figure, moment, several
from api_service.console.workload_views.base import Asked, Choice, Table, WorkView
from api_service.recording.ingest import RecordIngest
from shared.errors import NotReady
from shared.feed import reader

_KIND = {"healthy": "s3", "degraded": "s1", "warning": "s2", "critical": "s4"}
_MOST = 40


def view(asked: Asked) -> WorkView:
    context = asked.context
    path = context.config.feed.path
    if path is None or not path.exists():
        raise NotReady("no server has sent rows yet: POST /feed/data takes them.")
    ingest = RecordIngest(context.config.feed, context.clock)
    to = ingest.windowed(asked.live.manifest.model)
    windows = reader.windows(path, to.kept_in.collection)
    answer = asked.answer("fleet", {"windows": windows})
    servers = answer["servers"]
    if not servers:
        return WorkView("The fleet", "No server was heard of in the last day.")
    name = asked.one_of("server", [one["server"] for one in servers])
    server = next(one for one in servers if one["server"] == name)
    metrics = list(server["current"])
    metric = asked.one_of("metric", metrics)
    return WorkView(
        "The fleet",
        f"{several(len(servers), 'server')}; the worst is {servers[0]['server']}:"
        f" {servers[0]['alert_level']}, risk {servers[0]['risk_score']} of 100.",
        pictures=[
            _risks(servers[:_MOST]),
            _forecast(server, metric, windows.get(name) or []),
        ],
        tables=[_table(servers[:_MOST])],
        choices=[
            Choice("server", "Server", name, [one["server"] for one in servers]),
            Choice("metric", "Metric", metric, metrics),
        ],
    )


def _risks(servers: Sequence[Mapping[str, Any]]) -> Picture:
    found = {one["alert_level"] for one in servers}
    return bars(
        "risk",
        "Risk score of each server",
        "0 to 100, worst first; 50 is degraded, 60 warning, 80 critical.",
        [
            Bar(
                one["server"],
                [(one["risk_score"], _KIND[one["alert_level"]], one["alert_level"])],
                f"{one['risk_score']:g} {one['alert_level']}",
            )
            for one in servers
        ],
        unit="risk score",
        high=100.0,
        legend=[(f"k-{kind} m-area", level) for level, kind in _KIND.items() if level in found],
        columns=["server", "risk", "level"],
        rows=[[one["server"], figure(one["risk_score"]), one["alert_level"]] for one in servers],
    )


def _forecast(
    server: Mapping[str, Any], metric: str, samples: Sequence[Mapping[str, float]]
) -> Picture:
    past = [(row["at"], row[metric]) for row in samples if metric in row]
    steps = [
        (datetime.fromisoformat(one["at"]).timestamp(), one[metric])
        for one in server["forecast"]
        if metric in one
    ]
    now = [(past[-1][0], past[-1][1])] if past else []
    band = [(at, value, value) for at, value in now]
    band += [(at, one["low"], one["high"]) for at, one in steps]
    return over_time(
        "fleet",
        f"{metric} of {server['server']}",
        f"The last hour and the next; now {figure(server['current'][metric])}.",
        [
            Series("measured", "s1", past, mark="none"),
            Series("expected", "s2", [*now, *((at, one["expected"]) for at, one in steps)]),
        ],
        unit=metric,
        bands=[Band("eight of ten values", band)],
        columns=["at, UTC", "low", "expected", "high"],
        rows=[
            [
                moment(one["at"]),
                *(figure(one[metric][edge]) for edge in ("low", "expected", "high")),
            ]
            for one in server["forecast"]
            if metric in one
        ],
    )


def _table(servers: Sequence[Mapping[str, Any]]) -> Table:
    return Table(
        "Servers, worst first",
        [
            ("server", False),
            ("level", False),
            ("risk", True),
            ("last heard, UTC", False),
            ("why", False),
        ],
        [
            [
                one["server"],
                one["alert_level"],
                figure(one["risk_score"]),
                moment(one["last_seen_at"]),
                "; ".join(one["reasons"]) or "nothing to say",
            ]
            for one in servers
        ],
    )
