"""A real Prometheus as a source: node exporter's metrics, resets, gaps, failing expressions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from retrain_service.sources import open_source
from retrain_service.sources.base import Source
from retrain_service.sources.prometheus import source as prometheus
from shared.errors import SourceMisconfigured
from shared.records import Record, to_epoch_us
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings
from shared.workloads.server_metrics.records import Sample, SampleReader
from tests.support.prometheus_store import PrometheusStore

BEGIN = (datetime.now(UTC) - timedelta(hours=3)).replace(second=0, microsecond=0)
Opener = Callable[..., Source]
_names = count()


@pytest.fixture
def opened(prometheus_store: PrometheusStore) -> Iterator[Opener]:
    sources: list[Source] = []

    def _open(queries: dict[str, str] | None = None, **own: Any) -> Source:
        settings = SourceSettings(
            kind="prometheus", **{"url": prometheus_store.url, "lag_s": 0, "history_days": 1, **own}
        )
        stream = StreamSettings(collection="metrics", queries=queries or {})
        sources.append(open_source(settings, stream))
        return sources[-1]

    yield _open
    for source in sources:
        source.close()


@pytest.fixture
def metric() -> str:
    """A name that no other test has written under."""
    return f"gauge_{next(_names)}"


def written(store: PrometheusStore, name: str, values: list[float], **labels: str) -> None:
    """A value each 15 seconds from BEGIN on; None where nothing was scraped."""
    begin_ms = to_epoch_us(BEGIN) // 1000
    store.write(
        [
            (
                {"__name__": name, **labels},
                [(value, begin_ms + 15_000 * n) for n, value in enumerate(values)],
            )
        ]
    )


def read(source: Source, limit: int = 7) -> list[Record]:
    cursor, records = None, list[Record]()
    while True:
        batch = source.read_after(cursor, limit)
        records += batch.records
        cursor = batch.cursor
        if batch.is_last:
            return records


def test_node_exporter_s_metrics_are_read_without_a_query(
    prometheus_store: PrometheusStore, opened: Opener
) -> None:
    """A counter that begins anew after a restart of the server is no negative load."""
    n = 80
    idle = [3.0 * i if i < 40 else 3.0 * (i - 40) for i in range(n)]  # 3 of 15 seconds: 20 %
    for server in ("web-1:9100", "web-2:9100"):
        for cpu in ("0", "1"):
            written(
                prometheus_store, "node_cpu_seconds_total", idle,
                instance=server, cpu=cpu, mode="idle", job="node",
            )  # fmt: skip
        for name, value in (
            ("node_memory_MemTotal_bytes", 8e9),
            ("node_memory_MemAvailable_bytes", 2e9),
            ("node_load1", 1.5),
        ):
            written(prometheus_store, name, [value] * n, instance=server, job="node")
        for mount, fs, free in (
            ("/", "ext4", 40.0),
            ("/data", "xfs", 10.0),
            ("/run", "tmpfs", 1.0),
        ):
            labels = {"instance": server, "mountpoint": mount, "fstype": fs}
            written(prometheus_store, "node_filesystem_avail_bytes", [free] * n, **labels)
            written(prometheus_store, "node_filesystem_size_bytes", [100.0] * n, **labels)

    records = read(opened())
    whole = [record for record in records if "cpu" in record.fields and "disk" in record.fields]
    reader = SampleReader(("cpu", "memory", "disk", "load"))
    samples = [reader.read(record.fields) for record in whole]

    assert len(whole) >= 2 * 18
    assert [record.id for record in whole[:2]] == [
        f"{server}|{whole[0].fields['timestamp']}" for server in ("web-1:9100", "web-2:9100")
    ]
    for position, sample in enumerate(samples):
        assert isinstance(sample, Sample)
        # In its first five minutes a counter's rate is a guess of Prometheus.
        assert sample.values["cpu"] == pytest.approx(80, abs=3 if position >= 12 else 20)
        assert sample.values["memory"] == pytest.approx(75)
        assert sample.values["disk"] == pytest.approx(90)
        assert sample.values["load"] == 1.5


def test_what_is_no_number_is_no_value_and_a_gap_is_no_record(
    prometheus_store: PrometheusStore, opened: Opener, metric: str
) -> None:
    """A division by zero is NaN; a server that is down has no samples."""
    nan, infinite = math.nan, math.inf
    written(
        prometheus_store, metric, [5.0] * 4 + [nan] * 4 + [infinite] * 4 + [6.0] * 4, server="a"
    )
    written(prometheus_store, f"{metric}_b", [1.0] * 8, server="a")
    queries = {"load": metric, "cpu": f"{metric}_b"}
    source = opened(queries, server_label="server")

    records = read(source)

    minutes = [BEGIN + timedelta(minutes=n) for n in (0, 1, 3)]
    assert [record.updated_at for record in records] == minutes
    values = [{k: v for k, v in r.fields.items() if k in queries} for r in records]
    assert values == [{"load": 5.0, "cpu": 1.0}, {"cpu": 1.0}, {"load": 6.0}]
    found = source.inspect(2)
    assert [record.id for record in found.sample] == [record.id for record in records[:0:-1]]
    assert found.n_records >= 3


@pytest.mark.parametrize(
    ("query", "own", "expected"),
    [
        ("rate({m}", {}, r"metrics\): queries\.cpu: .*parse error"),
        ("sum({m})", {}, r"queries\.cpu: its series have no label 'instance' \(labels: none\)"),
        ("{m}", {"server_label": "host"}, "no label 'host' .labels: cpu, instance"),
        ("{m}", {}, r"two series belong to the server 'a' \(they differ in cpu\)"),
        (
            "{m}",
            {"path": "/nothing/here"},
            "expected an answer of Prometheus' API, found status 404",
        ),
        ("{m}", {"api_key_env": "HOTFIT_NO_SUCH_KEY"}, "HOTFIT_NO_SUCH_KEY is not set"),
    ],
)
def test_an_expression_that_cannot_work_is_said_with_its_field(
    prometheus_store: PrometheusStore,
    opened: Opener,
    metric: str,
    query: str,
    own: dict[str, str],
    expected: str,
) -> None:
    """Each asks for a person; the sentence says what to write."""
    for cpu in ("0", "1"):
        written(prometheus_store, metric, [1.0], instance="a", cpu=cpu)
    url = {"url": prometheus_store.url + own["path"]} if "path" in own else {}
    settings = {name: value for name, value in own.items() if name != "path"}

    with pytest.raises(SourceMisconfigured, match=expected):
        read(opened({"cpu": query.replace("{m}", metric)}, **settings, **url))


def test_a_server_that_refuses_long_ranges_is_asked_for_shorter_ones(
    prometheus_store: PrometheusStore, opened: Opener, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prometheus answers 11,000 points of a series at most, and others have bounds of their own."""
    monkeypatch.setattr(prometheus, "_FIRST_STEPS", 40_000)
    written(prometheus_store, metric, [1.0, 2.0], instance="a")

    records = read(opened({"load": metric}, step="1s"))

    assert [record.fields["load"] for record in records] == [1.0, 2.0]
