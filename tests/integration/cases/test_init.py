"""`init` writes a configuration for a shop that nobody has described, in four kinds of place."""

from __future__ import annotations

import csv
import math
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk
from google.cloud import firestore

from tests.integration.cases.case_home import CaseHome
from tests.support.elasticsearch import ElasticsearchServer
from tests.support.export_server import ExportServer
from tests.support.firestore_server import FirestoreServer
from tests.support.mariadb import MariadbServer
from tests.support.mongodb import MongoServer
from tests.support.postgres import PostgresServer
from tests.support.prometheus_store import PrometheusStore

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)

SHOP = """
DROP SCHEMA IF EXISTS byo CASCADE; CREATE SCHEMA byo; SET search_path = byo;
DROP TYPE IF EXISTS state; CREATE TYPE state AS ENUM ('OPEN', 'DONE', 'CANCELLED');
CREATE TABLE "WorkOrder" ("id" uuid PRIMARY KEY DEFAULT gen_random_uuid(), "state" state,
    "finishedOn" date, slot tstzrange, "createdAt" timestamp(3), "updatedAt" timestamp(3));
CREATE TABLE "WorkOrderLine" (order_id uuid, line_no int, label text, qty numeric(8,2),
    PRIMARY KEY (order_id, line_no));
CREATE TABLE bookings (no serial PRIMARY KEY, booked_for timestamptz, finished boolean,
    parts text[]);
CREATE TABLE "Product" ("id" uuid PRIMARY KEY DEFAULT gen_random_uuid(), "title" text,
    "unitPrice" numeric(10,2), "isPublished" boolean, "Category" text, "updatedAt" timestamp(3),
    cost money, dims jsonb, tags text[]);
CREATE TABLE order_items (order_no bigint, position int, buyer uuid, product uuid,
    ordered_at timestamptz, PRIMARY KEY (order_no, position));
CREATE TABLE host_stats (host text, taken_at timestamptz, cpu_pct real, mem_pct real, fs_pct real,
    PRIMARY KEY (host, taken_at));
CREATE TABLE inverter_log (inverter int, ts bigint, pac numeric, vdc numeric, state text,
    PRIMARY KEY (inverter, ts));
INSERT INTO "WorkOrder" ("state", "finishedOn", "createdAt", "updatedAt")
    SELECT 'DONE', at::date, at, at
    FROM (SELECT now() - g * interval '8 hours' AS at FROM generate_series(1, 240) g) t;
INSERT INTO "WorkOrderLine" SELECT "id", p.n, p.l, 2
    FROM "WorkOrder", (VALUES (1, 'Oil filter'), (2, 'Seal')) p(n, l);
INSERT INTO bookings (booked_for, finished, parts)
    SELECT now() - g * interval '8 hours', true, array['Oil filter'] FROM generate_series(1, 60) g;
INSERT INTO "Product" ("title", "unitPrice", "isPublished", "Category", "updatedAt", cost, tags)
    SELECT (array['Green','Black','White'])[1 + g % 3] || ' tea ' || g, g + 0.5, g % 10 > 0,
    'c' || g % 5, now() - g * interval '1 hour', '1,234.50', array['a', 'b']
    FROM generate_series(1, 80) g;
INSERT INTO order_items SELECT g, 1, gen_random_uuid(),
    (SELECT "id" FROM "Product" ORDER BY md5("id"::text || g::text) LIMIT 1),
    now() - g * interval '1 hour' FROM generate_series(1, 600) g;
INSERT INTO host_stats SELECT 'web-' || h, now() - m * interval '1 minute',
    30 + 20 * sin(m / 200.0), 50, 60 FROM generate_series(1, 4400) m, generate_series(1, 1) h;
INSERT INTO inverter_log SELECT i,
    (extract(epoch FROM date_trunc('minute', now())) * 1000)::bigint - m * 300000,
    greatest(0, 4000 * sin((m % 288) / 144.0 * 3.14159)), 320, 'Generating'
    FROM generate_series(1, 2300) m, generate_series(1, 1) i;
"""


