"""The named shapes map records as the formats' own documentation describes them.

The records are made up in the documented form; each shape's file names the page.
"""

from __future__ import annotations

from typing import Any

import pytest

from shared.mapping.shapes import recognised, shapes
from shared.workloads.product_catalogue.records import is_approved
from shared.workloads.product_recommender.records import UNKNOWN_KIND, read_interactions
from tests.shared.mapping.test_fields import WORKLOADS, mapping

AT = "2026-01-01T00:00:00Z"
AT_S = 1_767_225_600


def beat(name: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"@timestamp": AT, "host": {"name": "w"}, "metricset": {"name": name}, "system": body}


def telegraf(name: str, fields: dict[str, Any], **tags: str) -> dict[str, Any]:
    return {"name": name, "fields": fields, "tags": {"host": "w", **tags}, "timestamp": AT_S}


def ga4(event: str) -> dict[str, Any]:
    return {
        "event_name": event, "event_timestamp": AT_S * 1_000_000, "user_id": None,
        "user_pseudo_id": "12.34", "items": [{"item_id": "7", "quantity": 1}, {"item_id": "8"}],
    }  # fmt: skip


def track(event: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "track", "event": event, "anonymousId": "a", "userId": None,
        "properties": properties, "timestamp": AT,
    }  # fmt: skip


WOO_ORDER = {
    "id": 9, "order_key": "wc_1", "status": "completed", "customer_id": 5,
    "date_created_gmt": "2026-01-01T00:00:00", "line_items": [{"product_id": 3, "quantity": 2}],
}  # fmt: skip
WOO_PRODUCT = {
    "id": 3, "name": "tea", "status": "publish", "catalog_visibility": "visible", "price": "4.50",
    "average_rating": "0.00", "categories": [{"id": 1, "name": "Tea", "slug": "tea"}],
    "tags": [{"id": 2, "name": "green"}], "stock_status": "instock",
}  # fmt: skip
SHOPIFY_ORDER = {
    "id": 9, "financial_status": "paid", "cancelled_at": None, "customer": {"id": 5},
    "line_items": [{"product_id": 3, "quantity": 1}], "created_at": AT,
}  # fmt: skip
ITEMS_78 = [{"product_id": "7"}, {"product_id": "8"}]
USE = {"total": 16_000, "free": 8_000, "used": 8_000}

# ruff: noqa: E501 - a row is one example

