"""Predict plain rows from request bytes to answer bytes, with all constants prepared.

`{"instances": [{feature: value}, …]}` is decoded and checked in one pass into a type that is
generated from the version's row contract, put into one array, answered, and joined to the end of
the answer, which is the same for every request and therefore encoded when the version is warmed.
The bytes are the ones that the ordinary way gives. Whatever is unusual is left to the ordinary
way, which says what is wrong; this file words no error. Knows no route and no server.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from api_service.context import identity
from shared.loading.open_version import LoadedModel
from shared.workloads.rows import RowContract, code_of

TRIED = "hotfit.plain_tried"
"""Environ key: this request was tried here already and needs the ordinary way."""

_CACHE_KEY = "plain_predict"
_CACHED_SHAPES = 256
_encode = msgspec.json.Encoder(enc_hook=np.ndarray.tolist).encode
_values = msgspec.structs.astuple

Floats = NDArray[np.float64]
_matrix = np.ndarray  # of a buffer: takes half as long as np.frombuffer and a reshape


class RowPredictor:
    """One version's fast way for plain rows. Immutable; any thread may ask."""

    __slots__ = ("_codes", "_decode", "_layout", "_predict_rows", "_tail", "_tail_names")

    def __init__(self, live: LoadedModel, contract: RowContract, layout: _Layout) -> None:
        self._layout = layout
        self._decode = layout.decode
        self._codes = [
            (i, value, _Codes(contract.codes[contract.features[i].name]).__getitem__)
            for i, value in layout.categories
        ]
        self._predict_rows = live.answerer.predict_rows
        constant = {**live.answerer.row_facts, **identity(live)}
        self._tail_names = frozenset(constant)
        self._tail = b"," + _encode(constant)[1:] + b"\n"

    @classmethod
    def of(cls, live: LoadedModel) -> RowPredictor | None:
        """The version's own, made at the first call; None where it takes no plain rows, or
        rows with texts.

        Making it takes a millisecond: whoever warms a version calls this first.
        """
        try:
            predictor: RowPredictor | None = live.cache[_CACHE_KEY]
        except KeyError:
            predictor = live.cache[_CACHE_KEY] = cls._make(live)
        return predictor

    @classmethod
    def _make(cls, live: LoadedModel) -> RowPredictor | None:
        contract = live.answerer.rows
        if contract is None or contract.text_columns:  # texts do not fit into a matrix of numbers
            return None
        shape = tuple((spec.name, spec.name in contract.codes) for spec in contract.features)
        layout = _layout(shape)
        return None if layout is None else cls(live, contract, layout)

    def answer(self, body: bytes) -> bytes | None:
        """The whole answer as JSON, or None when the ordinary way has to say what is wrong."""
        answered = self.answer_rows(body)
        return answered[0] if answered else None

    def answer_rows(self, body: bytes) -> tuple[bytes, int] | None:
        """The same, with the number of rows that were answered."""
        try:
            rows = self._decode(body).instances
            if not rows:
                return None
            matrix = self._matrix_of_one(rows[0]) if len(rows) == 1 else self._matrix_of_many(rows)
            outputs = self._predict_rows(matrix)
            if not outputs or not self._tail_names.isdisjoint(outputs):
                return None
            content = _encode(outputs)
        except Exception:  # noqa: BLE001 - the ordinary way meets it again, words and logs it
            return None
        return content[:-1] + self._tail, len(rows)

    def _matrix_of_one(self, row: Any) -> Floats:
        layout = self._layout
        # A bytearray, because a model may write to its matrix.
        matrix = _matrix(layout.one_row, np.float64, bytearray(_pack(row, layout)))
        for i, value, code in self._codes:
            matrix[0, i] = code(value(row))
        return matrix

    def _matrix_of_many(self, rows: Sequence[Any]) -> Floats:
        """Numbers row by row, categories column by column: the cheapest way for each."""
        layout = self._layout
        pack, n_numbers = layout.pack, layout.n_numbers
        # Rows beside each other in memory, as the ordinary way has them: how numbers lie decides
        # in which order they are summed, and that decides about the last digit.
        try:
            packed = b"".join([pack(*_values(row)[:n_numbers]) for row in rows])
        except struct.error:
            packed = b"".join([_pack(row, layout) for row in rows])
        matrix = _matrix((len(rows), layout.one_row[1]), np.float64, bytearray(packed))
        for i, value, code in self._codes:
            matrix[:, i] = list(map(code, map(value, rows)))
        return matrix


def _pack(row: Any, layout: _Layout) -> bytes:
    """The numbers of a row as they lie in a matrix, with gaps for its categories."""
    numbers = _values(row)[: layout.n_numbers]
    try:
        return layout.pack(*numbers)
    except struct.error:  # a null among them
        return layout.pack(*(math.nan if value is None else value for value in numbers))


class _Codes(dict[str | None, float]):
    """Category -> code, as the row contract says: unknown ones and null too."""

    def __init__(self, codes: Any) -> None:
        super().__init__(codes)
        self[None] = math.nan
        self._known = codes

    def __missing__(self, category: str | None) -> float:
        return code_of(self._known, category or "")


class _Layout(NamedTuple):
    """What the rows of a workload look like; thousands of models share one.

    decode : bytes -> object with `instances`, rows whose first `n_numbers` values are numbers.
    pack : the numbers of a row -> bytes of a matrix' row, with gaps for the categories.
    categories : (column, what takes its value out of a row). one_row : a matrix' shape.
    """

    decode: Callable[[bytes], Any]
    n_numbers: int
    pack: Callable[..., bytes]
    categories: tuple[tuple[int, Callable[[Any], str | None]], ...]
    one_row: tuple[int, int]


@lru_cache(_CACHED_SHAPES)
def _layout(shape: tuple[tuple[str, bool], ...]) -> _Layout | None:
    """The layout of rows with these features.

    shape : the name of each feature and whether it is a category.

    Returns:
        None for names that the library cannot take, such as one with a quotation mark.
    """
    decode = _decoder(shape)
    if decode is None:
        return None
    categories = [i for i, (_, is_category) in enumerate(shape) if is_category]
    return _Layout(
        decode,
        len(shape) - len(categories),
        struct.Struct("".join("8x" if is_category else "d" for _, is_category in shape)).pack,
        tuple((i, attrgetter(f"f{i}")) for i in categories),
        (1, len(shape)),
    )


def _decoder(shape: tuple[tuple[str, bool], ...]) -> Callable[[bytes], Any] | None:
    """bytes -> object with `instances`; None as `_layout`."""
    fields: list[tuple[str, Any]] = [
        (f"f{i}", float | None) for i, (_, is_category) in enumerate(shape) if not is_category
    ]
    fields += [(f"f{i}", str | None) for i, (_, is_category) in enumerate(shape) if is_category]
    try:
        row: Any = msgspec.defstruct(
            "Row",
            fields,
            # The field's own name need not be an identifier.
            rename={f"f{i}": name for i, (name, _) in enumerate(shape)},
            forbid_unknown_fields=True,
            gc=False,
        )
        rows: Any = list.__class_getitem__(row)
        request = msgspec.defstruct(
            "Rows", [("instances", rows)], forbid_unknown_fields=True, gc=False
        )
        return msgspec.json.Decoder(request).decode
    except (TypeError, ValueError):
        return None
