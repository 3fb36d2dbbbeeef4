"""Declare what the workload reads from events of customers. Reads no record."""

from __future__ import annotations

from shared.documents.field_specs import FieldSpec

LINES = "items"

INTERACTION = (
    FieldSpec(
        "user_id",
        "id",
        "the customer, or the visit of somebody unknown",
        is_needed=True,
        usual=(
            "userId",
            "user",
            "customer_id",
            "customerId",
            "customer",
            "uid",
            "visitor_id",
            "visitorId",
            "session_id",
            "sessionId",
            "session",
        ),
    ),
    FieldSpec(
        "product_id",
        "id",
        "the product, of the event or of each line of an order",
        is_needed=True,
        usual=("productId", "product", "item_id", "itemId", "item", "sku"),
        in_list=LINES,
    ),
    FieldSpec(
        LINES, "list", "the lines of an order", usual=("products", "line_items", "lineItems")
    ),
    FieldSpec(
        "type",
        "word",
        "what the customer did",
        usual=(
            "event",
            "event_type",
            "eventType",
            "interaction_type",
            "interactionType",
            "interaction",
            "action",
            "kind",
        ),
        meanings={
            "view": ("view", "viewed", "pageview", "productview", "click", "clicked", "detail"),
            "add_to_cart": ("addtocart", "addedtocart", "cart", "basket", "wishlist", "like"),
            "purchase": ("purchase", "purchased", "buy", "bought", "order", "ordered", "sale"),
            "return": ("return", "returned", "refund", "refunded"),
            "remove_from_cart": ("removefromcart", "removedfromcart"),
            "rate": ("rate", "rated", "rating", "review", "reviewed"),
        },
    ),
    FieldSpec(
        "rating",
        "number",
        "of a rating, 1 to 5",
        "stars",
        usual=("value", "stars", "score", "rate"),
    ),
    FieldSpec(
        "timestamp",
        "time",
        "when it happened",
        usual=(
            "created_at",
            "createdAt",
            "event_time",
            "eventTime",
            "occurred_at",
            "time",
            "date",
            "at",
            "updated_at",
        ),
    ),
    FieldSpec("dwell_time", "number", "how long the product was looked at", "s"),
)
