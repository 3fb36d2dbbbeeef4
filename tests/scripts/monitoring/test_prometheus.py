"""A real Prometheus scrapes a real API, and what it computes is what happened."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.support import prometheus
from tests.support.api_process import ApiHome, steady_load
from tests.support.pages import text_of
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not prometheus.is_there(), reason=prometheus.WHY_NOT),
]

ASKED = 'hotfit_requests_total{route="/models/<model>/predict"}'


def test_prometheus_computes_rates_that_stay_right_over_the_death_of_a_worker(
    tmp_path: Path,
) -> None:
    """What counts in the end is the number on the dashboard, of several workers, one dead."""
    home = ApiHome(tmp_path, workers=2)
    version = home.publish("m", 1)
    config = prometheus.shipped_config(tmp_path, target=f"127.0.0.1:{home.port}", every="200ms")
    with home.running(), prometheus.running_prometheus(tmp_path, config) as server:
        home.wait_until_served(version)
        wait_until(lambda: server.value('up{job="hotfit"}') == 1, 60, "the first scrape")

        with steady_load(home.port, connections=2) as load:
            wait_until(lambda: load.n_answered > 200, 30, "some answers")
            os.kill(min(home.worker_pids()), signal.SIGKILL)
            n_before = load.n_answered
            wait_until(lambda: load.n_answered > n_before + 500, 30, "more answers")
            wait_until(lambda: (server.value(f"sum(rate({ASKED}[3s]))") or 0) > 0, 60, "a rate")

        wait_until(lambda: server.value("hotfit_worker_deaths_total") == 1, 60, "the death")
        wait_until(lambda: server.value(f"sum(increase({ASKED}[1s]))") == 0, 60, "the last count")
        # A counter that fell would count as a restart, and its whole height once more.
        n_resets = server.value(f"sum(resets({ASKED}[1m]))")
        n_good = server.value(f'sum({ASKED[:-1]},status="200"}})') or 0
        n_predictions = server.value('sum(hotfit_predictions_total{model="m"})')
        quantile = "histogram_quantile(0.99, sum by (le) (hotfit_request_duration_seconds_bucket))"
        p99_s = server.value(quantile)
        assert n_resets == 0
        assert n_predictions == 2 * n_good
        # What the killed worker counted in its last second is lost, nothing else.
        assert 0.5 * load.n_answered < n_good <= load.n_answered + len(load.failures)
        assert p99_s is not None
        assert 0 < p99_s < 10
        assert server.value("hotfit_retrain_up") == 0


def test_prometheus_takes_every_query_of_the_dashboard(tmp_path: Path) -> None:
    """A panel with a mistake in its query only shows "No data"."""
    (tmp_path / "empty.yml").write_text("scrape_configs: []\n")
    dashboard = json.loads(text_of(prometheus.SHIPPED / "grafana-dashboard.json"))
    with prometheus.running_prometheus(tmp_path, tmp_path / "empty.yml") as server:
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"].replace("$__rate_interval", "5m")
                server.query(expression.replace("$instance", ".*").replace("$model", ".*"))
