"""The recommender's export: what its trainer reads of us, in the names that it documents."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from shared.keys.api_keys import Role
from shared.mapping.fields import open_mappings
from shared.settings.streams import StreamSettings
from shared.workloads.product_catalogue.records import Product, read_product
from shared.workloads.product_recommender.records import Interaction, read_interactions
from shared.workloads.product_recommender.workload import ProductRecommender
from tests.api_service.routes.test_aliases import key, serving_of
from tests.support.versions import ServingHome

AT = "2024-01-15T14:30:00+00:00"
PRODUCT = {
    "id": 1,
    "name": "Blue Cotton T-Shirt",
    "category__name": "T-Shirts",
    "price": 29.99,
    "gender": "M",
    "color": "Blue",
    "material": "Cotton",
    "size": "L",
}
EVENTS = [
    {"user_id": 5, "product_id": 1, "interaction_type": "view", "time_spent_seconds": 40},
    {"user_id": 5, "product_id": 1, "interaction_type": "rating", "rating": 4},
    {"user_id": 6, "product_id": 1, "interaction_type": "rating", "rating": 5},
    {"user_id": 6, "product_id": 2, "interaction_type": "view", "rating": None},
]


def test_the_export_has_its_metadata_and_what_was_counted_of_each_product(
    home: ServingHome,
) -> None:
    """GET /api/products/training_data/?days=90&format=json, as its readers call it."""
    serving = serving_of(home)
    client = serving.client()
    feed = key(serving, Role.FEED)
    told = {**PRODUCT, "id": 2, "avg_rating": 4.2, "review_count": 15}
    for stream, rows in (("products", [PRODUCT, told]), ("interactions", EVENTS)):
        path = f"/models/goods/records?stream={stream}"
        assert client.post(path, json=rows, headers=feed).status_code == 200

    answer: Any = client.get("/api/products/training_data/?days=90&format=json").json

    assert answer["metadata"]["total_products"] == 2
    assert answer["metadata"]["total_interactions"] == 4
    assert answer["metadata"]["date_range_days"] == 90
    assert answer["metadata"]["generated_at"]
    counted, stated = answer["products"]
    assert {name: counted[name] for name in PRODUCT if name != "id"} == {
        name: value for name, value in PRODUCT.items() if name != "id"
    }
    assert (counted["interaction_count"], counted["review_count"]) == (3, 2)
    assert counted["avg_rating"] == 4.5
    assert (stated["interaction_count"], stated["avg_rating"], stated["review_count"]) == (
        1,
        4.2,
        15,
    )


def test_the_recommenders_export_is_read_with_all_its_text() -> None:
    """By the shape `django_export`: what the trainer before made its vectors of, and more."""
    shape = {name: StreamSettings(shape="django_export") for name in ("products", "interactions")}
    mappings = open_mappings("goods", ProductRecommender({}).read_fields, shape, None)
    told = {**PRODUCT, "description": "soft", "avg_rating": 4.2, "review_count": 15}

    product = read_product("1", mappings["products"](told, "1"))
    (event,) = read_interactions(mappings["interactions"]({**EVENTS[0], "created_at": AT}, "e"))

    assert isinstance(product, Product)
    assert (product.category, product.rating, product.price) == ("T-Shirts", 4.2, 29.99)
    assert set(product.words.split()) == {"soft", "M", "Blue", "Cotton", "L"}
    assert isinstance(event, Interaction)
    assert (event.user_id, event.product_id, event.kind) == ("5", "1", "view")
    assert event.at == datetime.fromisoformat(AT)
    assert event.interest > 1.0  # of a view of 40 s
