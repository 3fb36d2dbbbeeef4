"""Score a blend by the hit rate at 10 of 100 on each customer's next product. Training half only.

Each held-out meeting is ranked against 99 products that the customer never met, drawn by a fixed
seed. Sampled ranks order models less surely than full ones (Krichene and Rendle, KDD 2020), so
they are used to compare versions on the same rows and draws, and not as a promise of clicks; the
shares of a blend are chosen on full ranks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from shared.workloads.product_recommender.features import Profiles
from shared.workloads.product_recommender.model import (
    FADES,
    ONLY_POPULAR,
    RECENT,
    TIE_BREAK,
    Blend,
    Floats32,
    every_blend,
    of_highest,
    with_again,
)
from shared.workloads.product_recommender.rows import Interactions, Ints

N_OTHERS, N_SHOWN = 99, 10
UNIT = "misses per new product met"

_SEED = 20261121
_MAX_LEARNT_FROM = 3000
_MIN_LEARNT_FROM = 200
_MIN_HISTORY = 3
_HELD_BACK = 0.2
_MAX_USERS_COVERED = 500
_DRAWN = 400
_CHUNK = 256
_MAX_CELLS = 4_000_000
"""Held-back meetings times products that blends are compared on; a catalogue of 1,300 products
has all of the meetings, one of 20,000 the fewest that are worth it."""
_LOWEST = np.float32(-1e9)


@dataclass(frozen=True, slots=True)
class Ranks:
    """rank : (n_rows,) of the 99 others, those above the one that was met; ties count half.

    among_all : the same among all products that may be shown.
    coverage : share of the catalogue in the first ten of up to 500 of the customers.
    """

    rank: NDArray[np.float64]
    among_all: NDArray[np.float64]
    coverage: float

    @property
    def is_hit(self) -> NDArray[np.bool_]:
        return self.rank < N_SHOWN

    def metrics(self) -> Mapping[str, float]:
        if not self.rank.size:
            return {}
        return {
            "hit_rate_10": float(self.is_hit.mean()),
            "ndcg_10": float(_gain(self.rank).mean()),
            "hit_rate_10_among_all": float((self.among_all < N_SHOWN).mean()),
            "ndcg_10_among_all": float(_gain(self.among_all).mean()),
            "coverage_10": self.coverage,
        }


def rank(
    blend: Blend,
    profiles: Profiles,
    interactions: Interactions,
    user: Ints,
    item: Ints,
    *,
    repeats: bool = False,
) -> Ranks:
    """user, item : (n_rows,) who met what. Answers come from the known events alone.

    repeats : what a customer met before may come again, and stands among the others.
    """
    others = _others(interactions, user, item, repeats=repeats)
    sampled, among_all = np.zeros(len(user)), np.zeros(len(user))
    shown = np.zeros(interactions.n_products, dtype=np.bool_)
    n_covered = 0
    popularity = blend.popularity_of(profiles.popularity, profiles.recent)
    for users, rows in _chunks(user):
        scores = blend.scores(profiles.parts(users, blend), popularity)
        of_row = np.searchsorted(users, user[rows])
        sampled[rows] = _rank(scores[of_row[:, None], others[rows]], others[rows] >= 0)
        if not repeats:
            scores[_is_met(profiles, users)] = _LOWEST
        among_all[rows] = _rank_among_all(scores, of_row, item[rows])
        if n_covered < _MAX_USERS_COVERED:
            n_covered += len(users)
            shown[_first_ten(scores)] = True
    coverage = float(shown.mean()) if shown.size else 0.0
    return Ranks(sampled, among_all, coverage)


def learn(
    default: Blend,
    profiles: Profiles,
    inner: Interactions,
    user: Ints,
    item: Ints,
    *,
    fades: bool,
    repeats: bool = False,
) -> Blend:
    """The blend with the best NDCG among all products, on meetings held back from the known ones;
    each part alone is among the blends.

    Sampled negatives would flatter popularity (Krichene and Rendle), so there are none here.

    inner : what is known without the meetings, and `profiles` is of that. user, item : (n_rows,)
        them. fades : how fast a past fades is chosen, too. repeats : as in `rank`.
    """
    if len(user) < _MIN_LEARNT_FROM:
        return default
    most = max(_MIN_LEARNT_FROM, _MAX_CELLS // max(inner.n_products, 1))
    if len(user) > most:
        chosen = np.sort(np.random.default_rng(_SEED).choice(len(user), most, replace=False))
        user, item = user[chosen], item[chosen]

    def gains_of(blends: Sequence[Blend]) -> NDArray[np.float64]:
        gains = _gains(blends, profiles, user, item, repeats=repeats)
        return np.asarray(gains.mean(axis=1), dtype=np.float64)

    def best_of(blends: Sequence[Blend]) -> Blend:
        return blends[int(gains_of(blends).argmax())]

    recent = best_of([replace(ONLY_POPULAR, recent=share) for share in RECENT]).recent
    like = replace(default, recent=recent)
    if fades:
        both = replace(like, content=0.0, collaborative=0.25, popularity=0.0, regression=0.75)
        like = best_of([replace(both, lasting=one, half_life=other) for one, other in FADES])
    blends = list(every_blend(like, has_again=repeats))
    gains = gains_of(blends)
    best = blends[int(gains.argmax())]
    if repeats:
        mixed = list(with_again(best))
        of_mixed = gains_of(mixed)
        if of_mixed.max() > gains.max():
            best = mixed[int(of_mixed.argmax())]
    return replace(best, n_learnt_from=len(user))


def _gains(
    blends: Sequence[Blend], profiles: Profiles, user: Ints, item: Ints, *, repeats: bool
) -> NDArray[np.float64]:
    """(n_blends, n_rows): what each held-back meeting adds to NDCG among all products.

    Without a cut: with one at 10, nine of ten meetings say nothing, and chance chooses.
    """
    gains = np.zeros((len(blends), len(user)))
    popularity = [blend.popularity_of(profiles.popularity, profiles.recent) for blend in blends]
    for users, rows in _chunks(user):
        of_row = np.searchsorted(users, user[rows])
        is_met = _is_met(profiles, users) if not repeats else None
        made: dict[tuple[float, float], tuple[Floats32, ...]] = {}
        for number, blend in enumerate(blends):
            fade = (blend.lasting, blend.half_life)
            if fade not in made:
                whole = replace(_EVERY_PART, lasting=fade[0], half_life=fade[1])
                made[fade] = tuple(of_highest(part) for part in profiles.parts(users, whole))
            scores = np.tile(max(blend.popularity, TIE_BREAK) * popularity[number], (len(users), 1))
            for share, part in zip(blend.shares, made[fade], strict=True):
                if share:
                    scores += np.float32(share) * part
            if is_met is not None:
                scores[is_met] = _LOWEST
            ranks = _rank_among_all(scores, of_row, item[rows])
            gains[number, rows] = 1 / np.log2(ranks + 2)
    return gains


_EVERY_PART = Blend(1.0, 1.0, 1.0, 0, 1.0, 1.0)


def _gain(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(ranks < N_SHOWN, 1 / np.log2(ranks + 2), 0.0)


def held_back(
    profiles: Profiles, interactions: Interactions, *, repeats: bool
) -> tuple[Interactions, Ints, Ints]:
    """The newest fifth of the known meetings of each customer with some history, at least one; of
    repeats, what each customer did on their newest day. What is known without them, and who met
    what. At most so many as choosing a few shares needs."""
    if repeats:
        is_known, user, item = _without_newest_days(interactions)
    else:
        pairs = profiles.pairs
        count = np.bincount(pairs.user, minlength=len(interactions.users))[pairs.user]
        n_held = np.maximum(np.floor(count * _HELD_BACK), 1)
        is_held = (pairs.back < n_held) & (count >= _MIN_HISTORY)
        user, item = pairs.user[is_held], pairs.item[is_held]
        pair = user * len(interactions.items) + item
        is_known = interactions.is_known & ~np.isin(interactions.pair, pair)
    held = np.flatnonzero(item < interactions.n_products)
    if len(held) > _MAX_LEARNT_FROM:
        held = np.sort(np.random.default_rng(_SEED).choice(held, _MAX_LEARNT_FROM, replace=False))
    return interactions.knowing(is_known), user[held], item[held]


def _without_newest_days(interactions: Interactions) -> tuple[NDArray[np.bool_], Ints, Ints]:
    known = np.flatnonzero(interactions.is_known)
    user, day = interactions.user[known], interactions.day[known].astype(np.int64)
    first, last = np.full((2, len(interactions.users)), day.max(initial=0) + 1)
    np.minimum.at(first, user, day)
    last[:] = 0
    np.maximum.at(last, user, day)
    is_held = (day == last[user]) & (first[user] < last[user])
    is_known = interactions.is_known.copy()
    is_known[known[is_held]] = False
    pair = np.unique(interactions.pair[known[is_held]])
    return is_known, *np.divmod(pair, max(len(interactions.items), 1))


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


def _rank_among_all(scores: Floats32, row: Ints, item: Ints) -> NDArray[np.float64]:
    """scores : (n_users, n_products). row, item : (n_rows,) whose, and which product was met."""
    of_row = scores[row]
    met = of_row[np.arange(len(row)), item][:, None]
    equal = (of_row == met).sum(axis=1) - 1
    return np.asarray((of_row > met).sum(axis=1) + 0.5 * equal, dtype=np.float64)


def _is_met(profiles: Profiles, users: Ints) -> NDArray[np.bool_]:
    """(n_users, n_products): known to have been met, so that it is not to be shown."""
    met = profiles.strength[users][:, : len(profiles.popularity)].tocoo()
    is_met = np.zeros(met.shape, dtype=np.bool_)
    is_met[met.row, met.col] = True
    return is_met


def _others(interactions: Interactions, user: Ints, item: Ints, *, repeats: bool) -> Ints:
    """(n_rows, 1 + N_OTHERS): what was met, then products the user never met, or, where products
    may come again, any others; -1 where there are no more. The same rows get the same products,
    whichever model is asked."""
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
        is_other = drawn != item[rows, None]
        if not repeats:
            is_other &= ~_is_in(user[rows, None] * n_items + drawn, met)
        is_fine = is_other & _is_first(drawn)
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


def _first_ten(scores: Floats32) -> Ints:
    """Places of the products that these customers would be shown."""
    n = min(N_SHOWN, scores.shape[1])
    return np.argpartition(scores, scores.shape[1] - n, axis=1)[:, scores.shape[1] - n :].ravel()
