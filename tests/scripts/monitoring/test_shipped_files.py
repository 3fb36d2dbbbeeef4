"""What we ship for Prometheus and Grafana is valid, is documented, and names what exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from itertools import combinations
from typing import Any

import pytest

from api_service.metrics.catalogue import METRICS, SERVING, TRAINING
from tests.support.pages import ROOT, anchors, section, table_rows, text_of
from tests.support.prometheus import SHIPPED

PAGE = ROOT / "docs" / "monitoring.md"
RULES, RULE_TESTS = SHIPPED / "alerts.yml", SHIPPED / "alerts_test.yml"
ALERTS = re.findall(r"^ +- alert: (\w+)$", text_of(RULES), re.MULTILINE)


def run(*command: str) -> None:
    """Run a tool over our files; what it complains of is the failure."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed (Debian: prometheus, prometheus-alertmanager)")
    done = subprocess.run(command, cwd=SHIPPED, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_configuration_and_the_rules() -> None:
    """A wrong rule file keeps Prometheus from starting."""
    run("promtool", "check", "config", "--lint-fatal", "prometheus.yml")
    run("promtool", "check", "rules", "--lint-fatal", "alerts.yml")


def test_every_alert_fires_when_it_should_and_stays_quiet_when_it_nearly_should() -> None:
    """By Prometheus' own engine, over made-up series."""
    run("promtool", "test", "rules", "alerts_test.yml")


def test_the_alert_manager_takes_its_configuration() -> None:
    """It is an example that people copy."""
    run("amtool", "check-config", "alertmanager.yml")


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_test_that_fires_and_one_that_does_not(alert: str) -> None:
    """An alert that never fired may be one that cannot."""
    tests = re.findall(
        rf"alertname: {alert}\n +exp_alerts:( \[\])?", text_of(RULE_TESTS), re.MULTILINE
    )

    assert sorted(bool(is_quiet) for is_quiet in tests) == [False, True]


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_says_what_is_wrong_what_to_do_and_where_to_read_more(alert: str) -> None:
    """Whoever is woken by it has not read the documentation."""
    rule = re.search(rf"- alert: {alert}\n(.*?)(?=\n\n|\Z)", text_of(RULES), re.DOTALL)
    assert rule is not None

    for name in ("severity", "summary", "description"):
        assert re.search(rf"^ +{name}: \S+", rule[1], re.MULTILINE), name
    assert f"runbook: docs/monitoring.md#{alert.lower()}" in rule[1]
    assert alert.lower() in anchors(PAGE)


def test_the_page_explains_the_alerts_that_there_are() -> None:
    """And no other, with the expression that is evaluated."""
    explained = re.findall(r"^### (\w+)\n\n\w+: `(.+?)`", section(PAGE, "## Alerts"), re.MULTILINE)
    shipped = re.findall(r"- alert: (\w+)\n +expr: '(.+)'\n", text_of(RULES))

    assert explained == shipped


@pytest.mark.parametrize(
    ("heading", "specs"),
    [("## Metrics of serving", SERVING), ("## Metrics of training", TRAINING)],
    ids=["serving", "training"],
)
def test_the_page_lists_every_metric_as_the_code_has_it(heading: str, specs: Any) -> None:
    """A metric that is not documented is a number without a meaning."""
    documented = table_rows(section(PAGE, heading))

    assert documented == [
        [f"`{name}`", spec.kind, ", ".join(f"`{each}`" for each in spec.labels), spec.help]
        for name, spec in specs.items()
    ]


def names_in(text: str) -> set[str]:
    """The metrics that a text names, without the parts of histograms."""
    found = set(re.findall(r"\bhotfit_\w+", text))
    stems = {re.sub(r"_(bucket|sum|count)$", "", name): name for name in found}
    return {stem if stem in METRICS else name for stem, name in stems.items()}


@pytest.mark.parametrize("name", ["alerts.yml", "alerts_test.yml", "grafana-dashboard.json"])
def test_files_name_only_metrics_that_exist(name: str) -> None:
    """A rule over a metric that was renamed never fires, and nobody notices."""
    assert names_in(text_of(SHIPPED / name)) <= set(METRICS)


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text_of(SHIPPED / "grafana-dashboard.json"))
    return found


def test_the_dashboard_shows_every_metric() -> None:
    """What is measured can be seen."""
    assert names_in(text_of(SHIPPED / "grafana-dashboard.json")) == set(METRICS)


def test_the_dashboard_has_what_grafana_needs() -> None:
    """Grafana imports it without asking: each panel with a place, a source and a query."""
    found, panels = dashboard(), dashboard()["panels"]
    known = {variable["name"] for variable in found["templating"]["list"]}

    assert found["uid"] == "hotfit"
    assert found["schemaVersion"] >= 36
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["title"]
        if panel["type"] == "row":
            continue
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            used = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval"}
            assert used <= known, target["expr"]


def test_panels_of_the_dashboard_do_not_cover_each_other() -> None:
    """Grafana would move them about."""
    places = [panel["gridPos"] for panel in dashboard()["panels"]]

    for one, other in combinations(places, 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        is_below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert is_beside or is_below, (one, other)
    assert all(place["x"] + place["w"] <= 24 for place in places)
