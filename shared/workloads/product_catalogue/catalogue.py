"""The catalogue of a version: products that may be recommended, and how an answer shows one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import LoadFailed, NotFound

Floats = NDArray[np.float64]


class _SavedCatalogue(msgspec.Struct):
    """state.json, column by column; null where the shop does not know."""

    format: int
    ids: list[str]
    names: list[str]
    categories: list[str]
    prices: list[float | None]
    ratings: list[float | None]


_FORMAT = 1


@dataclass(frozen=True)
class Catalogue:
    """Approved products in the order of their ids. All columns are (n_products,).

    prices : in the shop's currency; ratings : 0 to 5 stars; NaN where unknown.
    """

    ids: Sequence[str]
    names: Sequence[str]
    categories: Sequence[str]
    prices: Floats
    ratings: Floats

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def place_of(self) -> Mapping[str, int]:
        """Product id -> its place in the columns."""
        return {id_: place for place, id_ in enumerate(self.ids)}

    def find(self, product_id: str) -> int:
        """The place of a product.

        Raises:
            NotFound: this version does not know it; says what to do.
        """
        place = self.place_of.get(product_id)
        if place is None:
            raise NotFound(
                f"product {product_id!r} is not among the {len(self):,} approved products of this"
                " version. If it is new or was approved just now, the next training brings it;"
                " if it was deleted or is not approved, it is never recommended."
            )
        return place

    def show(self, place: int, score: float) -> dict[str, Any]:
        """One product as clients read it. score : 0..1, of the answer it stands in."""
        return {
            "product_id": self.ids[place],
            "name": self.names[place],
            "category": self.categories[place] or None,
            "price": _known(self.prices[place]),
            "rating": _known(self.ratings[place]),
            "similarity_score": round(float(score), 4),
        }

    def save(self) -> bytes:
        """state.json; the same catalogue gives the same bytes."""
        return msgspec.json.encode(
            _SavedCatalogue(
                _FORMAT,
                list(self.ids),
                list(self.names),
                list(self.categories),
                [_known(value) for value in self.prices],
                [_known(value) for value in self.ratings],
            )
        )

    @classmethod
    def read(cls, content: bytes) -> Catalogue:
        """The reverse of `save`.

        Raises:
            LoadFailed: not readable, of another format, or columns of different length.
        """
        try:
            saved = msgspec.json.decode(content, type=_SavedCatalogue)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LoadFailed(f"state.json: the catalogue cannot be read: {error}.") from None
        columns = (saved.names, saved.categories, saved.prices, saved.ratings)
        lengths = [len(column) for column in columns]
        expected = (_FORMAT, [len(saved.ids)] * len(columns))
        if (saved.format, lengths) != expected:
            raise LoadFailed(
                f"state.json: expected (format, lengths) {expected}, found"
                f" {(saved.format, lengths)}."
            )
        return cls(
            saved.ids,
            saved.names,
            saved.categories,
            np.array(saved.prices, dtype=np.float64),
            np.array(saved.ratings, dtype=np.float64),
        )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
