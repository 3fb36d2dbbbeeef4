"""Make user profiles, item neighbours and popularity from interactions. Training half only.

Items are neighbours when the same customers met them, by two methods: RP3beta (Paudel, Christoffel,
Newell and Bernstein, ACM TiiS 2016), a walk with a graph's normalisation that Ferrari Dacrema,
Cremonesi and Jannach (RecSys 2019) found hard to beat, and `item_regression`. Deterministic; no
iterations, no seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.workloads.product_catalogue.similarity import Similarity
from shared.workloads.product_recommender.item_regression import regress_items
from shared.workloads.product_recommender.model import Blend
from shared.workloads.product_recommender.rows import Interactions, Ints

N_CO_OCCURRING = 100
"""Neighbours kept for each item. Half or twice as many changed the hit rate by about 1 %."""

MAX_HISTORY = 500
"""Newest products of one customer that are learnt from; beyond is a crawler or another shop."""

RECENT_HALF_LIFE_DAYS = 7.0
BOUGHT_HALF_LIFE_DAYS = 60.0

_WALK = 0.6  # flattens the steps of the walk; 0.5 to 0.8 differ by less than 1 %
_POPULARITY_PENALTY = 0.6  # at 0.3 the neighbours of everything are the best sellers
_BLOCK_CELLS = 1 << 22

Floats32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pairs:
    """One row per user and item that met, by user, newest first. Columns are (n_pairs,).

    strength : log(1 + interest), summed over the events (Hu, Koren and Volinsky, ICDM 2008).
    back : 0 for the newest item of a user, 1 for the one before.
    """

    user: Ints
    item: Ints
    strength: NDArray[np.float64]
    last_us: Ints
    back: Ints
    is_owned: NDArray[np.bool_]

    def where(self, mask: NDArray[np.bool_]) -> Pairs:
        return Pairs(
            self.user[mask],
            self.item[mask],
            self.strength[mask],
            self.last_us[mask],
            self.back[mask],
            self.is_owned[mask],
        )


def pairs_of(interactions: Interactions) -> Pairs:
    """The known events, put together."""
    known = interactions.is_known
    pair, at_us = interactions.pair[known], interactions.at_us[known]
    # Backwards, so that the first of a pair is its newest event.
    unique, first, group = np.unique(pair[::-1], return_index=True, return_inverse=True)
    n = len(unique)
    interest = np.bincount(group, interactions.interest[known][::-1], n)
    is_owned = np.bincount(group, interactions.is_owned[known][::-1], n) > 0
    user, item = np.divmod(unique, max(len(interactions.items), 1))
    order = np.lexsort((first, user))
    user = user[order]
    return Pairs(
        user=user,
        item=item[order],
        strength=np.log1p(interest[order]),
        last_us=at_us[::-1][first[order]],
        back=np.arange(n) - np.searchsorted(user, user),
        is_owned=is_owned[order],
    )


@dataclass(frozen=True, slots=True)
class Profiles:
    """What the parts of an answer are computed from.

    strength : (n_users, n_items) sparse; the items of a row stand newest first.
    co_occurrence, regression : (n_items, n_products) sparse: what an item met says of products.
    alike : (n_items, n_products) sparse: products that are alike.
    popularity, recent : (n_products,) 0..1, over a long and over a short while.
    bought : (n_users, n_products) sparse: how much a customer's own purchases count.
    """

    pairs: Pairs
    strength: Any
    co_occurrence: Any
    regression: Any
    alike: Any
    popularity: Floats32
    recent: Floats32
    bought: Any

    def parts(self, users: Ints, blend: Blend) -> tuple[Floats32, ...]:
        """What `Blend.scores` mixes, each (n_users, n_products); zeros where it counts nothing."""
        from scipy import sparse

        strength = self.strength[users]
        back = np.arange(strength.nnz) - np.repeat(strength.indptr[:-1], np.diff(strength.indptr))
        met = (strength.data * blend.fade(back), strength.indices, strength.indptr)
        history = sparse.csr_matrix(met, strength.shape)
        shape = (len(users), self.popularity.shape[0])
        wanted = (
            (blend.content, history, self.alike),
            (blend.collaborative, history, self.co_occurrence),
            (blend.regression, history, self.regression),
        )
        return (
            *(
                (rows @ matrix).toarray() if share else np.zeros(shape, dtype=np.float32)
                for share, rows, matrix in wanted
            ),
            self.bought[users].toarray() if blend.again else np.zeros(shape, dtype=np.float32),
        )


def profiles_of(
    interactions: Interactions,
    similarity: Similarity,
    *,
    popularity_half_life_days: float,
    max_regressed: int,
) -> Profiles:
    """Of the known events; made once and kept beside them."""
    key = f"profiles {similarity} {popularity_half_life_days} {max_regressed}"
    if key not in interactions.shared:
        pairs = pairs_of(interactions)
        learnt = pairs.where(pairs.back < MAX_HISTORY)
        shape = (len(interactions.users), len(interactions.items))
        interactions.shared[key] = Profiles(
            pairs,
            _strength(learnt, shape),
            _co_occurrence(learnt, interactions),
            regress_items(learnt.user, learnt.item, shape, interactions.n_products, max_regressed),
            _alike(interactions, similarity),
            _popularity(pairs, interactions, popularity_half_life_days),
            _popularity(pairs, interactions, RECENT_HALF_LIFE_DAYS),
            _bought(interactions),
        )
    profiles = interactions.shared[key]
    assert isinstance(profiles, Profiles)
    return profiles


def _strength(learnt: Pairs, shape: tuple[int, int]) -> Any:
    """Made from its arrays, so that the items of a row stay in the order of `back`."""
    from scipy import sparse

    start = np.append(0, np.cumsum(np.bincount(learnt.user, minlength=shape[0])))
    return sparse.csr_matrix((learnt.strength.astype(np.float32), learnt.item, start), shape)


def _bought(interactions: Interactions) -> Any:
    """Days on which a customer bought a product, recent ones more, beside their highest."""
    from scipy import sparse

    counts = interactions.is_known & interactions.is_bought
    counts &= interactions.item < interactions.n_products
    pair, day = interactions.pair[counts], interactions.day[counts].astype(np.int64)
    shape = (len(interactions.users), interactions.n_products)
    if not len(pair):
        return sparse.csr_matrix(shape, dtype=np.float32)
    pair, day = np.unique(np.stack([pair, day]), axis=1)
    age_days = day.max() - day
    user, item = np.divmod(pair, len(interactions.items))
    weight = (0.5 ** (age_days / BOUGHT_HALF_LIFE_DAYS)).astype(np.float32)
    matrix = sparse.csr_matrix((weight, (user, item)), shape)
    matrix.sum_duplicates()
    return matrix


def _co_occurrence(learnt: Pairs, interactions: Interactions) -> Any:
    from scipy import sparse

    n_items, n_products = len(interactions.items), interactions.n_products
    met = sparse.csr_matrix(
        (learnt.strength.astype(np.float32), (learnt.user, learnt.item)),
        (len(interactions.users), n_items),
    )
    of_user, of_item = (np.asarray(met.sum(axis=axis)).ravel() for axis in (1, 0))
    from_user, from_item = met.copy(), met.T.tocsr()
    from_user.data = (from_user.data / _each_row(from_user, of_user)) ** _WALK
    from_item.data = (from_item.data / _each_row(from_item, of_item)) ** _WALK
    penalty = np.maximum(of_item[:n_products], 1e-9) ** -_POPULARITY_PENALTY
    to_product = from_user[:, :n_products].tocsr()
    to_product.data *= penalty[to_product.indices]
    blocks = [sparse.csr_matrix((0, n_products), dtype=np.float32)]
    step = max(1, _BLOCK_CELLS // max(n_products, 1))
    for start in range(0, n_items, step):
        block = from_item[start : start + step] @ to_product
        blocks.append(_best_of_each_row(block, N_CO_OCCURRING, first_place=start))
    return sparse.vstack(blocks, format="csr")


def _best_of_each_row(block: Any, n: int, first_place: int) -> Any:
    """The n highest of each row of a sparse block, without the item itself.

    first_place : the item of the first row; the others follow.
    """
    from scipy import sparse

    kept, sizes = [], []
    for i in range(block.shape[0]):
        at = np.arange(block.indptr[i], block.indptr[i + 1])
        at = at[block.indices[at] != first_place + i]
        if len(at) > n:
            at = at[np.argpartition(block.data[at], len(at) - n)[len(at) - n :]]
        kept.append(at[np.argsort(block.indices[at])])
        sizes.append(len(at))
    chosen = np.concatenate(kept) if kept else np.zeros(0, dtype=np.int64)
    start = np.append(0, np.cumsum(sizes, dtype=np.int64))
    data = block.data[chosen].astype(np.float32)
    return sparse.csr_matrix((data, block.indices[chosen], start), block.shape)


def _alike(interactions: Interactions, similarity: Similarity) -> Any:
    from scipy import sparse

    n_products, n_others = (
        interactions.n_products,
        len(interactions.items) - interactions.n_products,
    )
    neighbours = interactions.training_catalogue.neighbours(similarity)
    known = _rows_of(neighbours.places, neighbours.scores, n_products)
    others = sparse.csr_matrix((n_others, n_products), dtype=np.float32)
    return sparse.vstack([known, others], format="csr")


def _rows_of(places: NDArray[np.int32], values: Floats32, n_products: int) -> Any:
    """(n_rows, n_products) sparse, without the zeros."""
    from scipy import sparse

    n_rows, n = places.shape
    matrix = sparse.csr_matrix(
        (values.ravel(), places.ravel(), np.arange(n_rows + 1) * n), (n_rows, n_products)
    )
    matrix.eliminate_zeros()
    return matrix


def _each_row(matrix: Any, of_row: Floats32) -> Floats32:
    return np.repeat(of_row, np.diff(matrix.indptr))


def _popularity(pairs: Pairs, interactions: Interactions, half_life_days: float) -> Floats32:
    """Customers who met a product, recent ones more: log(1 + so many), beside the highest."""
    newest_us = pairs.last_us.max(initial=0)
    age_days = (newest_us - pairs.last_us) / 86_400e6
    count = np.bincount(pairs.item, 0.5 ** (age_days / half_life_days), len(interactions.items))
    level = np.log1p(count[: interactions.n_products])
    return np.asarray(level / max(level.max(initial=0.0), 1e-12), dtype=np.float32)
