"""All interactions as columns: user, item, time, interest. Training half only.

A part of the events may be known and the rest held out; nothing here learns or scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from shared.records import Record, from_epoch_us, to_epoch_us
from shared.workloads.product_catalogue.training_catalogue import TrainingCatalogue
from shared.workloads.product_recommender import records as interactions
from shared.workloads.product_recommender.records import (
    OWNED_KINDS,
    PURCHASE,
    TAKES_BACK,
    Interaction,
)

CAME_TWICE = "the same event came before"
TAKEN_BACK = "returned, refunded or removed again"
NOTHING_TO_TAKE_BACK = "return or removal of what was not bought or chosen before"
_AHEAD_US = 86_400_000_000  # a clock may be wrong by a day; a later event is dated by its record

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Interactions:
    """Events by time. The columns are (n_events,).

    users : their ids. user, item : places in `users` and in `items`.
    items : product ids: first the approved catalogue in its order, then others that were met.
    interest : in views. at_us : microseconds since the epoch, UTC. is_owned : bought or rated.
    is_bought : bought.
    is_known : what models may learn and answer from; the rest is held out.
    """

    training_catalogue: TrainingCatalogue
    users: Sequence[str]
    items: Sequence[str]
    user: Ints
    item: Ints
    interest: NDArray[np.float64]
    at_us: Ints
    is_owned: NDArray[np.bool_]
    is_bought: NDArray[np.bool_]
    is_known: NDArray[np.bool_]
    shared: dict[str, object] = field(default_factory=dict, repr=False)
    """What is dear to compute from the known events and is wanted by fit, score and state."""

    @property
    def n_products(self) -> int:
        """Approved ones: those that may be recommended."""
        return len(self.training_catalogue.catalogue)

    @property
    def pair(self) -> Ints:
        """One number for each user and item."""
        return self.user * len(self.items) + self.item

    @property
    def day(self) -> NDArray[np.datetime64]:
        """UTC days."""
        return self.at_us.astype("datetime64[us]").astype("datetime64[D]")

    def knowing(self, is_known: NDArray[np.bool_]) -> Interactions:
        """The same events, of which only these may be learnt from."""
        return replace(self, is_known=is_known, shared={})

    def first_meetings(self) -> Ints:
        """The events at which a user met an approved product for the first time, by time."""
        _, first = np.unique(self.pair, return_index=True)
        first = np.sort(first)
        return first[self.item[first] < self.n_products].astype(np.int64)

    def bought_again(self) -> Ints:
        """The events at which a user bought an approved product that they had met on an earlier
        day, once a day, by time."""
        _, first, of_event = np.unique(self.pair, return_index=True, return_inverse=True)
        is_later = self.day > self.day[first][of_event]
        again = np.flatnonzero(self.is_bought & (self.item < self.n_products) & is_later)
        once = np.stack([self.pair[again], self.day[again].astype(np.int64)])
        _, of_day = np.unique(once, axis=1, return_index=True)
        return np.sort(again[of_day]).astype(np.int64)


def collect_interactions(
    records: Iterable[Record],
    training_catalogue: TrainingCatalogue,
    history_days: int,
    rejected: Counter[str],
) -> Interactions:
    """All events of the newest `history_days`; of one that came twice, the first.

    What was taken back does not count: a return takes the newest purchase of that customer and
    product before it away, a removal the newest choice.
    """
    users: dict[str, int] = {}
    items: dict[str, int] = {
        id_: place for place, id_ in enumerate(training_catalogue.catalogue.ids)
    }
    events: dict[tuple[int, int, str, int], float] = {}
    for record in records:
        written_us = to_epoch_us(record.updated_at)
        for found in interactions.read_interactions(record.fields):
            if not isinstance(found, Interaction):
                rejected[found] += 1
                continue
            key = (
                users.setdefault(found.user_id, len(users)),
                items.setdefault(found.product_id, len(items)),
                found.kind,
                _when_us(found, written_us),
            )
            if key in events:
                rejected[CAME_TWICE] += 1
            else:
                events[key] = found.interest
    _take_back(events, rejected)
    return _as_columns(events, training_catalogue, users, items, history_days)


def _take_back(events: dict[tuple[int, int, str, int], float], rejected: Counter[str]) -> None:
    returns = sorted((key for key in events if key[2] in TAKES_BACK), key=lambda key: key[3])
    if not returns:
        return
    kinds = frozenset(TAKES_BACK.values())
    pairs = {key[:2] for key in returns}
    times: dict[tuple[int, int, str], list[int]] = {}
    for user, item, kind, at_us in events:
        if kind in kinds and (user, item) in pairs:
            times.setdefault((user, item, kind), []).append(at_us)
    for user, item, kind, at_us in returns:
        del events[user, item, kind, at_us]
        taken = times.get((user, item, TAKES_BACK[kind]), [])
        before = max((when for when in taken if when <= at_us), default=None)
        if before is None:
            rejected[NOTHING_TO_TAKE_BACK] += 1
            continue
        taken.remove(before)
        del events[user, item, TAKES_BACK[kind], before]
        rejected[TAKEN_BACK] += 2


def _when_us(found: Interaction, written_us: int) -> int:
    at_us = to_epoch_us(found.at) if found.at is not None else written_us
    return at_us if at_us <= written_us + _AHEAD_US else written_us


def _as_columns(
    events: Mapping[tuple[int, int, str, int], float],
    training_catalogue: TrainingCatalogue,
    users: Mapping[str, int],
    items: Mapping[str, int],
    history_days: int,
) -> Interactions:
    user = np.fromiter((key[0] for key in events), np.int64, len(events))
    item = np.fromiter((key[1] for key in events), np.int64, len(events))
    at_us = np.fromiter((key[3] for key in events), np.int64, len(events))
    interest = np.fromiter(events.values(), np.float64, len(events))
    is_owned = np.fromiter((key[2] in OWNED_KINDS for key in events), np.bool_, len(events))
    is_bought = np.fromiter((key[2] == PURCHASE for key in events), np.bool_, len(events))
    oldest_us = at_us.max(initial=0) - history_days * 86_400_000_000
    # Of one moment in the order of arrival: ordered by product, the newest of every customer would
    # be the same products, and what is held back of them would be missed everywhere.
    order = np.argsort(at_us, kind="stable")
    order = order[at_us[order] > oldest_us]
    return Interactions(
        training_catalogue,
        list(users),
        list(items),
        user[order],
        item[order],
        interest[order],
        at_us[order],
        is_owned[order],
        is_bought[order],
        np.ones(len(order), dtype=np.bool_),
    )


def newest(interactions: Interactions) -> str:
    """The time of the newest known event, RFC 3339 in UTC; "" where there is none."""
    known = interactions.at_us[interactions.is_known]
    return from_epoch_us(int(known.max())).isoformat() if known.size else ""
