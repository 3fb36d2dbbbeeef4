"""The feature contract: columns of a row, and rows of a request as one matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.documents.texts import tidy
from shared.errors import ContractMismatch, RequestInvalid
from shared.stored_types import reduced
from shared.workloads.text_rows import TextTable


class FeatureSpec(msgspec.Struct, frozen=True):
    """One column that a model takes.

    dtype : a category is one of the texts that the model tells apart, a text is any text.
    low, high : the range seen or meant, in `unit`; None where unbounded. Outside it is allowed.
    """

    name: str
    dtype: Literal["float64", "int64", "bool", "category", "text"]
    unit: str
    low: float | None = None
    high: float | None = None

    __reduce__ = reduced


UNKNOWN_CATEGORY = -1.0
"""The code of a category value that the model does not know."""


@dataclass(frozen=True, slots=True)
class RowContract:
    """How the rows of `predict` become a matrix, the same for every protocol.

    features : the columns, in order.
    codes : for each feature of dtype "category": value -> code 0, 1, …; any other value becomes
        UNKNOWN_CATEGORY, null becomes NaN, as it does in every column.

    A matrix with features of dtype "text" is a TextMatrix.
    """

    features: tuple[FeatureSpec, ...]
    codes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    __reduce__ = reduced

    @property
    def text_columns(self) -> tuple[int, ...]:
        """Which columns hold texts, from 0."""
        return tuple(j for j, spec in enumerate(self.features) if spec.dtype == "text")


def code_of(codes: Mapping[str, float], text: str) -> float:
    """The code of a category; the same text in another Unicode form, or with white space around
    it, is the same category."""
    found = codes.get(text)
    return codes.get(tidy(text), UNKNOWN_CATEGORY) if found is None else found


class RowRefused(Exception):
    """A row holds a value that the model cannot take.

    Args:
        row, column: where in the matrix, from 0.
        expected: what it takes there, as a phrase: "a finite number".
    """

    def __init__(self, row: int, column: int, expected: str) -> None:
        super().__init__(f"row {row}, column {column}: expected {expected}")
        self.row, self.column, self.expected = row, column, expected


def check_features(expected: Sequence[FeatureSpec], found: Sequence[FeatureSpec]) -> None:
    """Compare two feature contracts.

    Raises:
        ContractMismatch: the message is a diff by name, then by dtype and order.
    """
    expected_names = [spec.name for spec in expected]
    found_names = [spec.name for spec in found]
    missing = [name for name in expected_names if name not in found_names]
    unexpected = [name for name in found_names if name not in expected_names]
    if missing or unexpected:
        raise ContractMismatch(f"features differ: missing {missing}, unexpected {unexpected}")
    if expected_names != found_names:
        raise ContractMismatch(
            f"features differ in order: expected {expected_names}, found {found_names}"
        )
    for one, other in zip(expected, found, strict=True):
        if one.dtype != other.dtype:
            raise ContractMismatch(
                f"features differ: {one.name} is {other.dtype}, expected {one.dtype}"
            )


def rows_to_matrix(
    instances: object, contract: RowContract, where: str = "instances"
) -> NDArray[np.float64]:
    """Decode the rows of a `predict` request as the contract says.

    Returns:
        (n_instances, n_features) float64, columns in the order of the features.

    Raises:
        RequestInvalid: not a list of objects, no row, a field missing or unknown, a value that
            is no number where one is meant, or no text where a category is.
    """
    if not isinstance(instances, list) or not instances:
        raise RequestInvalid("a list of at least one object, one per row", instances, where)
    names = [spec.name for spec in contract.features]
    codes = [contract.codes.get(name) for name in names]
    dtypes = [spec.dtype for spec in contract.features]
    table = TextTable()
    matrix = np.empty((len(instances), len(names)), dtype=np.float64)
    for i, row in enumerate(instances):
        if not isinstance(row, Mapping):
            raise RequestInvalid("an object with one field per feature", row, f"{where}[{i}]")
        missing = [name for name in names if name not in row]
        unexpected = [name for name in row if name not in names]
        if missing or unexpected:
            raise RequestInvalid(
                f"the fields {names}",
                {"missing": missing, "unexpected": unexpected},
                f"{where}[{i}]",
            )
        for j, (name, known) in enumerate(zip(names, codes, strict=True)):
            value = row[name]
            if dtypes[j] == "text":
                if not isinstance(value, str | None):
                    raise RequestInvalid("a text or null", value, f"{where}[{i}].{name}")
                matrix[i, j] = table.place(value)
            else:
                matrix[i, j] = _as_number(value, known, f"{where}[{i}].{name}")
    return table.matrix(matrix, contract.text_columns)


def _as_number(value: object, codes: Mapping[str, float] | None, where: str) -> float:
    if value is None:
        return math.nan
    if codes is not None:
        if isinstance(value, str):
            return code_of(codes, value)
        raise RequestInvalid("a text or null", value, where)
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:  # JSON has whole numbers of any length
            expected = "a number that fits 64-bit floating point"
            raise RequestInvalid(
                expected, f"a whole number of {int(value).bit_length()} bits", where
            ) from None
    raise RequestInvalid("a number or null", value, where)


def is_all_finite(matrix: NDArray[np.float64]) -> bool:
    """Whether no cell is NaN or infinite; for one row the cheapest way there is."""
    return b"\0" not in np.isfinite(matrix).tobytes()


def refuse_not_finite(matrix: NDArray[np.float64], columns: Sequence[int] | None = None) -> None:
    """Refuse rows with infinity anywhere, or NaN in one of `columns` (None: in any).

    Raises:
        RowRefused: names the first such value.
    """
    if is_all_finite(matrix):
        return
    is_wrong = ~np.isfinite(matrix)
    if columns is not None:
        may_be_nan = np.ones(matrix.shape[1], dtype=np.bool_)
        may_be_nan[list(columns)] = False
        is_wrong &= ~(np.isnan(matrix) & may_be_nan)
    for row, column in np.argwhere(is_wrong):
        raise RowRefused(int(row), int(column), "a finite number")
