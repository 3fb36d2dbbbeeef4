"""How long a catalogue of 10,000 products takes to train, and an answer from it.

    python -m benchmarks.speed_products [PRODUCTS]

Made-up products of 40 words each in a vocabulary with the usual few common and many rare words,
200,000 events of 20,000 customers. Wall time of this machine; processor time beside it, because
other work on the machine does not count there.
"""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from shared.records import Table, to_epoch_us
from shared.workloads import open_workload
from shared.workloads.contract import Answerer, Workload

NOW = datetime(2026, 11, 21, tzinfo=UTC)
N_WORDS, N_CATEGORIES, N_CUSTOMERS, N_EVENTS = 8_000, 40, 20_000, 200_000


def made_up_products(n: int, seed: int = 0) -> Table:
    rng = random.Random(seed)
    vocabulary = [f"word{i}" for i in range(N_WORDS)]
    share = list(itertools.accumulate(1 / (i + 1) for i in range(N_WORDS)))
    special = [rng.sample(vocabulary[200:], 60) for _ in range(N_CATEGORIES)]
    documents = []
    for _ in range(n):
        category = rng.randrange(N_CATEGORIES)
        words = rng.choices(vocabulary, cum_weights=share, k=28)
        words += rng.choices(special[category], k=12)
        rng.shuffle(words)
        documents.append(
            {
                "name": " ".join(words[:4]),
                "description": " ".join(words[4:]),
                "category": f"Category {category}",
                "price": round(rng.lognormvariate(3, 1), 2),
                "rating": round(rng.uniform(1, 5), 1),
                "status": "approved",
            }
        )
    return _table("products", [f"p{i}" for i in range(n)], documents)


def made_up_events(n_products: int, seed: int = 1) -> Table:
    rng = random.Random(seed)
    kinds = ["view"] * 8 + ["add_to_cart", "purchase"]
    documents = [
        {
            "user_id": f"u{int(rng.paretovariate(0.6)) % N_CUSTOMERS}",
            "product_id": f"p{int(rng.paretovariate(0.3)) % n_products}",
            "type": rng.choice(kinds),
            "timestamp": to_epoch_us(NOW) // 1_000_000 - rng.randrange(60 * 86_400),
        }
        for _ in range(N_EVENTS)
    ]
    return _table("interactions", [f"e{i}" for i in range(N_EVENTS)], documents)


def _table(stream: str, ids: list[str], documents: list[Any]) -> Table:
    bodies = [msgspec.json.encode(fields) for fields in documents]
    return Table(stream, ids, [to_epoch_us(NOW)] * len(ids), bodies)


@contextmanager
def _timed(what: str) -> Iterator[None]:
    wall_s, busy_s = time.perf_counter(), time.process_time()
    yield
    wall_s, busy_s = time.perf_counter() - wall_s, time.process_time() - busy_s
    print(f"  {wall_s:6.2f} s  (processor {busy_s:5.2f} s)  {what}")


def train(workload: Workload, tables: dict[str, Table]) -> Answerer:
    """The stages of a training run, each with its time."""
    with _timed("all of it"):
        with _timed("reading records"):
            rows = workload.training_set(tables)
            older, holdout = workload.split(rows)
        with _timed("fit"):
            estimator = workload.fit(older, 0, lambda _fraction, _stage: None)
        with _timed("score candidate and baseline"):
            score = workload.score(estimator, holdout)
            workload.score_baseline(holdout)
        with _timed("state"):
            state = workload.state(rows)
    with _timed("open"):
        answerer = workload.open(estimator, state)
    megabytes = sum(map(len, state.values())) / 1e6
    print(f"  {megabytes:6.1f} MB of state; {rows.n_rows} rows; {dict(score.metrics)}")
    return answerer


def time_answers(what: str, ask: Callable[[int], object], n: int = 2000) -> None:
    taken_ms = []
    for i in range(n):
        started = time.perf_counter()
        ask(i)
        taken_ms.append((time.perf_counter() - started) * 1e3)
    median, slow = np.percentile(taken_ms, [50, 99])
    print(f"  {median:6.3f} ms median, {slow:.3f} ms 99th percentile: {what}")


def main() -> int:
    n_products = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with _timed("import of what training needs"):
        import sklearn.feature_extraction.text  # noqa: F401
    products = made_up_products(n_products)
    print(f"product_similarity, {n_products:,} products")
    similar = train(open_workload("product_similarity", {}), {"products": products})
    time_answers(
        "similar",
        lambda i: similar.answer("similar", {"product_id": f"p{i % n_products}"}, NOW),
    )
    print(f"product_recommender, {n_products:,} products, {N_EVENTS:,} events")
    tables = {"products": products, "interactions": made_up_events(n_products)}
    recommend = train(open_workload("product_recommender", {}), tables)
    time_answers(
        "for_user",
        lambda i: recommend.answer("for_user", {"user_id": f"u{i}", "n": 10}, NOW),
    )
    time_answers("popular", lambda _: recommend.answer("popular", {}, NOW))
    return 0


if __name__ == "__main__":
    sys.exit(main())
