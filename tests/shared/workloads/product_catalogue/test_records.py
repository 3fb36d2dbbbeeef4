"""Products and events as real shops write them: what is understood, and what is refused and why."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.records import Record
from shared.workloads.product_catalogue import records
from shared.workloads.product_catalogue.records import (
    NO_NAME,
    Product,
    is_approved,
    read_product,
    words_of,
)
from shared.workloads.product_catalogue.training_catalogue import read_training_catalogue
from shared.workloads.product_recommender import records as interactions
from shared.workloads.product_recommender.records import (
    BAD_RATING,
    NO_PRODUCT,
    NO_USER,
    UNKNOWN_KIND,
    VOID_ORDER,
    Interaction,
    read_interactions,
)

_FIELDS = words_of(
    "id name title description category categories price rating status approved deleted tags "
    "user_id user session_id product_id product items type event value timestamp dwell_time"
)
texts = st.text(max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "name", "amount", "$date", "seconds"]) | texts,
                          inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip
documents = st.dictionaries(st.sampled_from(_FIELDS) | texts, json_values, max_size=8)


def _product(**fields: Any) -> Product:
    found = read_product("shop/products/p1", {"name": "Lamp", **fields})
    assert isinstance(found, Product)
    return found


@pytest.mark.parametrize(
    ("fields", "is_shown"),
    [
        ({}, True),
        ({"status": "approved"}, True),
        ({"status": "APPROVED "}, True),
        ({"status": "in_stock"}, True),
        ({"approvalStatus": {"status": "Approved"}}, True),
        ({"is_approved": True, "deleted": False, "deleted_at": None}, True),
        ({"approved": 1}, True),
        ({"status": 1}, True),
        ({"status": "pending"}, False),
        ({"status": "not approved"}, False),
        ({"status": "unapproved"}, False),
        ({"status": "draft", "approved": True}, False),
        ({"status": ""}, False),
        ({"status": ["approved"]}, False),
        ({"approved": False}, False),
        ({"approved": "false"}, False),
        ({"active": 0}, False),
        ({"status": "approved", "isDeleted": True}, False),
        ({"deleted_at": "2026-11-20T10:00:00Z"}, False),
        ({"deleted_at": "0001-01-01T00:00:00Z"}, True),
        ({"status": "In\u00a0Stock\u200b"}, True),
        ({"archived": "yes"}, False),
    ],
)
def test_only_what_says_it_is_approved_is_approved(fields: dict[str, Any], is_shown: bool) -> None:
    """A draft that is recommended is worse than an approved product that is not."""
    assert is_approved(fields) is is_shown


@pytest.mark.parametrize(
    ("price", "read"),
    [
        (12, 12.0), ("12.50", 12.5), ("12,50 €", 12.5), ("USD 1,299.00", 1299.0),
        ("1.299,00", 1299.0), ("1,299", None), ("1,299,000", 1299000.0),
        ({"amount": "3", "currency": "EUR"}, 3.0),
        (0, 0.0), (-1, None), ("free", None), (float("inf"), None), (True, None), ([3], None),
        (10**400, None),
    ],
)  # fmt: skip
def test_a_price_is_read_in_every_shape_or_is_unknown(price: object, read: float | None) -> None:
    """An odd price must not cost the product its place, nor make it a million times dearer."""
    assert _product(price=price).price == read


def test_a_comma_in_a_price_is_read_as_the_shop_s_other_prices_show() -> None:
    """A shop in Europe and one in America write 1,299 for prices a thousand apart."""

    def prices(*texts: str) -> tuple[list[float], Counter[str]]:
        rejected: Counter[str] = Counter()
        written = datetime(2026, 11, 20, tzinfo=UTC)
        table = [
            Record(str(i), written, {"name": "Lamp", "price": text}) for i, text in enumerate(texts)
        ]
        found = read_training_catalogue(table, rejected).catalogue.prices
        return [-1.0 if math.isnan(price) else price for price in found.tolist()], rejected

    assert prices("1,299", "12,50") == ([1.299, 12.5], Counter())
    assert prices("1,299", "12.50") == ([1299.0, 12.5], Counter())
    unclear, rejected = prices("1,299", "2,499")
    assert unclear == [-1.0, -1.0]
    assert [(reason[:24], n) for reason, n in rejected.items()] == [("price that is not read: ", 2)]
    assert "'1,299' may be 1.299 or 1299" in next(iter(rejected))


def test_a_product_is_put_together_from_whatever_names_its_shop_uses() -> None:
    """Field names are the shop's; each of the usual ones is enough."""
    found = read_product(
        "projects/x/products/p1",
        {
            "title": " Steel   lamp ",
            "description": {"en": "<p>A lamp &amp; more</p>"},
            "tags": ["steel", "light"],
            "categories": [{"name": "Lamps"}, {"name": "Home"}],
            "salePrice": "9.90",
            "averageRating": {"average": 4.5, "count": 12},
        },
    )

    assert found == Product(
        "p1", "Steel lamp", "A lamp & more steel light", "Lamps", 9.9, 4.5, True
    )


