"""Documents in MongoDB, Elasticsearch and an HTTP export, mapped and narrowed by configuration."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymongo
import pytest
from bson import ObjectId
from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk

from tests.integration.cases.case_home import CaseHome
from tests.support.elasticsearch import ElasticsearchServer
from tests.support.export_server import ExportServer
from tests.support.mongodb import MongoServer

NOW = datetime.now(UTC).replace(microsecond=0)
N = 60
MODEL = """
[sources.shop]
{source}
lag_s = 0
page_size = 25
[models.m]
workload = "{workload}"
source = "shop"
[models.m.streams.{stream}]
{settings}
"""


def home(folder: Path, source: str, workload: str, stream: str, settings: str) -> CaseHome:
    folder.mkdir(exist_ok=True)
    text = MODEL.replace("{source}", source).replace("{workload}", workload)
    return CaseHome(folder, text.replace("{stream}", stream).replace("{settings}", settings))


MONGO_FIELDS = """
collection = "jobs"
updated_at_field = "meta.changed"
{part}
fields = { status = "state.code", date = "doneAt", name = "lines[].article.name", quantity = "n" }
words = { complete = [4] }
"""


@pytest.mark.parametrize(
    "part",
    [
        'filter = { shop = { "$oid" = "65e1a2b3c4d5e6f708192a3b" } }',
        'pipeline = [{ "$match" = { shop = { "$oid" = "65e1a2b3c4d5e6f708192a3b" } } }]',
    ],
)
def test_a_part_of_a_collection_is_read(
    tmp_path: Path, mongodb_server: MongoServer, part: str
) -> None:
    """One collection for all shops; the model of one learns from its own documents alone."""
    with pymongo.MongoClient[dict[str, Any]](mongodb_server.url) as client:
        jobs = client.get_default_database()["jobs"]
        jobs.drop()
        jobs.insert_many(
            {
                "shop": ObjectId(
                    "65e1a2b3c4d5e6f708192a3b" if n % 3 else "65e1a2b3c4d5e6f708192a3c"
                ),
                "state": {"code": 4 if n % 2 else 2, "label": "x"},
                "doneAt": NOW - timedelta(hours=14 * (N - n)),
                "lines": [{"article": {"name": "Oil filter"}}, {"article": {"name": "Seal"}}],
                "meta": {"changed": NOW - timedelta(hours=14 * (N - n))},
            }
            for n in range(N)
        )
    settings = MONGO_FIELDS.replace("{part}", part)
    settings = settings.replace('quantity = "n"', "quantity = { constant = 2 }")
    source = f'kind = "mongodb"\nurl = "{mongodb_server.url}"'

    read = home(tmp_path, source, "spare_parts", "appointments", settings).read("m")

    assert read.n_records["appointments"] == sum(n % 3 > 0 for n in range(N))
    assert read.n_usable == sum(n % 3 > 0 and n % 2 == 1 for n in range(N))
    assert set(read.rows.slices) == {"Oil filter", "Seal"}


def test_a_pipeline_that_would_write_is_refused(
    tmp_path: Path, mongodb_server: MongoServer
) -> None:
    """Hotfit only ever reads."""
    source = f'kind = "mongodb"\nurl = "{mongodb_server.url}"'
    settings = 'pipeline = [{ "$out" = "elsewhere" }]'

    checked = home(tmp_path, source, "spare_parts", "appointments", settings).check()

    assert checked.code != 0
    assert "pipeline: expected stages that read" in checked.everything


def test_metricbeat_documents_are_read_by_their_shape(
    tmp_path: Path, elasticsearch_server: ElasticsearchServer
) -> None:
    """A document for each metricset, nested, in fractions of 1; other modules are left out."""
    minutes, server = 90, {"host": {"name": "web-1"}}
    documents: list[dict[str, Any]] = []
    for n in range(minutes):
        at = (NOW - timedelta(minutes=minutes - n)).isoformat().replace("+00:00", "Z")
        for name, body in (
            ("cpu", {"cpu": {"total": {"pct": 12.0, "norm": {"pct": 0.5}}}}),
            ("memory", {"memory": {"total": 67_514_814_464, "actual": {"used": {"pct": 0.25}}}}),
            ("load", {"load": {"1": 1.5, "norm": {"1": 0.06}}}),
        ):
            inner = {"metricset": {"name": name}, "event": {"module": "system"}, "system": body}
            documents.append({"@timestamp": at, **server, **inner})
        documents.append({"@timestamp": at, **server, "event": {"module": "docker"}})
    with Elasticsearch(elasticsearch_server.url) as client:
        mapping = {
            "@timestamp": {"type": "date"},
            "event": {"properties": {"module": {"type": "keyword"}}},
        }
        client.indices.create(index="beats", mappings={"properties": mapping})
        bulk(client, ({"_index": "beats", **each} for each in documents), refresh=True)
    settings = """
    collection = "beats"
    updated_at_field = "@timestamp"
    shape = "metricbeat"
    filter = { term = { "event.module" = "system" } }
    """
    source = f'kind = "elasticsearch"\nurl = "{elasticsearch_server.url}"'

    plain = settings.replace('shape = "metricbeat"', "")
    place = home(tmp_path / "plain", source, "server_metrics", "metrics", plain)
    unmapped, told = place.read("m").found.health[0].sentence, place.check()
    read = home(tmp_path / "mapped", source, "server_metrics", "metrics", settings).read("m")
    with Elasticsearch(elasticsearch_server.url) as client:
        client.indices.delete(index="beats")

    assert 'look like metricbeat: set shape = "metricbeat"' in unmapped
    assert 'look like metricbeat: set shape = "metricbeat"' in told.everything
    assert read.n_records == {"metrics": 3 * minutes}
    assert read.n_usable == 3 * minutes
    bodies = [json.loads(body) for body in read.tables["metrics"].bodies]
    assert {body.get("cpu") for body in bodies} == {50.0, None}
    assert {body.get("memory") for body in bodies} == {25.0, None}
    assert {body.get("load") for body in bodies} == {1.5, None}


def test_the_list_of_an_answer_is_found_by_its_path(
    tmp_path: Path, export_server: ExportServer
) -> None:
    """An answer has the shape of its framework: here the edges of a graph."""
    edges = [
        {
            "node": {
                "no": n,
                "changed": (NOW - timedelta(hours=14 * (N - n))).isoformat(),
                "status": "SHIPPED" if n % 10 else "OPEN",
                "on": (NOW - timedelta(hours=14 * (N - n))).strftime("%d.%m.%Y"),
                "lines": [{"item": {"title": "Oil filter"}, "count": "1,5"}],
            }
        }
        for n in range(N)
    ]
    body = {"data": {"orders": {"edges": edges, "pageInfo": {"hasNextPage": False}}}}
    export_server.faults.body = json.dumps(body).encode()
    settings = """
    records_path = "data.orders.edges[].node"
    id_field = "no"
    updated_at_field = "changed"
    decimal = ","
    words = { complete = "shipped" }
    [models.m.streams.appointments.fields]
    date = { path = "on", format = "%d.%m.%Y" }
    name = "lines[].item.title"
    quantity = "lines[].count"
    """
    source = f'kind = "http_export"\nurl = "{export_server.url}"'
    place = home(tmp_path, source, "spare_parts", "appointments", settings)

    read = place.read("m")

    assert read.n_records["appointments"] == N
    assert read.n_usable == N - N // 10
    lines = [json.loads(body)["spareParts"] for body in read.tables["appointments"].bodies]
    assert lines == [[{"name": "Oil filter", "quantity": 1.5}]] * N
    assert set(read.rows.slices) == {"Oil filter"}
