"""The stored tabular model: a fitted scikit-learn estimator and the coding of its rows.

Turns a coded matrix into the DataFrame that the estimator was fitted on. pandas is imported when
one is made, never before: a version with a compiled form is answered without.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.stored_types import reduced
from shared.workloads.rows import UNKNOWN_CATEGORY, RowContract, code_of
from shared.workloads.text_rows import TextTable, texts_at, texts_in

UNKNOWN_TEXT = "\ufffdunknown"
"""What an estimator meets in place of a category that is not in the vocabulary; no text of a
record is ever taken for it."""

_TEXTS = ("category", "text")


@dataclass(frozen=True, eq=False)
class TabularEstimator:
    """Takes matrices as any other estimator; immutable once fitted, any thread may ask.

    pipeline : a fitted estimator or pipeline that takes a DataFrame with the contract's columns:
        float64 with NaN for null; a category is a column of texts (dtype object) with NaN for
        null and UNKNOWN_TEXT for what is not in the vocabulary; a text is as it came, "" for null.
    """

    pipeline: Any
    contract: RowContract

    __reduce__ = reduced

    def frame(self, matrix: NDArray[np.float64]) -> Any:
        """(n_rows, n_features), coded as the contract says, to the DataFrame of the pipeline."""
        import pandas as pd

        columns = {}
        texts, plain = texts_in(matrix), np.asarray(matrix)
        for spec, numbers in zip(self.contract.features, plain.T, strict=True):
            known = self.contract.codes.get(spec.name)
            if spec.dtype == "text":
                found = [text or "" for text in texts_at(numbers, texts)]
                columns[spec.name] = pd.Series(np.array([*found, None], dtype=object)[:-1])
                continue
            # Said, for pandas 3 would make its own type of text of it and pandas 2 would not.
            columns[spec.name] = (
                pd.Series(numbers)
                if known is None
                else pd.Series(_decoded(list(known), numbers), dtype=object)
            )
        return pd.DataFrame(columns, copy=False)

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[Any]:
        """(n_rows,) numbers or labels."""
        found = np.asarray(self.pipeline.predict(self.frame(matrix)))
        return found.reshape(-1) if found.ndim == 2 and found.shape[1] == 1 else found

    @property
    def predict_proba(self) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
        """(n_rows, n_classes) for a matrix; AttributeError where the pipeline has none."""
        inner = self.pipeline.predict_proba
        return lambda matrix: np.asarray(inner(self.frame(matrix)), dtype=np.float64)

    @property
    def classes_(self) -> NDArray[Any]:
        """(n_classes,) labels in the order of the probabilities; AttributeError for a regressor."""
        return np.asarray(self.pipeline.classes_)


class CodedForm:
    """A compiled form, beside the contract by which its rows are coded. Everything else of it is
    as it was."""

    def __init__(self, form: Any, contract: RowContract) -> None:
        self._form = form
        self.contract = contract

    def __getattr__(self, name: str) -> Any:
        return getattr(self._form, name)


def recode(
    matrix: NDArray[np.float64], written: RowContract, wanted: RowContract
) -> NDArray[np.float64]:
    """Rows coded by one contract as another codes them; both have the same columns, in any order.

    Raises:
        ValueError: a column is a number in one of them only.
    """
    place = {spec.name: j for j, spec in enumerate(written.features)}
    found = np.empty((matrix.shape[0], len(wanted.features)))
    table, plain = TextTable(texts_in(matrix)), np.asarray(matrix)
    for j, spec in enumerate(wanted.features):
        old, values = written.features[place[spec.name]], plain[:, place[spec.name]]
        here, there = written.codes.get(spec.name), wanted.codes.get(spec.name)
        held_texts, holds_texts = old.dtype in _TEXTS, spec.dtype in _TEXTS
        if held_texts != holds_texts:
            raise ValueError(f"{spec.name} holds texts in one version and numbers in the other")
        found[:, j] = values
        if old.dtype == "text" and there is not None:
            texts = texts_at(values, table.texts)
            found[:, j] = [np.nan if text is None else code_of(there, text) for text in texts]
        elif here is not None and (there is None or list(here) != list(there)):
            moved = [table.place(text) if there is None else code_of(there, text) for text in here]
            other = table.place(UNKNOWN_TEXT) if there is None else UNKNOWN_CATEGORY
            is_known = values >= 0  # neither NaN nor UNKNOWN_CATEGORY
            found[is_known, j] = np.array(moved)[values[is_known].astype(np.int64)]
            found[values < 0, j] = other
    return table.matrix(found, wanted.text_columns)


def _decoded(vocabulary: list[str], codes: NDArray[np.float64]) -> NDArray[np.object_]:
    """(n_rows,) of texts; the last two entries stand for unknown and null."""
    texts = np.array([*vocabulary, UNKNOWN_TEXT, np.nan], dtype=object)
    n = len(vocabulary)
    index = np.where(np.isnan(codes), n + 1, np.where((codes < 0) | (codes >= n), n, codes))
    return np.asarray(texts[index.astype(np.int64)])
