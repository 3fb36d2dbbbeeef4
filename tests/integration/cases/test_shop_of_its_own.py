"""A shop's own PostgreSQL, as an object mapper and people make it: all six workloads, no view.

Quoted names, UUIDs and composite keys, enumerations, lines in a table of their own, an array, no
`updated_at` on some tables; everything is mapped in `hotfit.toml`.
"""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.integration.cases.case_home import CaseHome
from tests.support.postgres import PostgresServer

TABLES = """
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE TYPE state AS ENUM ('OPEN', 'DONE', 'CANCELLED');
CREATE TABLE "WorkOrder" ("id" uuid PRIMARY KEY DEFAULT gen_random_uuid(), "state" state,
  "finishedOn" date, "updatedAt" timestamp(3));
CREATE TABLE "WorkOrderLine" (order_id uuid, line_no int, label text, qty numeric(8, 2),
  PRIMARY KEY (order_id, line_no));
CREATE TABLE bookings (no serial PRIMARY KEY, booked_for timestamptz, finished boolean,
  parts text[]);
CREATE TABLE "Product" ("id" uuid PRIMARY KEY DEFAULT gen_random_uuid(), "title" text,
  "unitPrice" numeric(10, 2), "isPublished" boolean, "Category" text, "updatedAt" timestamp(3));
CREATE TABLE order_items (order_no bigint, position int, buyer uuid, product uuid,
  ordered_at timestamptz, PRIMARY KEY (order_no, position));
CREATE TABLE host_stats (host text, taken_at timestamptz, cpu_pct real, mem_pct real, fs_pct real,
  PRIMARY KEY (host, taken_at));
CREATE TABLE inverter_log (inverter int, ts bigint, pac numeric, state text,
  PRIMARY KEY (inverter, ts));
INSERT INTO "WorkOrder" ("state", "finishedOn", "updatedAt")
  SELECT 'DONE', (now() - g * interval '8 hours')::date, now() - g * interval '8 hours'
  FROM generate_series(1, 240) g;
INSERT INTO "WorkOrderLine" SELECT "id", p.n, p.label, p.n + 1
  FROM "WorkOrder", (VALUES (1, 'Oil filter'), (2, 'Seal')) p(n, label);
INSERT INTO bookings (booked_for, finished, parts)
  SELECT now() - g * interval '8 hours', true, array['Oil filter', 'Seal']
  FROM generate_series(1, 240) g;
INSERT INTO "Product" ("title", "unitPrice", "isPublished", "Category", "updatedAt")
  SELECT (array['Green', 'Black', 'White'])[1 + g % 3] || ' tea ' || g, g + 0.5, g % 10 > 0,
    'c' || g % 5, now() - g * interval '1 hour' FROM generate_series(1, 80) g;
INSERT INTO order_items
  SELECT g, 1, ('00000000-0000-4000-8000-' || lpad((1 + g % 40)::text, 12, '0'))::uuid,
    (SELECT "id" FROM "Product" ORDER BY md5("id"::text || g::text) LIMIT 1),
    now() - g * interval '1 hour' FROM generate_series(1, 600) g;
INSERT INTO host_stats SELECT 'web-' || h, now() - m * interval '1 minute',
  30 + 20 * sin(m / 200.0), 50, 60 FROM generate_series(1, 1500) m, generate_series(1, 2) h;
INSERT INTO inverter_log SELECT i,
  (extract(epoch FROM date_trunc('minute', now())) * 1000)::bigint - m * 300000,
  greatest(0, 4000 * sin((m % 288) / 144.0 * 3.14159)), 'Generating'
  FROM generate_series(1, 1200) m, generate_series(1, 2) i;
"""