def outlooks(place: CaseHome) -> Mapping[str, str]:
    return {each["model"]: each["outlook"] for each in place.checked()["models"]}


def test_a_shop_in_postgresql_needs_no_line_by_hand(
    tmp_path: Path, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quoted names, composite keys, enums, no time of change on some tables, lines in a table."""
    admin = postgres_server.url()
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS byo")
        connection.execute("CREATE DATABASE byo")
    url = postgres_server.url("byo")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SHOP)
    variable = "HOTFIT_SOURCES__BYO__URL"
    monkeypatch.setenv(variable, url)  # what the daemons would be given
    place = CaseHome(tmp_path)

    done = place.run("init", "--url", url, "--output", str(place.config))
    written = place.config.read_text(encoding="utf-8")
    again = place.run("init", "--url", url, "--output", str(place.config))

    assert done.code == 0, done.everything
    assert done.text.count("a training would start") == 5
    assert "secret" not in written + done.everything
    assert variable in written
    assert variable in done.text
    for line in (
        'complete = ["DONE"]',
        'id_field = ["order_no", "position"]',
        'type = { constant = "purchase" }',
        'online = ["Generating"]',
        "# byo.bookings would do as well, instead or as a model of its own:",
        '# time_zone = "Europe/Berlin"',
    ):
        assert line in written
    assert again.code == 2
    assert "is there already; --force writes over it" in again.complaints


def test_the_same_shop_in_mongodb(tmp_path: Path, mongodb_server: MongoServer) -> None:
    """Lines are lists in the documents; nothing says what an order's status means but its words."""
    import pymongo

    name = "byo"
    url = mongodb_server.url.replace("/shop", f"/{name}")
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        shop = client[name]
        orders = [
            {
                "state": "DELIVERED",
                "customer": {"id": f"u{i % 40}"},
                "placedAt": NOW - timedelta(hours=8 * (240 - i)),
                "updatedAt": NOW - timedelta(hours=8 * (240 - i)),
                "lines": [{"sku": f"s{i % 9}", "label": f"Tea {i % 9}", "qty": 1 + i % 3}],
            }
            for i in range(240)
        ]
        goods = [
            {"title": f"Tea {i}", "unitPrice": 2.5 + i, "kind": "tea", "updatedAt": NOW - HOUR}
            for i in range(80)
        ]
        for collection, documents in (("orders", orders), ("articles", goods)):
            shop.drop_collection(collection)
            shop[collection].insert_many(documents)
    place = CaseHome(tmp_path)

    done = place.run("init", "--url", url, "--output", str(place.config))
    written = place.config.read_text(encoding="utf-8")

    assert 'name = "lines[].label"' in written
    assert 'quantity = "lines[].qty"' in written
    assert 'complete = ["DELIVERED"]' in written
    assert 'user_id = "customer.id"' in written
    assert "spare_parts: a training would start: " in done.text
    assert "product_similarity: a training would start: " in done.text


def test_a_sqlite_file_and_a_folder_of_csv(tmp_path: Path) -> None:
    """A logger's file without a declared type; the same rows as an export of a spreadsheet."""
    rows = [
        (round(NOW.timestamp()) - 300 * i, 7, max(0.0, 4e3 * math.sin(i / 46)), "running")
        for i in range(4_000)
    ]
    database = tmp_path / "plant.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE pv_log (ts, inverter, pac, state)")
        connection.executemany("INSERT INTO pv_log VALUES (?, ?, ?, ?)", rows)
    folder = tmp_path / "export"
    folder.mkdir()
    with (folder / "pv_log.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ts", "inverter", "pac", "state"])
        writer.writerows(rows)

    for name, address in (("sqlite", database), ("files", folder)):
        place = CaseHome(tmp_path / name)
        place.directory.mkdir()
        done = place.run("init", "--url", str(address), "--output", str(place.config))

        assert done.code == 0, done.everything
        assert 'online = ["running"]' in place.config.read_text(encoding="utf-8")
        assert "solar_power: a training would start: " in done.text
        assert "product_similarity: nothing looks like" in done.text


