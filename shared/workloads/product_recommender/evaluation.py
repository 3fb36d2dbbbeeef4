"""Score a blend by the hit rate at 10 of 100 on each customer's next product. Training half only.

Each held-out meeting is ranked against 99 products that the customer never met, drawn by a fixed
seed. Sampled ranks order models less surely than full ones (Krichene and Rendle, KDD 2020), so
they are used to compare versions on the same rows and draws, and not as a promise of clicks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.workloads.product_recommender.features import Profiles
from shared.workloads.product_recommender.model import Blend, Floats32, every_blend, of_highest
from shared.workloads.product_recommender.rows import Interactions, Ints

N_OTHERS, N_SHOWN = 99, 10
UNIT = "misses per new product met"

_SEED = 20261121
_MAX_LEARNT_FROM = 3000
_MIN_LEARNT_FROM = 200
_MIN_HISTORY = 5
_HELD_BACK = 0.2
_MAX_USERS_COVERED = 500
_DRAWN = 400
_CHUNK = 256


@dataclass(frozen=True, slots=True)
class Ranks:
    """rank : (n_rows,) other products above the one that was met; ties count half.

    coverage : share of the catalogue in the first ten of up to 500 of the customers.
    """

    rank: NDArray[np.float64]
    coverage: float

    @property
    def is_hit(self) -> NDArray[np.bool_]:
        return self.rank < N_SHOWN

    def metrics(self) -> Mapping[str, float]:
        if not self.rank.size:
            return {}
        gain = np.where(self.is_hit, 1 / np.log2(self.rank + 2), 0.0)
        return {
            "hit_rate_10": float(self.is_hit.mean()),
            "ndcg_10": float(gain.mean()),
            "coverage_10": self.coverage,
        }


def rank(
    blend: Blend, profiles: Profiles, interactions: Interactions, user: Ints, item: Ints
) -> Ranks:
    """user, item : (n_rows,) who met what. Answers come from the known events alone."""
    others = _others(interactions, user, item)
    ranks = np.zeros(len(user))
    shown = np.zeros(interactions.n_products, dtype=np.bool_)
    n_covered = 0
    for users, rows in _chunks(user):
        content, collaborative = _parts(profiles, users)
        scores = blend.scores(content, collaborative, profiles.popularity)
        of_row = np.searchsorted(users, user[rows])
        ranks[rows] = _rank(scores[of_row[:, None], others[rows]], others[rows] >= 0)
        if n_covered < _MAX_USERS_COVERED:
            n_covered += len(users)
            shown[_first_ten(scores, profiles, users)] = True
    coverage = float(shown.mean()) if shown.size else 0.0
    return Ranks(ranks, coverage)


def learn(default: Blend, profiles: Profiles, inner: Interactions, user: Ints, item: Ints) -> Blend:
    """A blend with as good as the best NDCG at 10 on meetings held back from the known ones.

    inner : what is known without them, and `profiles` is of that. user, item : (n_rows,) them.
    """
    if len(user) < _MIN_LEARNT_FROM:
        return default
    others = _others(inner, user, item)
    content = np.zeros(others.shape, dtype=np.float32)
    collaborative = np.zeros(others.shape, dtype=np.float32)
    for users, rows in _chunks(user):
        of_row = np.searchsorted(users, user[rows])
        for part, kept in zip(_parts(profiles, users), (content, collaborative), strict=True):
            kept[rows] = of_highest(part)[of_row[:, None], others[rows]]
    popularity, is_there = profiles.popularity[others], others >= 0
    blends, gains = list(every_blend()), []
    for blend in blends:
        mixed = blend.content * content + blend.collaborative * collaborative
        mixed += blend.popularity * popularity
        found = _rank(mixed, is_there)
        gains.append(np.where(found < N_SHOWN, 1 / np.log2(found + 2), 0.0))
    chosen = blends[_nearest_of_the_best(blends, np.array(gains), default)]
    return Blend(chosen.content, chosen.collaborative, chosen.popularity, len(user))


def _nearest_of_the_best(
    blends: Sequence[Blend], gains: NDArray[np.float64], default: Blend
) -> int:
    """Of those within one standard error of the best (Breiman and others 1984, section 3.4.3) the
    nearest to the default: the optimum is flat, and a version that leaps about in it for nothing
    cannot be told from the last one.

    gains : (n_blends, n_rows).
    """
    behind = gains[gains.mean(axis=1).argmax()] - gains
    error = behind.std(axis=1) / np.sqrt(gains.shape[1])
    distance = np.array(
        [
            abs(one.content - default.content)
            + abs(one.collaborative - default.collaborative)
            + abs(one.popularity - default.popularity)
            for one in blends
        ]
    )
    is_as_good = behind.mean(axis=1) <= error
    return int(np.where(is_as_good, distance, np.inf).argmin())


def held_back(profiles: Profiles, interactions: Interactions) -> tuple[Interactions, Ints, Ints]:
    """The newest fifth of the known meetings of each customer with some history: what is known
    without them, and who met what. At most so many as choosing three shares needs."""
    pairs = profiles.pairs
    count = np.bincount(pairs.user, minlength=len(interactions.users))[pairs.user]
    is_held = (pairs.back < np.floor(count * _HELD_BACK)) & (count >= _MIN_HISTORY)
    held = np.flatnonzero(is_held & (pairs.item < interactions.n_products))
    if len(held) > _MAX_LEARNT_FROM:
        held = np.sort(np.random.default_rng(_SEED).choice(held, _MAX_LEARNT_FROM, replace=False))
    user, item = pairs.user[is_held], pairs.item[is_held]
    is_known = interactions.is_known & ~np.isin(
        interactions.pair, user * len(interactions.items) + item
    )
    return interactions.knowing(is_known), pairs.user[held], pairs.item[held]


def _parts(profiles: Profiles, users: Ints) -> tuple[Floats32, Floats32]:
    history = profiles.history[users]
    return (history @ profiles.alike).toarray(), (history @ profiles.co_occurrence).toarray()


def _chunks(user: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Some customers at a time, in order, with the rows that are about them."""
    order = np.argsort(user, kind="stable")
    users, first = np.unique(user[order], return_index=True)
    ends = np.append(first[1:], len(user))
    for start in range(0, len(users), _CHUNK):
        stop = min(start + _CHUNK, len(users))
        yield users[start:stop], order[first[start] : ends[stop - 1]]


