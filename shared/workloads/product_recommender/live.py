"""What a list foretold about a person, and what an event says that they took. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shared.records import to_epoch_us
from shared.workloads.live import DAY_US, Expectation, Outcome
from shared.workloads.product_recommender.records import (
    TAKES_BACK,
    Interaction,
    read_interactions,
)

HIT_WITHIN_DAYS = 7


def expectations(
    request: Mapping[str, Any], answer: Mapping[str, Any], at_us: int
) -> list[Expectation]:
    """One for each list that was made for a person: that they take one of it within a week.

    Its loss is 0 where they do and 1 where they take only others; of who takes nothing, nothing is
    known. Lists for everybody (`popular`, `similar`) are about nobody.
    """
    return [
        Expectation(
            series=user_id,
            at_us=at_us + HIT_WITHIN_DAYS * DAY_US,
            from_us=at_us + 1,
            until_us=at_us + HIT_WITHIN_DAYS * DAY_US,
            value=0.0,
            slice=basis,
            how="choice",
            losses=dict.fromkeys(products, 0.0),
        )
        for user_id, basis, products in _lists(request, answer)
        if products
    ]


def _lists(
    request: Mapping[str, Any], answer: Mapping[str, Any]
) -> Iterator[tuple[str, str, list[str]]]:
    """Person, what the list rests on, products."""
    shown, rows = answer.get("recommendations"), answer.get("predictions")
    user_id = answer.get("user_id")
    if isinstance(shown, list) and isinstance(user_id, str):
        products = [each["product_id"] for each in shown if "product_id" in each]
        yield user_id, str(answer.get("basis", "history")), products
    asked = request.get("instances")
    if isinstance(rows, list) and isinstance(asked, list) and len(rows) == len(asked):
        for instance, products in zip(asked, rows, strict=True):
            user = instance.get("user_id") if isinstance(instance, Mapping) else None
            if isinstance(user, str) and isinstance(products, list):
                yield user, "rows", products


def outcomes(fields: Mapping[str, Any], updated_us: int) -> list[Outcome]:
    """What was taken. An event that does not say when happened when it was written."""
    return [
        Outcome(
            series=found.user_id,
            at_us=updated_us if found.at is None else to_epoch_us(found.at),
            text=found.product_id,
        )
        for found in read_interactions(fields)
        if isinstance(found, Interaction) and found.kind not in TAKES_BACK
    ]
