"""The catalogue for training: products with their texts and vectors. Training half only.

Reads tables into products and keeps what is dear to compute (word vectors, neighbours) so that
fit, score and state share it.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from shared.documents.number_columns import column_policy
from shared.documents.texts import word_key
from shared.records import Record, Table
from shared.workloads.product_catalogue.catalogue import Catalogue
from shared.workloads.product_catalogue.neighbours import Neighbours
from shared.workloads.product_catalogue.records import (
    APPROVED_WORDS,
    PRICES,
    Product,
    read_product,
)
from shared.workloads.product_catalogue.similarity import Similarity, nearest
from shared.workloads.product_catalogue.text_vectors import WordVectors

N_NEIGHBOURS = 50
"""Similar products kept for each product: the longest list that an answer can give."""


@dataclass(frozen=True)
class TrainingCatalogue:
    """catalogue : the approved products. words : (n_products,) what each is about."""

    catalogue: Catalogue
    words: Sequence[str]

    @cached_property
    def vectors(self) -> WordVectors:
        """Every product's words and category; fitted once for each training."""
        catalogue = self.catalogue
        return WordVectors.fit(catalogue.names, self.words, catalogue.categories)

    @cached_property
    def _neighbours(self) -> dict[Similarity, Neighbours]:
        return {}

    def neighbours(self, similarity: Similarity) -> Neighbours:
        """The nearest products of each product, best first."""
        known = self._neighbours
        if similarity not in known:
            catalogue, own = self.catalogue, np.arange(len(self.catalogue))
            known[similarity] = nearest(
                similarity,
                self.vectors,
                catalogue,
                queries=self.vectors.matrix,
                prices=catalogue.prices,
                ratings=catalogue.ratings,
                leave_out=own,
                n=N_NEIGHBOURS,
            )
        return known[similarity]

    def order(self) -> NDArray[np.int64]:
        """The places of the products in an order that says nothing about them: by a hash."""
        marks = np.array([zlib.crc32(id_.encode()) for id_ in self.catalogue.ids], dtype=np.uint32)
        return np.argsort(marks, kind="stable").astype(np.int64)


def read_training_catalogue(
    table: Table | Sequence[Record], rejected: Counter[str], approved: Sequence[str] = ()
) -> TrainingCatalogue:
    """The approved products of a table. Of several records with one id the newest counts.

    approved : statuses that mean approved in this shop, beside the usual ones.
    rejected : gets the reasons of the records that are no products.
    """
    words = APPROVED_WORDS | {word_key(text) for text in approved}
    prices = column_policy(
        price for record in table for name in PRICES if (price := record.fields.get(name))
    )
    if prices.n_ambiguous:
        rejected[f"price that is not read: {prices.problem}"] += prices.n_ambiguous
    products: dict[str, Product] = {}
    for record in table:
        product = read_product(record.id, record.fields, words, prices.policy)
        if isinstance(product, str):
            rejected[product] += 1
        else:
            products[product.id] = product
    kept = [products[id_] for id_ in sorted(products) if products[id_].is_approved]
    catalogue = Catalogue(
        [product.id for product in kept],
        [product.name for product in kept],
        [product.category for product in kept],
        np.array([product.price for product in kept], dtype=np.float64),
        np.array([product.rating for product in kept], dtype=np.float64),
    )
    return TrainingCatalogue(catalogue, [product.words for product in kept])
