"""Answer requests for similar products by look-up. Serving half; immutable once made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.errors import NotFound
from shared.workloads.contract import Answerer
from shared.workloads.product_catalogue import requests, state_files
from shared.workloads.product_catalogue.catalogue import Catalogue
from shared.workloads.product_catalogue.neighbours import Neighbours


class SimilarProducts(Answerer):
    """Everything was compared at training; an answer copies a few rows."""

    def __init__(self, catalogue: Catalogue, neighbours: Neighbours) -> None:
        self._catalogue = catalogue
        self._neighbours = neighbours
        _ = catalogue.place_of  # made now, not by the first client

    @classmethod
    def read(cls, state: Mapping[str, bytes]) -> SimilarProducts:
        """From a version's state files.

        Raises:
            LoadFailed: they are not what they should be.
        """
        catalogue, arrays = state_files.unpack(state)
        return cls(catalogue, Neighbours.read(arrays, "similar", len(catalogue)))

    @property
    def n_known(self) -> Mapping[str, int]:
        return {"products": len(self._catalogue)}

    @property
    def questions(self) -> Mapping[str, str]:
        return {
            "similar": "the products that are most like one product",
            "predict": "the same for many products at once, as lists of product ids",
        }

    def answer(self, question: str, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        if question == "similar":
            requests.refuse_unknown(request, ("product_id", "n"))
            product_id, n = requests.id_of(request, "product_id"), requests.how_many(request)
            found = self._neighbours.of(self._catalogue.find(product_id), n)
            return {
                "product_id": product_id,
                "recommendations": [self._catalogue.show(*one) for one in found],
                "total": len(found),
            }
        if question == "predict":
            requests.refuse_unknown(request, ("instances", "n"))
            n, ids = requests.how_many(request), self._catalogue.ids
            asked = requests.ids_of_instances(request, "product_id")
            places = [self._catalogue.find(one) for one in asked]
            return {
                "predictions": [
                    [ids[found] for found, _ in self._neighbours.of(place, n)] for place in places
                ],
                "unit": "product ids, most similar first",
            }
        raise NotFound(f"question: expected one of {sorted(self.questions)}, found {question!r}.")
