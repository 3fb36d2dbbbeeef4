"""Make the serving state of a version from interactions and profiles. Training half."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.workloads.product_catalogue.neighbours import Neighbours
from shared.workloads.product_recommender.features import Pairs, Profiles
from shared.workloads.product_recommender.rows import Interactions
from shared.workloads.product_recommender.serving import Lists, ServingState

_MAX_OWNED = 1000
"""Products of one customer that are remembered as bought: the newest."""


def serving_state_of(
    interactions: Interactions,
    profiles: Profiles,
    alike: Neighbours,
    *,
    max_users: int,
    max_history: int,
) -> ServingState:
    """Bounded by users (the most recently active) and by the length of a history (the newest)."""
    pairs, n_products = profiles.pairs, interactions.n_products
    kept = _most_recent(pairs, len(interactions.users), max_users)
    place_of = np.full(len(interactions.users), -1, dtype=np.int64)
    place_of[kept] = np.arange(len(kept))
    is_kept = place_of[pairs.user] >= 0
    strength = pairs.strength.astype(np.float32)

    def lists(chosen: NDArray[np.bool_], values: NDArray[np.float32]) -> Lists:
        chosen = chosen & is_kept
        user = place_of[pairs.user[chosen]]
        order = np.argsort(user, kind="stable")
        start = np.append(0, np.cumsum(np.bincount(user, minlength=len(kept))))
        items = pairs.item[chosen][order].astype(np.int32)
        return Lists(start.astype(np.int64), items, values[chosen][order])

    is_owned = pairs.is_owned & (pairs.item < n_products) & (_nth_owned(pairs) < _MAX_OWNED)
    return ServingState(
        interactions.training_catalogue.catalogue,
        alike,
        _as_lists(profiles.co_occurrence),
        profiles.popularity,
        [interactions.users[user] for user in kept],
        lists(pairs.back < max_history, strength),
        lists(is_owned, np.ones(len(pairs.user), dtype=np.float32)),
        _as_lists(profiles.regression),
        profiles.recent,
        _as_lists(profiles.bought[kept]),
    )


def _most_recent(pairs: Pairs, n_users: int, max_users: int) -> NDArray[np.int64]:
    last_us = np.zeros(n_users, dtype=np.int64)
    np.maximum.at(last_us, pairs.user, pairs.last_us)
    newest_first = np.argsort(-last_us, kind="stable")[:max_users]
    return np.sort(newest_first[last_us[newest_first] > 0]).astype(np.int64)


def _nth_owned(pairs: Pairs) -> NDArray[np.int64]:
    """0 for the newest product that a user bought, 1 for the one before."""
    so_far = np.cumsum(pairs.is_owned)
    before = np.where(pairs.back == 0, so_far - pairs.is_owned, 0)
    return np.asarray(so_far - pairs.is_owned - np.maximum.accumulate(before), dtype=np.int64)


def _as_lists(matrix: Any) -> Lists:
    return Lists(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32),
        matrix.data.astype(np.float32),
    )