def test_the_id_of_the_fields_wins_over_the_name_of_the_record() -> None:
    """Events name the product as the shop does, not as the database files it."""
    assert _product().id == "p1"
    assert _product(product_id=77).id == "77"
    assert _product(_id={"$oid": "abc"}).id == "abc"


@pytest.mark.parametrize("fields", [{}, {"name": "  "}, {"name": None}, {"name": 5}])
def test_a_document_without_a_name_is_no_product(fields: dict[str, Any]) -> None:
    """Nothing could be shown of it; the count of such documents is in the run's details."""
    assert read_product("p1", fields) == NO_NAME
    assert records.reject_reason(fields) == NO_NAME


@pytest.mark.parametrize(
    ("fields", "read"),
    [
        ({"user_id": "u", "product_id": "p", "type": "view"}, [("u", "p", "view", 1.0)]),
        ({"userId": 7, "itemId": 9, "event": "addToCart"}, [("7", "9", "add_to_cart", 3.0)]),
        ({"user": {"id": "u"}, "product": {"id": "p"}, "action": "Purchased"},
         [("u", "p", "purchase", 5.0)]),
        ({"user_id": "u", "product_id": "p", "rating": "4"}, [("u", "p", "rate", 4.0)]),
        ({"user_id": "u", "product_id": "p", "type": "rate", "value": 5},
         [("u", "p", "rate", 5.0)]),
        ({"session_id": "s", "product_id": "p"}, [("s", "p", "view", 1.0)]),
        ({"user_id": "u", "product_id": "p", "dwell_time": 90}, [("u", "p", "view", 1.5)]),
        ({"user_id": "u", "product_id": "p", "dwell_ms": 9e9}, [("u", "p", "view", 2.0)]),
        ({"user_id": "u", "type": "order", "items": [{"product_id": "p"}, "q", {}]},
         [("u", "p", "purchase", 5.0), ("u", "q", "purchase", 5.0), NO_PRODUCT]),
        ({"product_id": "p", "type": "view"}, [NO_USER]),
        ({"user_id": "u", "type": "view"}, [NO_PRODUCT]),
        ({"user_id": "u", "product_id": "p", "type": "refund"}, [("u", "p", "return", 5.0)]),
        ({"user_id": "u", "item_id": "p", "event_name": "remove_from_cart"},
         [("u", "p", "remove_from_cart", 3.0)]),
        ({"user_id": "u", "product_id": "p", "type": "scrolled"}, [UNKNOWN_KIND]),
        ({"user_id": "u", "product_id": "p", "type": "view_item_list"}, [UNKNOWN_KIND]),
        ({"user_id": "u", "type": "order", "items": [{"product_id": 7.0, "quantity": -1}]},
         [("u", "7", "return", 5.0)]),
        ({"customer_id": 0, "session_id": "s", "product_id": "7.0"}, [("s", "7", "view", 1.0)]),
        ({"customer_id": 0, "id": 31, "line_items": [{"product_id": 7}], "event": "purchase"},
         [("order 31", "7", "purchase", 5.0)]),
        ({"user_id": "guest", "product_id": "p", "id": 31, "type": "view"}, [NO_USER]),
        ({"user_id": "undefined", "anonymousId": "a1", "product_id": "p", "event": "ViewProduct"},
         [("a1", "p", "view", 1.0)]),
        ({"user_id": "u", "product_id": "null", "sku": "s1"}, [("u", "s1", "view", 1.0)]),
        ({"user_id": "u", "product_id": "p", "type": "rate", "rating": 11}, [BAD_RATING]),
        ({"customer_id": 7, "line_items": [{"product_id": "p"}]}, [("7", "p", "purchase", 5.0)]),
        ({"customer_id": 7, "line_items": [{"product_id": "p"}], "status": "Cancelled"},
         [VOID_ORDER]),
        ({"user_id": "u", "product_id": "p", "type": "purchase", "financial_status": "voided"},
         [VOID_ORDER]),
        ({"user_id": "u", "product_id": "p", "status": "failed"}, [("u", "p", "view", 1.0)]),
        ({"user_id": "u", "product_id": "p", "type": "rate"}, [BAD_RATING]),
    ],
)  # fmt: skip
def test_events_are_read_in_every_shape_or_refused_with_a_reason(
    fields: dict[str, Any], read: list[Any]
) -> None:
    """Trackers, carts and order tables write their own; one odd line is not the whole order."""
    found = [
        (one.user_id, one.product_id, one.kind, one.interest)
        if isinstance(one, Interaction)
        else one
        for one in read_interactions(fields)
    ]

    assert found == read
    assert (interactions.reject_reason(fields) is None) == any(isinstance(o, tuple) for o in read)


@settings(deadline=None)
@given(fields=documents)
def test_no_document_makes_a_reader_raise(fields: dict[str, Any]) -> None:
    """One document that raises would stop training for good, since it never goes away."""
    found = read_product("p1", fields)
    happened = list(read_interactions(fields))

    if isinstance(found, Product):
        assert found.id
        assert found.name
        assert found.price is None or 0 <= found.price <= 1e9
        assert found.rating is None or 0 <= found.rating <= 5
    for one in happened:
        assert isinstance(one, str) or (one.user_id and one.product_id and one.interest > 0)