SETTINGS = """
[sources.shop]
kind = "sql"
url = "{postgres}"
lag_s = 0
page_size = 1000

[models.parts]
workload = "spare_parts"
source = "shop"
[models.parts.streams.appointments]
query = '''
  SELECT o.*, jsonb_agg(jsonb_build_object('label', l.label, 'qty', l.qty)) AS lines
  FROM shop."WorkOrder" o JOIN shop."WorkOrderLine" l ON l.order_id = o.id GROUP BY o.id
'''
updated_at_field = "updatedAt"
[models.parts.streams.appointments.fields]
status = "state"
date = "finishedOn"
name = "lines[].label"
quantity = "lines[].qty"
[models.parts.streams.appointments.words]
complete = ["DONE"]
[models.parts.streams.spare_parts]
collection = "shop.Product"
updated_at_field = "updatedAt"
fields = { name = "title", price = "unitPrice" }

[models.lines]
workload = "spare_parts"
source = "shop"
[models.lines.streams.appointments]
query = 'SELECT * FROM shop."WorkOrder" o JOIN shop."WorkOrderLine" l ON l.order_id = o.id'
id_field = ["order_id", "line_no"]
updated_at_field = "updatedAt"
[models.lines.streams.appointments.fields]
status = "state"
date = "finishedOn"
name = "label"
quantity = "qty"
[models.lines.streams.appointments.words]
complete = "done"
[models.lines.streams.spare_parts]
collection = "shop.Product"
updated_at_field = "updatedAt"
fields = { name = "title" }

[models.bookings]
workload = "spare_parts"
source = "shop"
[models.bookings.streams.appointments]
collection = "shop.bookings"
id_field = "no"
updated_at_field = "booked_for"
fields = { status = "finished", date = "booked_for", name = "parts[]" }
[models.bookings.streams.spare_parts]
collection = "shop.Product"
updated_at_field = "updatedAt"
fields = { name = "title" }

[models.similar]
workload = "product_similarity"
source = "shop"
[models.similar.streams.products]
collection = "shop.Product"
updated_at_field = "updatedAt"
fields = { status = "isPublished", category = "Category" }

[models.recommend]
workload = "product_recommender"
source = "shop"
[models.recommend.streams.products]
collection = "shop.Product"
updated_at_field = "updatedAt"
fields = { status = "isPublished", category = "Category" }
[models.recommend.streams.interactions]
collection = "shop.order_items"
id_field = ["order_no", "position"]
updated_at_field = "ordered_at"
[models.recommend.streams.interactions.fields]
user_id = "buyer"
product_id = "product"
timestamp = "ordered_at"
type = { constant = "purchase" }

[models.fleet]
workload = "server_metrics"
source = "shop"
[models.fleet.streams.metrics]
collection = "shop.host_stats"
id_field = ["host", "taken_at"]
updated_at_field = "taken_at"
fields = { timestamp = "taken_at", disk = "fs_pct" }

[models.solar]
workload = "solar_power"
source = "shop"
[models.solar.streams.readings]
collection = "shop.inverter_log"
id_field = ["inverter", "ts"]
updated_at_field = "ts"
fields = { device_id = "inverter", timestamp = "ts", power = "pac", status = "state" }
words = { online = ["generating"] }

[models.price]
workload = "tabular"
source = "shop"
[models.price.parameters]
target = "price"
[models.price.parameters.features]
name = { type = "category" }
category = {}
[models.price.streams.records]
collection = "shop.Product"
updated_at_field = "updatedAt"
fields = { price = "unitPrice", name = "title", category = "Category" }
"""

EXPECTED = {
    "parts": {"appointments": 240, "spare_parts": 80},
    "lines": {"appointments": 480, "spare_parts": 80},
    "bookings": {"appointments": 240, "spare_parts": 80},
    "similar": {"products": 80},
    "recommend": {"products": 80, "interactions": 600},
    "fleet": {"metrics": 3000},
    "solar": {"readings": 2400},
    "price": {"records": 80},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> CaseHome:
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute(TABLES)
    folder: Path = tmp_path_factory.mktemp("shop")
    return CaseHome(folder, SETTINGS.replace("{postgres}", postgres_server.url()))


def test_every_row_of_every_table_is_read_and_usable(shop: CaseHome) -> None:
    """Before, only one of the six could be read without a view in the shop's own database."""
    checked = shop.check()

    assert checked.code == 0, checked.everything
    for model, n_records in EXPECTED.items():
        read = shop.read(model)
        assert read.n_records == n_records, model
        n_counted = sum(n for stream, n in n_records.items() if stream != "spare_parts")
        n_counted -= n_records.get("products", 0) if model == "recommend" else 0
        assert read.n_usable == n_counted, model
        assert read.rows.n_rows > 0, model


def test_lines_of_a_table_of_their_own_are_the_parts_of_their_order(shop: CaseHome) -> None:
    """As many pieces, whether the lines are gathered by the query or stand alone."""
    gathered, alone = (shop.read(model).rows for model in ("parts", "lines"))

    assert sorted(set(gathered.slices)) == ["Oil filter", "Seal"]
    assert gathered.target.sum() == alone.target.sum() > 900


def test_the_mapped_shop_is_trained(shop: CaseHome) -> None:
    """What `check` calls fine must end in a version."""
    trained = shop.once("similar")

    assert trained.code == 0, trained.everything
    assert shop.runs("similar")[0].details["rows"] == 72