def test_odd_tables_end_in_no_traceback(tmp_path: Path) -> None:
    """Values of every kind in one column, names with quotes, a broken view, an empty table."""
    odd = [None, "", 0, 2**62, 1e308, b"\x00\xff", "[1]", '{"a": [{"b": 1}]}', "infinity", "1,5"]
    place = CaseHome(tmp_path)
    columns = ('"id"', '"we ird"', '"qu""ote"', '"per%cent"', '"updated_at"', '"items"')
    place.table(
        "x.y", ", ".join(columns), [[odd[(i * k) % 10] for k in range(6)] for i in range(30)]
    )
    place.table("none", "id, name, updated_at", [])
    with place.connected() as connection:
        connection.execute("CREATE VIEW broken AS SELECT a FROM nowhere")

    done = place.run("init", "--url", str(place.database), "--output", str(place.config))
    remarks = place.config.read_text(encoding="utf-8")
    place.configure(
        '[sources.s]\nkind = "sql"\nurl = "{sqlite}"\n'
        + "".join(
            f'[models.{name}]\nworkload = "{name}"\nsource = "s"\n'
            f"[models.{name}.streams.{stream}]\ncollection = 'x.y'\n"
            for name, stream in (
                ("spare_parts", "appointments"),
                ("product_recommender", "interactions"),
                ("server_metrics", "metrics"),
                ("solar_power", "readings"),
            )
        )
    )
    checked = place.check()

    assert done.code == 0, done.everything
    assert "# broken: " in remarks
    assert checked.code == 1
    assert checked.text.count("a training would not start") == 4


def test_nothing_is_made_up(tmp_path: Path) -> None:
    """Tables of something else give no model, and say what is nearest."""
    place = CaseHome(tmp_path)
    place.table("tickets", "id INTEGER PRIMARY KEY, subject TEXT, body TEXT", [(1, "Hi", "Help!")])
    place.table("users", "id INTEGER PRIMARY KEY, name TEXT, email TEXT", [(1, "Ann", "a@b.org")])

    done = place.run("init", "--url", str(place.database), "--output", str(place.config))

    assert done.code == 0, done.everything
    assert done.text.count("nothing looks like") == 5
    assert "[models.my_model]" in place.config.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("oracle://scott:tiger@host/db", "--url: expected postgresql://"),
        ("", "--url: expected the address of a database"),
        ("sqlite:///nowhere/at/all.db", "no such file"),
        ("mongodb://127.0.0.1:1", "with the name of the database"),
    ],
)
def test_an_address_that_is_none_is_a_sentence(tmp_path: Path, url: str, sentence: str) -> None:
    """Never a traceback, and never a password."""
    place = CaseHome(tmp_path)

    done = place.run("init", "--url", url, "--output", str(place.config))

    assert done.code != 0
    assert sentence in done.complaints
    assert "tiger" not in done.everything
    assert not place.config.exists()