def _rank(scores: Floats32, is_there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """scores : (n_rows, 1 + N_OTHERS), first of what was met."""
    met, others = scores[:, :1], scores[:, 1:]
    above = ((others > met) & is_there[:, 1:]).sum(axis=1)
    equal = ((others == met) & is_there[:, 1:]).sum(axis=1)
    return np.asarray(above + 0.5 * equal, dtype=np.float64)


def _others(interactions: Interactions, user: Ints, item: Ints) -> Ints:
    """(n_rows, 1 + N_OTHERS): what was met, then products the user never met; -1 where there are
    no more. The same rows get the same products, whichever model is asked."""
    found = np.full((len(user), 1 + N_OTHERS), -1, dtype=np.int64)
    found[:, 0] = item
    met, n_items, n_products = (
        np.unique(interactions.pair),
        len(interactions.items),
        interactions.n_products,
    )
    draw = np.random.default_rng(_SEED)
    for start in range(0, len(user), 1000):
        rows = slice(start, min(start + 1000, len(user)))
        n = rows.stop - start
        if n_products <= 2 * _DRAWN:
            drawn = draw.permuted(np.tile(np.arange(n_products), (n, 1)), axis=1)
        else:
            drawn = draw.integers(0, n_products, (n, _DRAWN))
        is_fine = ~_is_in(user[rows, None] * n_items + drawn, met) & _is_first(drawn)
        nth = np.cumsum(is_fine, axis=1)
        row, column = np.nonzero(is_fine & (nth <= N_OTHERS))
        found[start + row, nth[row, column]] = drawn[row, column]
    return found


def _is_in(values: Ints, ordered: Ints) -> NDArray[np.bool_]:
    at = np.minimum(np.searchsorted(ordered, values), max(len(ordered) - 1, 0))
    return np.asarray(ordered[at] == values, dtype=np.bool_)


def _is_first(drawn: Ints) -> NDArray[np.bool_]:
    """Whether a value did not stand further left in its row."""
    order = np.argsort(drawn, axis=1, kind="stable")
    values = np.take_along_axis(drawn, order, axis=1)
    is_new = np.ones(drawn.shape, dtype=np.bool_)
    is_new[:, 1:] = values[:, 1:] != values[:, :-1]
    is_first = np.empty(drawn.shape, dtype=np.bool_)
    np.put_along_axis(is_first, order, is_new, axis=1)
    return is_first


def _first_ten(scores: Floats32, profiles: Profiles, users: Ints) -> Ints:
    """Places of the products that these customers would be shown; nothing they met before."""
    history = profiles.history[users][:, : scores.shape[1]].tocoo()
    scores[history.row, history.col] = -1.0
    n = min(N_SHOWN, scores.shape[1])
    return np.argpartition(scores, scores.shape[1] - n, axis=1)[:, scores.shape[1] - n :].ravel()