EXAMPLES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("metricbeat", "metrics", beat("cpu", {"cpu": {"total": {"norm": {"pct": 0.5}}}}), {"cpu": 50}),
    ("metricbeat", "metrics", beat("memory", {"memory": {"actual": {"used": {"pct": 0.25}}}}), {"memory": 25}),
    ("metricbeat", "metrics", beat("load", {"load": {"1": 1.5}}), {"server": "w", "load": 1.5}),
    ("metricbeat", "metrics", beat("filesystem", {"filesystem": {"mount_point": "/", "used": {"pct": 0.5}}}), {"disk": 50}),
    ("metricbeat", "metrics", beat("filesystem", {"filesystem": {"mount_point": "/boot", "used": {"pct": 1}}}), {"disk": None}),
    ("telegraf", "metrics", telegraf("cpu", {"usage_idle": 90.0}, cpu="cpu-total"), {"server": "w", "cpu": 10, "timestamp": AT_S}),
    ("telegraf", "metrics", telegraf("cpu", {"usage_idle": 90.0}, cpu="cpu0"), {"cpu": None}),
    ("telegraf", "metrics", telegraf("mem", {"used_percent": 40.0}), {"memory": 40, "disk": None}),
    ("telegraf", "metrics", telegraf("disk", {"used_percent": 70.0}, path="/"), {"disk": 70, "memory": None}),
    ("telegraf", "metrics", telegraf("system", {"load1": 0.5}), {"load": 0.5}),
    ("prometheus", "metrics", {"metric": {"__name__": "node_load1", "instance": "w:9100"}, "value": [AT_S, "0.5"]}, {"server": "w:9100", "timestamp": AT_S, "load": "0.5"}),
    ("prometheus", "metrics", {"metric": {"__name__": "instance:node_cpu_utilisation:rate5m", "instance": "w"}, "values": [[AT_S - 60, "0.1"], [AT_S, "0.5"]]}, {"timestamp": AT_S, "cpu": 50}),
    ("systeminformation", "metrics", {"host": "w", "time": {"current": AT_S * 1000}, "currentLoad": {"currentLoad": 12.5}, "mem": {**USE, "active": 4_000}, "fsSize": [{"mount": "/", "use": 60.5}]}, {"cpu": 12.5, "memory": 25, "disk": 60.5, "timestamp": AT_S * 1000}),
    ("systeminformation", "metrics", {"host": "w", "timestamp": AT, "cpu": 20, "memory": USE}, {"cpu": 20, "memory": 50}),
    ("nordiq", "metrics", {"server_name": "w", "timestamp": AT, "cpu_user_pct": 20, "cpu_idle_pct": 60, "mem_used_pct": 30, "disk_usage_pct": 40, "load_average": 1.5}, {"server": "w", "cpu": 40, "memory": 30, "disk": 40, "load": 1.5}),
    ("ga4", "interactions", ga4("view_item"), {"user_id": "12.34", "type": "view", "items": ITEMS_78}),
    ("ga4", "interactions", ga4("refund"), {"type": "return"}),
    ("ga4", "interactions", ga4("remove_from_cart"), {"type": "remove_from_cart"}),
    ("ga4", "interactions", ga4("page_view"), {"type": "not view"}),
    ("segment", "interactions", track("Product Viewed", {"product_id": "7"}), {"user_id": "a", "type": "view", "items": [{"product_id": "7"}]}),
    ("segment", "interactions", track("Order Completed", {"products": ITEMS_78}), {"type": "purchase", "items": ITEMS_78}),
    ("segment", "interactions", track("Order Refunded", {"products": ITEMS_78}), {"type": "return"}),
    ("segment", "interactions", track("Product List Viewed", {"products": ITEMS_78}), {"type": "not view"}),
    ("segment", "interactions", {"event": "Product Added", "anonymous_id": "a", "product_id": 7, "timestamp": AT}, {"user_id": "a", "type": "add_to_cart"}),
    ("retailrocket", "interactions", {"timestamp": AT_S * 1000, "visitorid": 1, "event": "transaction", "itemid": 3, "transactionid": 4}, {"user_id": 1, "product_id": 3, "type": "purchase"}),
    ("woocommerce", "products", WOO_PRODUCT, {"product_id": 3, "status": "approved", "category": "Tea", "tags": ["green"], "rating": None}),
    ("woocommerce", "products", {**WOO_PRODUCT, "status": "draft"}, {"status": "draft"}),
    ("woocommerce", "interactions", WOO_ORDER, {"user_id": 5, "type": "purchase", "items": [{"product_id": 3}]}),
    ("woocommerce", "interactions", {**WOO_ORDER, "customer_id": 0, "status": "refunded"}, {"user_id": "order-9", "type": "return"}),
    ("shopify", "products", {"id": 3, "title": "tea", "vendor": "v", "product_type": "Tea", "status": "active", "variants": [{"price": "4.50"}], "tags": "a, b"}, {"name": "tea", "brand": "v", "status": "approved", "price": "4.50"}),
    ("shopify", "interactions", SHOPIFY_ORDER, {"user_id": 5, "type": "purchase", "items": [{"product_id": 3}]}),
    ("shopify", "interactions", {**SHOPIFY_ORDER, "cancelled_at": AT}, {"type": "return"}),
    ("django_export", "products", {"id": 3, "name": "tea", "category__name": "Tea", "color": "green", "material": None, "avg_rating": 4.5}, {"category": "Tea", "rating": 4.5, "product_id": 3}),
    ("django_export", "interactions", {"user_id": 5, "product_id": 3, "interaction_type": "view", "time_spent_seconds": 30, "timestamp": AT}, {"user_id": 5, "type": "view", "dwell_time": 30}),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "stream", "record", "expected"), EXAMPLES)
def test_a_documented_record_is_mapped_and_recognised(
    shape: str, stream: str, record: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Who has one of these writes one line; who has not set it is told which."""
    found = mapping(stream, shape=shape)(record)

    assert {name: found.get(name) for name in expected} == expected
    guessed = recognised(stream, [record])
    assert guessed is not None
    assert guessed.name == shape


def test_every_shape_has_examples_and_says_where_it_is_described() -> None:
    """A shape that no record tries is a guess."""
    tried = {(shape, stream) for shape, stream, _, _ in EXAMPLES}

    assert tried == {(name, stream) for name, streams in shapes().items() for stream in streams}
    for streams in shapes().values():
        for stream, shape in streams.items():
            assert shape.documentation.startswith("https://") or shape.name == "nordiq"
            known = {spec.name for spec in WORKLOADS[stream].fields_of(stream)}
            assert set(shape.fields) <= known


def test_a_published_product_of_a_shop_is_approved_without_a_word_of_configuration() -> None:
    """A catalogue of which nothing may be shown is no model, and nobody says why."""
    states = ["publish", "draft", "private", "pending"]

    assert [is_approved({**WOO_PRODUCT, "status": state}) for state in states] == [
        True, False, False, False,
    ]  # fmt: skip


def test_an_event_whose_word_nobody_knows_is_never_a_view() -> None:
    """A thousand newsletters that were opened are no interest in a product."""
    event = {"user_id": 1, "product_id": 2}
    fields: list[dict[str, Any]] = [
        {"event": "opened"},
        {"type": 4},
        {"behavior_type": "fav"},
        {"activityName": "x"},
    ]

    kinds = [list(read_interactions({**event, **more})) for more in fields]

    assert kinds == [[UNKNOWN_KIND]] * 4


def test_what_has_no_known_shape_is_not_taken_for_one() -> None:
    """A wrong suggestion costs more than none."""
    plain: dict[str, list[dict[str, Any]]] = {
        "metrics": [{"server": "w", "timestamp": AT, "cpu": 5, "memory": 40}],
        "products": [{"id": 1, "name": "tea", "status": "draft", "category": "Tea"}],
        "interactions": [{"user_id": 1, "product_id": 2, "type": "view", "timestamp": AT}],
    }

    assert {
        stream: recognised(stream, records) for stream, records in plain.items()
    } == dict.fromkeys(plain)
