"""Declare what the workload reads from events of customers. Reads no record."""

from __future__ import annotations

from shared.documents.field_specs import FieldSpec
from shared.workloads.product_catalogue.records import words_of
from shared.workloads.product_recommender.records import (
    KINDS,
    LISTS,
    MEANINGS,
    PRODUCTS,
    RATINGS,
    TIMES,
    USERS,
    VISITS,
)

LINES = LISTS[0]

INTERACTION = (
    FieldSpec(
        USERS[0],
        "id",
        "the customer, or the visit of somebody unknown",
        is_needed=True,
        usual=(*USERS[1:], *VISITS),
    ),
    FieldSpec(
        PRODUCTS[0],
        "id",
        "the product, of the event or of each line of an order",
        is_needed=True,
        usual=PRODUCTS[1:],
        in_list=LINES,
    ),
    FieldSpec(LINES, "list", "the lines of an order", usual=LISTS[1:]),
    FieldSpec(
        KINDS[0],
        "word",
        "what the customer did",
        usual=KINDS[1:],
        meanings={meaning: words_of(words) for meaning, words in MEANINGS.items()},
    ),
    FieldSpec(RATINGS[0], "number", "of a rating, 1 to 5", "stars", usual=RATINGS[1:]),
    FieldSpec(TIMES[0], "time", "when it happened", usual=TIMES[1:]),
    FieldSpec("dwell_time", "number", "how long the product was looked at", "s"),
)
