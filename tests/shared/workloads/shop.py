"""A made-up shop: seeded products of a few categories, customers who each like one of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from shared.records import Table, to_epoch_us
from shared.workloads.contract import Answerer, Workload
from shared.workloads.product_recommender.workload import ProductRecommender
from shared.workloads.product_similarity.workload import ProductSimilarity
from shared.workloads.training import TrainingSet

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
FIRST_DAY = datetime(2026, 9, 1, tzinfo=UTC)
CATEGORIES = ("Bicycles", "Kitchen", "Garden", "Books")
_WORDS = {
    "Bicycles": "wheel saddle frame chain pedal brake gear tyre",
    "Kitchen": "pan knife steel oven cup plate spoon kettle",
    "Garden": "seed soil spade hose grass pot rake bench",
    "Books": "novel story author pages paper cover print reader",
}
_COMMON = "new classic strong light red blue green small large best quality value"


def no_progress(_fraction: float, _stage: str) -> None:
    """For fits that nobody watches."""


def products(n: int = 80, seed: int = 0) -> list[dict[str, Any]]:
    """Approved products; their categories show in their words and prices."""
    rng = random.Random(seed)
    found = []
    for i in range(n):
        category = CATEGORIES[i % len(CATEGORIES)]
        words = [*rng.sample(_WORDS[category].split(), 4), *rng.sample(_COMMON.split(), 4)]
        found.append(
            {
                "id": f"p{i:03d}",
                "name": f"{words[0]} {words[4]} {i}",
                "description": " ".join(words),
                "category": category,
                "price": round(10 * (1 + i % len(CATEGORIES)) * rng.uniform(0.5, 2), 2),
                "rating": round(rng.uniform(2, 5), 1),
                "status": "approved",
            }
        )
    return found


def events(n_users: int = 60, n_days: int = 60, n_products: int = 80, seed: int = 1) -> list[Any]:
    """Each customer mostly meets products of one category, a few of them often."""
    rng = random.Random(seed)
    found = []
    for user in range(n_users):
        for _ in range(rng.randint(6, 14)):
            liked = rng.random() < 0.8
            category = user % len(CATEGORIES) if liked else rng.randrange(len(CATEGORIES))
            nth = min(int(rng.expovariate(0.2)), n_products // len(CATEGORIES) - 1)
            at = FIRST_DAY + timedelta(days=rng.uniform(0, n_days))
            kind = rng.choice(["view", "view", "add_to_cart", "purchase"])
            found.append(
                {
                    "user_id": f"u{user:03d}",
                    "product_id": f"p{category + nth * len(CATEGORIES):03d}",
                    "type": kind,
                    "timestamp": at.isoformat(),
                }
            )
    return found


def table(stream: str, documents: Iterable[Mapping[str, Any]], at: datetime = NOW) -> Table:
    """Documents as the trainer gets them, all written at the same time."""
    bodies = [msgspec.json.encode(fields) for fields in documents]
    return Table(
        stream, [f"{i:06d}" for i in range(len(bodies))], [to_epoch_us(at)] * len(bodies), bodies
    )


def rows_of(
    workload: Workload,
    catalogue: Iterable[Mapping[str, Any]],
    happened: Iterable[Mapping[str, Any]] = (),
) -> TrainingSet:
    """The training set of these documents."""
    return workload.training_set(
        {"products": table("products", catalogue), "interactions": table("interactions", happened)}
    )


def opened(workload: Workload, rows: TrainingSet) -> Answerer:
    """A version fitted on the older rows, with everything as its state."""
    train, _ = workload.split(rows)
    return workload.open(workload.fit(train, 0, no_progress), workload.state(rows))


def similarity(catalogue: list[dict[str, Any]], **parameters: Any) -> Answerer:
    """An opened version of product_similarity."""
    workload = ProductSimilarity(parameters)
    return opened(workload, rows_of(workload, catalogue))


def recommender(
    catalogue: list[dict[str, Any]], happened: list[dict[str, Any]], **parameters: Any
) -> Answerer:
    """An opened version of product_recommender."""
    workload = ProductRecommender(parameters)
    return opened(workload, rows_of(workload, catalogue, happened))


def ids(answer: Mapping[str, Any]) -> list[str]:
    """The products of an answer."""
    return [one["product_id"] for one in answer["recommendations"]]
