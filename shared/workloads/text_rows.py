"""Carry texts beside a matrix of numbers: a cell of a text column is a place in a list of texts.

So texts go wherever rows go, as they are, and nothing that takes numbers has to know of them.
Knows no workload and no protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class TextMatrix(np.ndarray[Any, np.dtype[np.float64]]):
    """(n_rows, n_columns) float64; a slice of its rows has the same texts.

    texts : what the numbers of the text columns are places in; NaN is null.
    columns : which columns hold places, of the matrix as it was made.
    """

    texts: Sequence[str]
    columns: tuple[int, ...]

    def __new__(
        cls, matrix: NDArray[np.float64], texts: Sequence[str], columns: Iterable[int]
    ) -> TextMatrix:
        found = np.asarray(matrix, dtype=np.float64).view(cls)
        found.texts, found.columns = texts, tuple(columns)
        return found

    def __array_finalize__(self, found: object) -> None:
        self.texts = getattr(found, "texts", ())
        self.columns = getattr(found, "columns", ())


class TextTable:
    """Collects texts while a matrix is filled; each text once."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.texts = list(texts)
        self._places: dict[str, float] = {}

    def place(self, text: str | None) -> float:
        """The number that stands for a text; NaN for null."""
        if text is None:
            return np.nan
        found = self._places.get(text)
        if found is None:
            found = self._places[text] = float(len(self.texts))
            self.texts.append(text)
        return found

    def matrix(
        self, matrix: NDArray[np.float64], columns: Sequence[int]
    ) -> NDArray[np.float64] | TextMatrix:
        """The matrix with its texts; as it is where it has no text column."""
        return TextMatrix(matrix, self.texts, columns) if columns else matrix


def texts_at(places: NDArray[np.float64], texts: Sequence[str]) -> list[str | None]:
    """(n_rows,) places -> texts: None for null, "" for a place that there is not."""
    n = len(texts)
    return [
        None if place != place else texts[int(place)] if 0 <= place < n else ""
        for place in np.asarray(places).tolist()
    ]


def texts_in(matrix: NDArray[np.float64]) -> Sequence[str]:
    """The texts of a matrix; none of one that carries none."""
    return getattr(matrix, "texts", ())


def compact(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[str], tuple[int, ...]]:
    """The same rows with the texts alone that stand in them: matrix, texts, text columns."""
    columns: tuple[int, ...] = getattr(matrix, "columns", ())
    if not columns:
        return matrix, [], ()
    table, found = TextTable(), np.array(matrix, dtype=np.float64)
    known = texts_in(matrix)
    for column in columns:
        found[:, column] = [table.place(text) for text in texts_at(matrix[:, column], known)]
    return found, table.texts, columns