def test_metrics_in_elasticsearch_and_prometheus(
    tmp_path: Path, elasticsearch_server: ElasticsearchServer, prometheus_store: PrometheusStore
) -> None:
    """What answers at an http address is found out; a known shape is named, not mapped by hand."""
    times = [NOW - timedelta(minutes=301 - i) for i in range(300)]
    with Elasticsearch(elasticsearch_server.url, max_retries=0) as client:
        properties = {"@timestamp": {"type": "date"}, "host": {"type": "object"}}
        for n in range(2):
            index = f"metricbeat-8.15.3-2026.11.0{1 + n}"
            client.indices.create(index=index, mappings={"properties": properties})
        bulk(
            client,
            (
                {
                    "_index": f"metricbeat-8.15.3-2026.11.0{1 + i % 2}",
                    "_source": {
                        "@timestamp": at.isoformat(),
                        "host": {"name": "web-1"},
                        "metricset": {"name": "cpu"},
                        "system": {
                            "cpu": {"total": {"norm": {"pct": 0.4 + 0.2 * math.sin(i / 90)}}}
                        },
                    },
                }
                for i, at in enumerate(times)
            ),
            refresh=True,
        )
    minutes = [round(at.timestamp() * 1000) // 60_000 * 60_000 for at in times]
    for name, level in (("mem_used_percent", 50.0), ("system_load1", 2.0)):
        values = [(level + math.sin(i / 90), at_ms) for i, at_ms in enumerate(minutes)]
        prometheus_store.write([({"__name__": name, "instance": "web-1:9273"}, values)])
    expected = {
        elasticsearch_server.url: ('kind = "elasticsearch"', "metricbeat-8.15.3-*", "metricbeat"),
        prometheus_store.url: ('kind = "prometheus"', "queries = { cpu =", "mem_used_percent"),
    }

    for number, (url, lines) in enumerate(expected.items()):
        place = CaseHome(tmp_path / str(number))
        place.directory.mkdir()
        done = place.run("init", "--url", url, "--output", str(place.config))

        written = place.config.read_text(encoding="utf-8")
        assert all(line in written for line in lines), written
        assert re.search(r"server: found, (29\d|300) of \1 usable", done.text), done.text


def test_orders_below_each_customer_in_firestore(
    tmp_path: Path, firestore_server: FirestoreServer
) -> None:
    """Customers without documents of their own, as Firestore allows: only orders below them."""
    client = firestore.Client(project=firestore_server.project)
    batch = client.batch()
    for i in range(120):
        at = NOW - timedelta(hours=8 * (120 - i))
        lines = [{"name": f"Seal {i % 3}", "quantity": 2}]
        order = {"status": "completed", "date": at, "spareParts": lines, "updated_at": at}
        batch.set(client.document(f"customers/c{i % 7}/orders/o{i}"), order)
    batch.commit()
    place = CaseHome(tmp_path)

    project = ("--project", firestore_server.project)
    done = place.run("init", *project, "--output", str(place.config))
    written = place.config.read_text(encoding="utf-8")

    assert done.code == 0, done.everything
    assert 'collection = "orders"\ncollection_group = true' in written
    assert "spare_parts: a training would start, as far as" in done.text


def test_an_export_and_mariadb(
    tmp_path: Path,
    export_server: ExportServer,
    mariadb_server: MariadbServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same products behind an export that wants a key, and in a database."""
    goods = [
        {"id": i, "title": f"Tea {i}", "unitPrice": 2.5 + i, "Category": f"c{i % 5}",
         "updatedAt": (NOW - timedelta(hours=i)).isoformat()}
        for i in range(80)
    ]  # fmt: skip
    export_server.lists["products"] = {str(each["id"]): each for each in goods}
    export_server.can.api_key = "let me in"
    url = mariadb_server.url()
    engine = sa.create_engine(url.replace("mysql:", "mysql+pymysql:"))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE OR REPLACE TABLE goods (id int PRIMARY KEY, title text,"
            " unitPrice decimal(8,2), Category text, updatedAt datetime)"
        )
        rows = [(*tuple(each.values())[:4], (NOW - HOUR).replace(tzinfo=None)) for each in goods]
        connection.exec_driver_sql("INSERT INTO goods VALUES (%s, %s, %s, %s, %s)", rows)
    engine.dispose()
    monkeypatch.setenv("SHOP_KEY", "let me in")
    variable = f"HOTFIT_SOURCES__{url.rpartition('/')[2].upper()}__URL"

    for name, options in (
        ("export", ["--url", export_server.url, "--api-key-env", "SHOP_KEY"]),
        ("mariadb", ["--url", url]),
    ):
        place = CaseHome(tmp_path / name)
        place.directory.mkdir()
        if name == "mariadb":
            monkeypatch.setenv(variable, url)
        done = place.run("init", *options, "--output", str(place.config))

        assert "product_similarity: a training would start: " in done.everything, done.everything
        assert "let me in" not in done.everything + place.config.read_text(encoding="utf-8")
