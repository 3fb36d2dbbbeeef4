"""The nearest products of each product as arrays for look-up. Serving half."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.errors import LoadFailed


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """places : (n_products, n_kept) int32, best first. scores : the same shape, float32, 0..1."""

    places: NDArray[np.int32]
    scores: NDArray[np.float32]

    def of(self, place: int, n: int) -> list[tuple[int, float]]:
        """The first n as (place, score)."""
        places, scores = self.places[place, :n].tolist(), self.scores[place, :n].tolist()
        return list(zip(places, scores, strict=True))

    def arrays(self, name: str) -> dict[str, NDArray[np.generic]]:
        """For an .npz file."""
        return {f"{name}_places": self.places, f"{name}_scores": self.scores}

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[np.generic]], name: str, n: int) -> Neighbours:
        """The reverse of `arrays`.

        n : how many products there are, which every place must be one of.

        Raises:
            LoadFailed: missing, of another shape, or pointing outside the catalogue.
        """
        try:
            places = np.asarray(arrays[f"{name}_places"], dtype=np.int32)
            scores = np.asarray(arrays[f"{name}_scores"], dtype=np.float32)
        except KeyError as error:
            raise LoadFailed(f"state.npz: missing {error}, found {sorted(arrays)}.") from None
        if places.ndim != 2 or places.shape != scores.shape or places.shape[0] != n:
            raise LoadFailed(
                f"state.npz: {name}: expected {n} rows of places and scores, found shapes"
                f" {places.shape} and {scores.shape}."
            )
        if places.size and not (places.min() >= 0 and places.max() < n):
            raise LoadFailed(f"state.npz: {name} names products that the catalogue does not have.")
        return cls(places, scores)
