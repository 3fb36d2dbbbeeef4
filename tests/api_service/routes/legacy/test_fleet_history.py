"""Explanations and histories of servers, in the fields of the system before."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from pathlib import Path
from typing import Any

from shared.feed import reader
from shared.settings.streams import StreamSettings
from tests.api_service.conftest import NOW, Serving
from tests.api_service.routes.test_feed import client as client
from tests.api_service.routes.test_feed import fed, key, last_hour, limited, publish_metrics
from tests.api_service.routes.test_feed import serving as serving
from tests.support.versions import ServingHome

NORDIQ = {
    "status": "healthy", "cpu_user_pct": 20.0, "cpu_sys_pct": 8.2, "cpu_iowait_pct": 2.1,
    "cpu_idle_pct": 60.0, "java_cpu_pct": 15.5, "mem_used_pct": 72.1, "swap_used_pct": 5.2,
    "disk_usage_pct": 45.8, "net_in_mb_s": 12.5, "net_out_mb_s": 8.3, "back_close_wait": 5,
    "front_close_wait": 3, "load_average": 2.4, "uptime_days": 45,
}  # fmt: skip


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_server_is_explained_and_its_past_is_a_table(
    home: ServingHome, serving: Serving, client: Any
) -> None:
    """The numbers are the served model's own: shares of the risk, and what-if scores."""
    publish_metrics(home, 1)
    serving.tick()
    calm = last_hour("hot", 20, NOW - timedelta(hours=2))
    for rows in (calm, last_hour("hot", 99.5), last_hour("=1+1", 20)):
        assert client.post("/feed/data", json=rows, headers=key(serving)).status_code == 200

    found: Any = client.get("/explain/hot").json
    unknown = client.get("/explain/nobody")
    alerts: Any = client.get("/historical/export/alerts?time_range=8h").json
    environment = client.get("/historical/export/environment?format=csv")

    assert found["server_name"] == "hot"
    assert found["prediction"]["alert_level"] == "critical"
    assert found["shap"]["top_features"][0]["feature"] == "cpu"
    assert found["shap"]["top_features"][0]["importance"] == 1.0
    scores = [one["risk_score"] for one in found["counterfactuals"]]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < found["prediction"]["risk_score"]
    assert unknown.status_code == 404
    assert (alerts["success"], alerts["table"], alerts["time_range"]) == (True, "alerts", "8h")
    assert alerts["filename"].startswith("alerts_8h_")
    changes = [row for row in table(alerts["csv_data"]) if row["server_name"] == "hot"]
    assert changes[0]["event_type"] == "new"
    assert changes[-1]["new_level"] == "critical"
    assert environment.mimetype == "text/csv"
    moments = table(environment.get_data(as_text=True))
    assert (moments[-1]["total_servers"], moments[-1]["critical_count"]) == ("2", "1")
    assert client.get("/historical/export/users").status_code == 404
    assert client.get("/historical/export/alerts?time_range=2d").status_code == 400


def test_rows_of_16_columns_and_metricbeat_documents_are_fed_by_their_shapes(
    serving: Serving,
) -> None:
    """As their agents send them to POST /feed/data, unchanged but for one line of settings."""
    at = (NOW - timedelta(minutes=1)).isoformat()
    nordiq = {"records": [{"timestamp": at, "server_name": "ppdb001", **NORDIQ}]}
    beat = {"@timestamp": at, "host": {"name": "web1"}, "agent": {"type": "metricbeat"}}
    cpu, memory = {"cpu": {"total": {"norm": {"pct": 0.4}}}}, {"memory": {"used": {"pct": 0.5}}}
    beats = [
        {**beat, "metricset": {"name": name}, "system": part}
        for name, part in (("cpu", cpu), ("memory", memory))
    ]

    for shape, body, server, expected in (
        ("nordiq", nordiq, "ppdb001", {"cpu": 40.0, "memory": 72.1, "disk": 45.8, "load": 2.4}),
        ("metricbeat", beats, "web1", {"cpu": 40.0, "memory": 50.0}),
    ):
        fed_as = fed("server_metrics", metrics=StreamSettings(shape=shape, collection=shape))
        client = limited(serving, models={"metrics": fed_as})
        answer: Any = client.post("/feed/data", json=body, headers=key(serving)).json
        assert answer["rejected"] == 0, answer
        (sample,) = reader.windows(serving.config.feed.path or Path(), shape)[server]
        assert {name: sample[name] for name in expected} == expected
