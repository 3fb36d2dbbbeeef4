"""Declare what the workloads read from product documents. Reads no record."""

from __future__ import annotations

from shared.documents.field_specs import FieldSpec
from shared.workloads.product_catalogue.records import APPROVED_WORDS

PRODUCT = (
    FieldSpec(
        "product_id",
        "id",
        "which product; where there is none, the record's id",
        usual=("productId", "id", "_id"),
    ),
    FieldSpec(
        "name",
        "text",
        "name of the product",
        is_needed=True,
        usual=("title", "product_name", "productName"),
    ),
    FieldSpec(
        "description",
        "text",
        "what it is, in words",
        usual=("short_description", "shortDescription", "summary", "details"),
    ),
    FieldSpec("brand", "text", "who makes it"),
    FieldSpec("tags", "text", "words that belong to it"),
    FieldSpec("keywords", "text", "further words that belong to it"),
    FieldSpec("features", "text", "further words that belong to it"),
    FieldSpec(
        "category",
        "text",
        "the category in which it is compared",
        usual=("category_name", "categoryName", "categories", "product_type"),
    ),
    FieldSpec(
        "price",
        "number",
        "price of one",
        "the shop's currency",
        usual=("sale_price", "salePrice", "unit_price", "unitPrice"),
    ),
    FieldSpec(
        "rating",
        "number",
        "how it was rated, 0 to 5",
        "stars",
        usual=("average_rating", "averageRating", "avg_rating", "avgRating", "stars"),
    ),
    FieldSpec(
        "status",
        "word",
        "whether it may be shown; where nothing says, it may",
        usual=("approval_status", "approvalStatus", "state", "visibility"),
        meanings={"approved": tuple(sorted(APPROVED_WORDS))},
    ),
)
