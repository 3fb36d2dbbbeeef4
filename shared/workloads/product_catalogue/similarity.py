"""The similarity of two products, 0 to 1: weighted text, price and rating. Training half only."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import SettingsInvalid
from shared.stored_types import reduced
from shared.workloads.product_catalogue.catalogue import Catalogue, Floats
from shared.workloads.product_catalogue.neighbours import Neighbours
from shared.workloads.product_catalogue.text_vectors import WordVectors

MOST_STARS = 5

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_BLOCK_CELLS = 1 << 20  # of one dense block of similarities: 4 MB stay in the processor's cache
_N_CHUNKS = 4  # for each answer; see _best


class Similarity(msgspec.Struct, frozen=True):
    """The shares of the three parts; they add up to 1.

    text : cosine of the TF-IDF vectors. price : the lower price divided by the higher (of price
    + 1, so that free products can be compared). rating : 1 less a fifth of the stars between.
    """

    text: float = 0.7
    price: float = 0.2
    rating: float = 0.1

    __reduce__ = reduced

    @classmethod
    def of(cls, text: float, price: float, rating: float) -> Similarity:
        """Any weights, brought to a sum of 1.

        Raises:
            SettingsInvalid: all are 0.
        """
        total = text + price + rating
        if not total > 0:
            raise SettingsInvalid(
                "parameters: of text_weight, price_weight and rating_weight at least one must be"
                " above 0."
            )
        return cls(text / total, price / total, rating / total)


def nearest(
    similarity: Similarity,
    vectors: WordVectors,
    catalogue: Catalogue,
    *,
    queries: Any,
    prices: Floats,
    ratings: Floats,
    leave_out: NDArray[np.int64],
    n: int,
) -> Neighbours:
    """The n products of the catalogue that are nearest to each query, best first; exact.

    queries : (n_queries, n_words) sparse, in the words of `vectors`.
    prices, ratings : (n_queries,); an unknown one counts as the middle of the catalogue, so that
        it is neither near to nor far from anything.
    leave_out : (n_queries,) a place that may not be among the answers; -1 for none.
    """
    n_queries, n_products = queries.shape[0], len(catalogue)
    n = min(n, max(n_products - 1, 0))
    places = np.zeros((n_queries, n), dtype=np.int32)
    scores = np.zeros((n_queries, n), dtype=np.float32)
    if not n:
        return Neighbours(places, scores)
    rows = max(1, min(n_queries, _BLOCK_CELLS // n_products))
    block, part, spare = (np.empty((rows, n_products), dtype=np.float32) for _ in range(3))
    price, asked_price = _filled(catalogue.prices), _filled(prices, catalogue.prices)
    rating, asked_rating = _filled(catalogue.ratings), _filled(ratings, catalogue.ratings)
    for start in range(0, n_queries, rows):
        these = slice(start, min(start + rows, n_queries))
        size = these.stop - start
        total, one, other = block[:size], part[:size], spare[:size]
        _text_part(queries[these], vectors, similarity.text, total, one)
        if similarity.price:
            _add_price_part(asked_price[these], price, similarity.price, total, one, other)
        if similarity.rating:
            _add_rating_part(asked_rating[these], rating, similarity.rating, total, one)
        own = leave_out[these]
        has_own = np.flatnonzero(own >= 0)
        total[has_own, own[has_own]] = -1.0
        places[these], scores[these] = best(total, n)
    return Neighbours(places, scores)


def best(scores: NDArray[np.float32], n: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The n highest of each row with their places, highest first, ties by place.

    A row is cut into more than n chunks; the n-th highest of their maxima is a bound that at
    least n values reach and few others do, and finding it costs one pass instead of a selection.
    """
    n_rows, width = scores.shape
    length = width // (_N_CHUNKS * n)
    if length >= 4:
        chunks = scores[:, : length * _N_CHUNKS * n].reshape(n_rows, _N_CHUNKS * n, length)
        bound = np.partition(chunks.max(axis=2), (_N_CHUNKS - 1) * n, axis=1)
        row, place = np.nonzero(scores >= bound[:, (_N_CHUNKS - 1) * n, None])
        is_sharp = len(row) <= 8 * n * n_rows  # not where many are alike
    if length < 4 or not is_sharp:
        found = np.argpartition(scores, width - n, axis=1)[:, width - n :]
        row, place = np.repeat(np.arange(n_rows), n), found.ravel()
    value = scores[row, place]
    order = np.lexsort((place, -value, row))
    first = np.searchsorted(row, np.arange(n_rows))  # rows stay in their places when sorted
    chosen = order[first[:, None] + np.arange(n)]
    return place[chosen].astype(np.int32), value[chosen]


def _text_part(
    queries: Any,
    vectors: WordVectors,
    share: float,
    total: NDArray[np.float32],
    spare: NDArray[np.float32],
) -> None:
    """Cosines: of rare words sparse, of the few common ones as one dense product."""
    if not share:
        total[:] = 0.0
        return
    (queries[:, vectors.is_rare] @ vectors.rare).toarray(out=total)
    if vectors.common.shape[0]:
        total += np.matmul(queries[:, ~vectors.is_rare].toarray(), vectors.common, out=spare)
    total *= np.float32(share)


def _add_price_part(
    asked: NDArray[np.float32],
    prices: NDArray[np.float32],
    share: float,
    total: NDArray[np.float32],
    one: NDArray[np.float32],
    other: NDArray[np.float32],
) -> None:
    """The lower of a / b and b / a; from factors, because dividing is slow."""
    a, b = asked + 1, prices + 1
    np.multiply(a[:, None], (1 / b)[None, :], out=one)
    np.multiply((1 / a)[:, None], b[None, :], out=other)
    np.minimum(one, other, out=one)
    one *= np.float32(share)
    total += one


def _add_rating_part(
    asked: NDArray[np.float32],
    ratings: NDArray[np.float32],
    share: float,
    total: NDArray[np.float32],
    one: NDArray[np.float32],
) -> None:
    np.subtract(asked[:, None], ratings[None, :], out=one)
    np.abs(one, out=one)
    one *= np.float32(share / MOST_STARS)
    total -= one
    total += np.float32(share)


def _filled(values: Floats, of: Floats | None = None) -> NDArray[np.float32]:
    of = values if of is None else of
    known = of[~np.isnan(of)]
    middle = float(np.median(known)) if known.size else 0.0
    return np.where(np.isnan(values), middle, values).astype(np.float32)
