"""Regress each item on all others: what a customer has met says what they will meet. Training half.

EASE (Steck, *Embarrassingly shallow autoencoders for sparse data*, WWW 2019): the weights are
-P / diag(P), where P is the inverse of the items' Gram matrix plus a ridge. Knows no event, no time
and no blend.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_KEPT = 1_500_000
"""Weights that a version carries; the smallest of each item are left out."""

_LEAST_KEPT = 100
_HIGHEST_RIDGE, _LOWEST_RIDGE = 500.0, 20.0
"""Published optima lie from 200 to 1,000, from a thousand customers to half a million; fewer
customers cannot outweigh that much."""

Ints = NDArray[np.int64]


def regress_items(
    user: Ints, item: Ints, shape: tuple[int, int], n_products: int, max_items: int
) -> Any:
    """(n_items, n_products) sparse float32: the weight of an item met for a product.

    user, item : (n_pairs,) who met what, each once. shape : (n_users, n_items).
    n_products : the first so many items may be recommended.
    max_items : only so many items with the most customers take part, because memory grows with
        their square and time with their cube; the others have no weights. 0: none does.
    """
    from scipy import sparse

    n_customers = np.bincount(item, minlength=shape[1])
    chosen = np.sort(np.argsort(-n_customers, kind="stable")[:max_items])
    chosen = chosen[n_customers[chosen] > 0]
    if len(chosen) < 2:
        return sparse.csr_matrix((shape[1], n_products), dtype=np.float32)
    ones = np.ones(len(user), dtype=np.float32)
    met = sparse.csr_matrix((ones, (user, item)), shape)[:, chosen]
    ridge = min(max(np.unique(user).size / 2, _LOWEST_RIDGE), _HIGHEST_RIDGE)
    weights = _weights((met.T @ met).toarray(), ridge)
    return _widened(weights[:, chosen < n_products], chosen, (shape[1], n_products))


def _weights(gram: NDArray[np.float32], ridge: float) -> NDArray[np.float32]:
    """(n, n): the weight of the item of a row for the item of a column; `gram` is used up."""
    from scipy.linalg import lapack

    places = np.arange(len(gram))
    gram[places, places] += np.float32(ridge)
    factor, failed = lapack.spotrf(gram, lower=1, overwrite_a=1, clean=1)
    inverse, also_failed = lapack.spotri(factor, lower=1, overwrite_c=1)
    assert not failed, "a Gram matrix with a ridge is positive definite"
    assert not also_failed, "and so is its factor"
    inverse += np.tril(inverse, -1).T
    inverse /= -np.diagonal(inverse).copy()
    inverse[places, places] = 0.0
    return np.asarray(inverse, dtype=np.float32)


def _widened(weights: NDArray[np.float32], chosen: Ints, shape: tuple[int, int]) -> Any:
    """Sparse, in the places of all items, the weights of each row that are the farthest from 0."""
    from scipy import sparse

    n_rows, width = weights.shape
    n = min(width, max(_LEAST_KEPT, MAX_KEPT // n_rows))
    columns = chosen[:width]  # items are in order, so those to recommend come first
    if n < width:
        kept = np.sort(np.argpartition(-np.abs(weights), n - 1, axis=1)[:, :n], axis=1)
        values, places = np.take_along_axis(weights, kept, axis=1), columns[kept]
    else:
        values, places = weights, np.broadcast_to(columns, weights.shape)
    sizes = np.zeros(shape[0], dtype=np.int64)
    sizes[chosen] = n
    start = np.append(0, np.cumsum(sizes))
    matrix = sparse.csr_matrix((values.ravel(), places.ravel(), start), shape)
    matrix.eliminate_zeros()
    return matrix
