"""Score similarity without clicks, by category or by known-item search. Training half only.

With a category: the nearest-neighbour test of the cluster hypothesis (Voorhees, SIGIR 1985).
The category is hidden from the product that asks, and the loss is the share of its nearest
products that are of another one. Without: known-item search with a simulated query (Azzopardi,
de Rijke and Balog, SIGIR 2007). Half of a product's words ask, price and rating unknown, and the
loss is 1 unless the product itself is among the first ten.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from shared.workloads.product_catalogue.catalogue import Floats
from shared.workloads.product_catalogue.neighbours import Neighbours
from shared.workloads.product_catalogue.similarity import Similarity, nearest
from shared.workloads.product_catalogue.text_vectors import product_texts
from shared.workloads.product_catalogue.training_catalogue import TrainingCatalogue

N_JUDGED = 10
"""So many of the nearest products are looked at."""

UNIT = "misses per shown product"
NEAREST_PRICE = Similarity(text=0.0, price=1.0, rating=0.0)

Places = NDArray[np.int64]


def labels(training_catalogue: TrainingCatalogue) -> Places:
    """(n_products,): a number for each category, -1 where a product is the only one of its kind
    or has none: about those the categories say nothing."""
    categories = np.array(training_catalogue.catalogue.categories, dtype=np.str_)
    _, label, size = np.unique(categories, return_inverse=True, return_counts=True)
    has_peers = (categories != "") & (size[label] > 1)
    return np.where(has_peers, label, -1).astype(np.int64)


def losses(training_catalogue: TrainingCatalogue, similarity: Similarity, asking: Places) -> Floats:
    """(n_asking,) 0..1. asking : places of the products that ask."""
    return _by_kind(
        training_catalogue,
        asking,
        with_category=lambda places: _disagreement(training_catalogue, similarity, places),
        without=lambda places: _not_found(training_catalogue, similarity, places),
    )


def naive_losses(training_catalogue: TrainingCatalogue, asking: Places) -> Floats:
    """The baseline: the products nearest in price; where a product searches itself, ten at
    random, because its own price would give it away."""
    chance = min(N_JUDGED, len(training_catalogue.catalogue)) / max(
        len(training_catalogue.catalogue), 1
    )
    return _by_kind(
        training_catalogue,
        asking,
        with_category=lambda places: _disagreement(training_catalogue, NEAREST_PRICE, places),
        without=lambda places: np.full(len(places), 1.0 - chance),
    )


def _by_kind(
    training_catalogue: TrainingCatalogue,
    asking: Places,
    *,
    with_category: Callable[[Places], Floats],
    without: Callable[[Places], Floats],
) -> Floats:
    is_labelled = labels(training_catalogue)[asking] >= 0
    loss = np.zeros(len(asking))
    for these, judge in ((is_labelled, with_category), (~is_labelled, without)):
        if these.any():
            loss[these] = judge(asking[these])
    return loss


def _disagreement(
    training_catalogue: TrainingCatalogue, similarity: Similarity, places: Places
) -> Floats:
    """Of as many as there could be at most, up to ten, the share that is of another category."""
    label = labels(training_catalogue)
    texts = _texts(training_catalogue, places)
    found = _ask(training_catalogue, similarity, texts, places, leave_out=places)
    peers = np.bincount(label[label >= 0])[label[places]] - 1
    looked_at = np.minimum(peers, found.places.shape[1])
    is_looked_at = np.arange(found.places.shape[1]) < looked_at[:, None]
    is_right = (label[found.places] == label[places][:, None]) & is_looked_at
    return 1.0 - np.asarray(is_right.sum(axis=1) / looked_at, dtype=np.float64)


def _not_found(
    training_catalogue: TrainingCatalogue, similarity: Similarity, places: Places
) -> Floats:
    halves = [_half(text) for text in _texts(training_catalogue, places)]
    found = _ask(training_catalogue, similarity, halves, None, leave_out=np.full(len(places), -1))
    return 1.0 - np.asarray((found.places == places[:, None]).any(axis=1), dtype=np.float64)


def _ask(
    training_catalogue: TrainingCatalogue,
    similarity: Similarity,
    texts: list[str],
    places: Places | None,
    leave_out: Places,
) -> Neighbours:
    """places : whose price and rating the queries have; None where they are unknown."""
    catalogue, unknown = training_catalogue.catalogue, np.full(len(texts), np.nan)
    return nearest(
        similarity,
        training_catalogue.vectors,
        catalogue,
        queries=training_catalogue.vectors.of(texts),
        prices=unknown if places is None else catalogue.prices[places],
        ratings=unknown if places is None else catalogue.ratings[places],
        leave_out=leave_out,
        n=N_JUDGED,
    )


def _texts(training_catalogue: TrainingCatalogue, places: Places) -> list[str]:
    names = [training_catalogue.catalogue.names[place] for place in places]
    return product_texts(names, [training_catalogue.words[place] for place in places])


def _half(text: str) -> str:
    """Half of the different words, chosen by a hash, so that every model is asked the same."""
    words = sorted(set(text.split()), key=lambda word: (zlib.crc32(word.encode()), word))
    return " ".join(words[: -(-len(words) // 2)])
