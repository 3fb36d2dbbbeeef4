"""How well the recommender finds what people met next: MovieLens-100K, 100,000 real ratings.

    python -m benchmarks.accuracy_movielens

Turns films into products and ratings into events in the shapes that shops write, and runs the
workload as the daemons do: training set, fit, score, state, answers. Each held-out rating is
ranked against 99 films that its user never rated; it is a hit among the first ten.

Two splits of each user's ratings, older 80 % known and the last 20 % asked for:
  in the order of the file   the published protocol of the bar; that order says nothing about time
  in the order of time       what a shop meets: harder, because tastes and films move on

The data comes with the package recbole (1.2.1), which is located, never imported.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.records import Table, from_epoch_us
from shared.workloads.product_recommender.model import ONLY_POPULAR, Blend
from shared.workloads.product_recommender.workload import ProductRecommender, hold_out
from shared.workloads.training import TrainingSet

HIT_RATE_BAR = 0.65
N_RATINGS = 100_000

_ASKED = 0.2


@dataclass(frozen=True, slots=True)
class Films:
    """films : id -> (title, classes, year). The columns are (n_ratings,) in the file's order."""

    films: Mapping[str, tuple[str, str, str]]
    user: Sequence[str]
    film: Sequence[str]
    stars: Sequence[float]
    at_s: Sequence[int]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Name -> metrics, of one split. blend : what was learnt."""

    metrics: Mapping[str, Mapping[str, float]]
    blend: Blend

    @property
    def hit_rate(self) -> float:
        return self.metrics["hotfit"]["hit_rate_10"]


def data_directory() -> Path | None:
    """Where recbole keeps its data; None when it is not installed."""
    spec = find_spec("recbole")
    if spec is None or not spec.submodule_search_locations:
        return None
    directory = Path(spec.submodule_search_locations[0]) / "dataset_example" / "ml-100k"
    return directory if (directory / "ml-100k.inter").exists() else None


def read_films(directory: Path) -> Films:
    """The two files as they stand."""
    films = {
        film: (title, classes, year)
        for film, title, year, classes in _rows(directory / "ml-100k.item")
    }
    ratings = _rows(directory / "ml-100k.inter")
    if len(ratings) != N_RATINGS:
        raise ValueError(f"ml-100k.inter: expected {N_RATINGS} ratings, found {len(ratings)}")
    return Films(
        films,
        [row[0] for row in ratings],
        [row[1] for row in ratings],
        [float(row[2]) for row in ratings],
        [int(float(row[3])) for row in ratings],
    )


def _rows(file: Path) -> list[list[str]]:
    return [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()[1:]]


def as_tables(data: Films, seed: int = 0) -> dict[str, Table]:
    """Products and events in shapes that shops write, ratings in the order of the file."""
    rng = random.Random(seed)
    products = [
        {"title": title, "categories": classes.split() or None, "tags": [classes, year]}
        for title, classes, year in data.films.values()
    ]
    events = [
        _event(*rating, rng)
        for rating in zip(data.user, data.film, data.stars, data.at_s, strict=True)
    ]
    latest_us = (max(data.at_s) + 1) * 1_000_000
    return {
        "products": _table("products", list(data.films), products, latest_us),
        "interactions": _table(
            "interactions", [f"{i:06d}" for i in range(len(events))], events, latest_us
        ),
    }


def _event(user: str, film: str, stars: float, at_s: int, rng: random.Random) -> dict[str, Any]:
    return rng.choice(
        [
            {"user_id": user, "product_id": film, "type": "rate", "rating": stars,
             "timestamp": at_s},
            {"userId": int(user), "itemId": film, "event": "RATING", "value": str(stars),
             "createdAt": from_epoch_us(at_s * 1_000_000).isoformat()},
            {"user": {"id": user}, "product": {"id": film}, "stars": stars,
             "time": {"seconds": at_s, "nanoseconds": 0}},
        ]
    )  # fmt: skip


def _table(stream: str, ids: list[str], documents: list[Any], at_us: int) -> Table:
    bodies = [msgspec.json.encode(fields) for fields in documents]
    return Table(stream, ids, [at_us] * len(ids), bodies)


def measure(data: Films, *, by_time: bool) -> Accuracy:
    """Known the older four fifths of each user, asked for the rest."""
    workload = ProductRecommender({})
    rows = workload.training_set(as_tables(data))
    if rows.n_rows != N_RATINGS:
        raise AssertionError(f"expected {N_RATINGS} rows, found {rows.n_rows}")
    train, holdout = _per_user_split(rows, data, by_time=by_time)
    blend: Blend = workload.fit(train, seed=0, progress=lambda _fraction, _stage: None)
    steady = ProductRecommender({"taste_half_life": 10_000})
    tried = {
        "hotfit": blend,
        "collaborative part alone": Blend(0.0, 1.0, 0.0),
        "content part alone": Blend(1.0, 0.0, 0.0),
        "popularity (the naive baseline)": ONLY_POPULAR,
    }
    metrics = {name: workload.score(one, holdout).metrics for name, one in tried.items()}
    metrics["hotfit with taste_half_life = 10000 (none fades)"] = steady.score(
        blend, holdout
    ).metrics
    return Accuracy(metrics, blend)


def _per_user_split(
    rows: TrainingSet, data: Films, *, by_time: bool
) -> tuple[TrainingSet, TrainingSet]:
    interactions = rows.context
    user, film = rows.features[:, 0].astype(np.int64), rows.target.astype(np.int64)
    place_of_user = {id_: place for place, id_ in enumerate(interactions.users)}
    place_of_film = interactions.training_catalogue.catalogue.place_of
    in_file = np.array([place_of_user[one] for one in data.user]) * len(interactions.items)
    in_file += np.array([place_of_film[one] for one in data.film])
    order = np.argsort(in_file)
    pair = user * len(interactions.items) + film
    position = order[np.searchsorted(in_file[order], pair)]
    if by_time:
        position = np.array(data.at_s)[position] * N_RATINGS + position
    is_asked = _last_of_each(user, position)
    return hold_out(rows, is_asked, ~np.isin(interactions.pair, pair[is_asked]))


def _last_of_each(user: NDArray[np.int64], position: NDArray[np.int64]) -> NDArray[np.bool_]:
    order = np.lexsort((position, user))
    nth = np.empty(len(user), dtype=np.int64)
    nth[order] = np.arange(len(user)) - np.searchsorted(user[order], user[order])
    count = np.bincount(user)[user]
    return np.asarray(nth >= np.floor(count * (1 - _ASKED)), dtype=np.bool_)


def measure_answers(data: Films) -> tuple[float, float]:
    """(median, 99th percentile) in ms of `for_user` of an opened version, all users."""
    workload = ProductRecommender({})
    rows = workload.training_set(as_tables(data))
    answerer = workload.open(Blend(0.1, 0.8, 0.1), workload.state(rows))
    now, taken_ms = from_epoch_us(max(data.at_s) * 1_000_000), []
    for user in sorted(set(data.user)):
        started = time.perf_counter()
        answerer.answer("for_user", {"user_id": user, "n": 10}, now)
        taken_ms.append((time.perf_counter() - started) * 1e3)
    return float(np.median(taken_ms)), float(np.percentile(taken_ms, 99))


def main() -> int:
    directory = data_directory()
    if directory is None:
        print("recbole is not installed: pip install --no-deps recbole==1.2.1", file=sys.stderr)
        return 2
    data = read_films(directory)
    print(f"MovieLens-100K, {N_RATINGS:,} ratings; last 20 % of each user against 99 unrated films")
    is_within = True
    for title, by_time in (("in the order of the file", False), ("in the order of time", True)):
        accuracy = measure(data, by_time=by_time)
        bar = "" if by_time else f" (hit rate at least {HIT_RATE_BAR})"
        print(f"\n{title}{bar}\n  hit rate   NDCG  coverage   at 10")
        for name, found in accuracy.metrics.items():
            hits, gain, covered = (found[f"{one}_10"] for one in ("hit_rate", "ndcg", "coverage"))
            print(f"  {hits:8.3f} {gain:6.3f}  {covered:8.3f}   {name}")
        blend = accuracy.blend
        print(
            f"  learnt on {blend.n_learnt_from} ratings: content {blend.content:g},"
            f" collaborative {blend.collaborative:g}, popularity {blend.popularity:g}"
        )
        is_within &= by_time or accuracy.hit_rate >= HIT_RATE_BAR
    median_ms, slow_ms = measure_answers(data)
    print(f"\na user's answer: median {median_ms:.2f} ms, 99th percentile {slow_ms:.2f} ms")
    return 0 if is_within else 1


if __name__ == "__main__":
    sys.exit(main())
