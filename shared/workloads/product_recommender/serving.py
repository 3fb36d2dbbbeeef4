"""Answer requests for similar products, products for a customer and popular products. Immutable.

All that an answer needs was loaded with the version: same version, same answer, before and after
a restart and in every worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import LoadFailed, NotFound
from shared.workloads.contract import Answerer
from shared.workloads.product_catalogue import requests, state_files
from shared.workloads.product_catalogue.catalogue import Catalogue
from shared.workloads.product_catalogue.neighbours import Neighbours
from shared.workloads.product_recommender.model import Blend, Floats32

USERS = "state.users.json"

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """Many short lists in a row. start : (n_lists + 1,); list i is start[i] to start[i + 1]."""

    start: Rows
    places: NDArray[np.int32]
    values: Floats32

    def of(self, i: int) -> tuple[NDArray[np.int32], Floats32]:
        part = slice(int(self.start[i]), int(self.start[i + 1]))
        return self.places[part], self.values[part]

    def arrays(self, name: str) -> dict[str, NDArray[np.generic]]:
        """For an .npz file."""
        return {
            f"{name}_start": self.start,
            f"{name}_places": self.places,
            f"{name}_values": self.values,
        }

    @classmethod
    def read(
        cls, arrays: Mapping[str, NDArray[np.generic]], name: str, n_lists: int, n_places: int
    ) -> Lists:
        """The reverse of `arrays`.

        Raises:
            LoadFailed: missing, of another length, or pointing outside.
        """
        try:
            start = np.asarray(arrays[f"{name}_start"], dtype=np.int64)
            places = np.asarray(arrays[f"{name}_places"], dtype=np.int32)
            values = np.asarray(arrays[f"{name}_values"], dtype=np.float32)
        except KeyError as error:
            raise LoadFailed(f"state.npz: missing {error}, found {sorted(arrays)}.") from None
        is_whole = (
            start.shape == (n_lists + 1,)
            and start[0] == 0
            and bool((np.diff(start) >= 0).all())
            and places.shape == values.shape == (int(start[-1]),)
        )
        if not is_whole:
            raise LoadFailed(f"state.npz: {name}: expected {n_lists} lists, found another shape.")
        if places.size and not (places.min() >= 0 and places.max() < n_places):
            raise LoadFailed(f"state.npz: {name} names products that are not there.")
        return cls(start, places, values)


@dataclass(frozen=True, slots=True, eq=False)
class ServingState:
    """What the answers need beyond the blend. Items are the catalogue, then others once met.

    co_occurrence : for each item the products met by the same customers.
    popularity, recent : (n_products,) 0..1.
    users : ids. history : for each user the items met, newest first, and their strength; owned :
        for each user the products that were bought or rated.
    regression : for each item what it says of products; None in versions of release 0.1.0, whose
        histories have faded already.
    bought : for each user the products bought and what they count.
    """

    catalogue: Catalogue
    alike: Neighbours
    co_occurrence: Lists
    popularity: Floats32
    users: Sequence[str]
    history: Lists
    owned: Lists
    regression: Lists | None
    recent: Floats32
    bought: Lists | None


def save(serving_state: ServingState) -> dict[str, bytes]:
    """File name -> bytes; the same state gives the same bytes."""
    arrays = {
        **serving_state.alike.arrays("alike"),
        **serving_state.co_occurrence.arrays("together"),
        **serving_state.history.arrays("history"),
        **serving_state.owned.arrays("owned"),
        "popularity": serving_state.popularity,
        "recent": serving_state.recent,
    }
    for name in ("regression", "bought"):
        lists = getattr(serving_state, name)
        arrays |= lists.arrays(name) if lists is not None else {}
    files = state_files.pack(serving_state.catalogue, arrays)
    return {**files, USERS: msgspec.json.encode(list(serving_state.users))}


def read(state: Mapping[str, bytes]) -> ServingState:
    """The reverse of `save`.

    Raises:
        LoadFailed: a file is missing or not what it should be.
    """
    catalogue, arrays = state_files.unpack(state)
    try:
        users = msgspec.json.decode(state[USERS], type=list[str])
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LoadFailed(f"{USERS} cannot be read: {error!r}.") from None
    n_products = len(catalogue)
    n_items = len(arrays.get("together_start", np.zeros(1))) - 1
    popularity = np.asarray(arrays.get("popularity", np.zeros(0)), dtype=np.float32)
    recent = np.asarray(arrays.get("recent", popularity), dtype=np.float32)
    if not popularity.shape == recent.shape == (n_products,) or n_items < n_products:
        raise LoadFailed(
            f"state.npz: expected {n_products} popularities and at least as many items, found"
            f" {popularity.shape}, {recent.shape} and {n_items}."
        )

    def added(name: str, n_lists: int) -> Lists | None:
        is_there = f"{name}_start" in arrays  # not in versions of release 0.1.0
        return Lists.read(arrays, name, n_lists, n_products) if is_there else None

    return ServingState(
        catalogue,
        Neighbours.read(arrays, "alike", n_products),
        Lists.read(arrays, "together", n_items, n_products),
        popularity,
        users,
        Lists.read(arrays, "history", len(users), n_items),
        Lists.read(arrays, "owned", len(users), n_products),
        added("regression", n_items),
        recent,
        added("bought", len(users)),
    )


class Recommendations(Answerer):
    """The order of the popular products is made once, at construction."""

    def __init__(self, blend: Blend, serving_state: ServingState, *, repeats: bool = False) -> None:
        """repeats : products that a customer has come back to may be answered, too."""
        self._blend = blend
        self._serving_state = serving_state
        self._repeats = repeats
        self._popularity = blend.popularity_of(serving_state.popularity, serving_state.recent)
        self._place_of_user = {id_: place for place, id_ in enumerate(serving_state.users)}
        self._popular = np.argsort(-self._popularity, kind="stable")
        _ = serving_state.catalogue.place_of

    @property
    def n_known(self) -> Mapping[str, int]:
        known = self._serving_state
        return {"products": len(known.catalogue), "customers": len(known.users)}

    @property
    def questions(self) -> Mapping[str, str]:
        return {
            "similar": "the products that are most like one product",
            "for_user": "what suits a customer; what is popular where nothing is known of them",
            "popular": "what most customers met recently",
            "predict": "for_user for many customers at once, as lists of product ids",
        }

    def answer(self, question: str, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        if question == "similar":
            requests.refuse_unknown(request, ("product_id", "n"))
            product_id, n = requests.id_of(request, "product_id"), requests.how_many(request)
            place = self._serving_state.catalogue.find(product_id)
            return {"product_id": product_id, **self._shown(self._serving_state.alike.of(place, n))}
        if question == "for_user":
            requests.refuse_unknown(request, ("user_id", "n", "include_owned"))
            user_id, n = requests.id_of(request, "user_id"), requests.how_many(request)
            include_owned = self._repeats
            if "include_owned" in request:
                include_owned = requests.yes_or_no(request, "include_owned")
            found = self._for_user(user_id, n, include_owned)
            basis = "history" if self._has_history(user_id) else "popularity"
            return {"user_id": user_id, "basis": basis, **self._shown(found)}
        if question == "popular":
            requests.refuse_unknown(request, ("n",))
            return self._shown(self._most_popular(requests.how_many(request)))
        if question == "predict":
            requests.refuse_unknown(request, ("instances", "n"))
            n, ids = requests.how_many(request), self._serving_state.catalogue.ids
            users = requests.ids_of_instances(request, "user_id")
            return {
                "predictions": [
                    [ids[place] for place, _ in self._for_user(user, n, self._repeats)]
                    for user in users
                ],
                "unit": "product ids, best first",
            }
        raise NotFound(f"question: expected one of {sorted(self.questions)}, found {question!r}.")

    def _shown(self, found: Sequence[tuple[int, float]]) -> dict[str, Any]:
        show = self._serving_state.catalogue.show
        return {"recommendations": [show(*one) for one in found], "total": len(found)}

    def _most_popular(self, n: int) -> list[tuple[int, float]]:
        places = self._popular[:n]
        popularity = self._popularity[places]
        return list(zip(places.tolist(), popularity.tolist(), strict=True))

    def _has_history(self, user_id: str) -> bool:
        place = self._place_of_user.get(user_id)
        return place is not None and bool(self._serving_state.history.of(place)[0].size)

    def _for_user(self, user_id: str, n: int, include_owned: bool) -> list[tuple[int, float]]:
        place = self._place_of_user.get(user_id)
        if place is None:
            return self._most_popular(n)
        scores = self.scores(place)
        n_possible = len(scores)
        if not include_owned:
            owned = self._serving_state.owned.of(place)[0]
            scores[owned] = -1.0
            n_possible -= len(owned)
        n = min(n, max(n_possible, 0))
        if n == 0:
            return []
        # Sorted places first, so that the stable sort breaks ties the same way everywhere.
        found = np.sort(np.argpartition(scores, len(scores) - n)[len(scores) - n :])
        found = found[np.argsort(-scores[found], kind="stable")]
        return list(zip(found.tolist(), scores[found].tolist(), strict=True))

    def scores(self, place: int) -> Floats32:
        """(n_products,): what each product is worth to a customer of this version."""
        known, blend = self._serving_state, self._blend
        content, co_occurrence, regression, again = np.zeros((4, len(known.catalogue)))
        items, strength = known.history.of(place)
        if known.regression is not None:
            strength = strength * blend.fade(np.arange(len(items)))
        for item, weight in zip(items.tolist(), strength.tolist(), strict=True):
            if blend.collaborative:
                places, values = known.co_occurrence.of(item)
                co_occurrence[places] += weight * values  # a list names a product once
            if blend.regression and known.regression is not None:
                places, values = known.regression.of(item)
                regression[places] += weight * values
            if blend.content and item < len(content):
                content[known.alike.places[item]] += weight * known.alike.scores[item]
        if blend.again and known.bought is not None:
            places, values = known.bought.of(place)
            again[places] = values
        parts = (content, co_occurrence, regression, again)
        return blend.scores([part.astype(np.float32) for part in parts], self._popularity)
