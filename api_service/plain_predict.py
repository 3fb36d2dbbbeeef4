"""Plain rows, bytes in and bytes out: what a version makes once so that a request need not.

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
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from api_service.context import identity
from shared.model_loader import LoadedModel
from shared.workloads.base import UNKNOWN_CATEGORY, RowContract

TRIED = "hotfit.plain_tried"
"""Environ key: this request was tried here already and needs the ordinary way."""

_KEPT_AS = "plain_predict"
_KNOWN_SHAPES = 256
_encode = msgspec.json.Encoder().encode
_values = msgspec.structs.astuple

Floats = NDArray[np.float64]


class PlainPredict:
    """One version's fast way for plain rows. Immutable; any thread may ask."""

    __slots__ = ("_codes", "_decode", "_pack", "_predict_rows", "_tail", "_tail_names", "_width")

    def __init__(
        self, live: LoadedModel, contract: RowContract, decode: Callable[[bytes], Any]
    ) -> None:
        self._decode = decode
        self._width = len(contract.features)
        self._pack = struct.Struct(f"{self._width}d").pack
        self._codes = [
            (i, _Codes(contract.codes[spec.name]).__getitem__)
            for i, spec in enumerate(contract.features)
            if spec.name in contract.codes
        ]
        self._predict_rows = live.answerer.predict_rows
        constant = {**live.answerer.row_facts, **identity(live)}
        self._tail_names = frozenset(constant)
        self._tail = b"," + _encode(constant)[1:] + b"\n"

    @classmethod
    def of(cls, live: LoadedModel) -> PlainPredict | None:
        """The version's own, made at the first call; None where it takes no plain rows.

        Making it takes a millisecond: whoever warms a version calls this first.
        """
        try:
            found: PlainPredict | None = live.kept[_KEPT_AS]
        except KeyError:
            found = live.kept[_KEPT_AS] = cls._made(live)
        return found

    @classmethod
    def _made(cls, live: LoadedModel) -> PlainPredict | None:
        contract = live.answerer.rows
        if contract is None:
            return None
        shape = tuple((spec.name, spec.name in contract.codes) for spec in contract.features)
        decode = _decoder(shape)
        return None if decode is None else cls(live, contract, decode)

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
            matrix = self._one(rows[0]) if len(rows) == 1 else self._many(rows)
            outputs = self._predict_rows(matrix)
            if not outputs or not self._tail_names.isdisjoint(outputs):
                return None
            content = _encode({name: values.tolist() for name, values in outputs.items()})
        except Exception:  # noqa: BLE001 - the ordinary way meets it again, words and logs it
            return None
        return content[:-1] + self._tail, len(rows)

    def _one(self, row: Any) -> Floats:
        values = list(_values(row))
        for i, code in self._codes:
            values[i] = code(values[i])
        try:
            packed = self._pack(*values)
        except struct.error:  # a null among the numbers
            return np.array([values], dtype=np.float64)
        # A bytearray, because a model may write to its matrix.
        return np.frombuffer(bytearray(packed), dtype=np.float64).reshape(1, self._width)

    def _many(self, rows: Sequence[Any]) -> Floats:
        """By columns: one conversion and one look-up loop for each, none for each row."""
        columns: list[Sequence[Any]] = list(zip(*map(_values, rows), strict=True))
        for i, code in self._codes:
            columns[i] = list(map(code, columns[i]))
        # Rows beside each other in memory, as the ordinary way has them: how numbers lie decides
        # in which order they are summed, and that decides about the last digit.
        matrix = np.empty((len(rows), self._width), dtype=np.float64)
        for i, column in enumerate(columns):
            matrix[:, i] = column
        return matrix


class _Codes(dict[str | None, float]):
    """Category -> code, as the row contract says: unknown ones and null too."""

    def __init__(self, codes: Any) -> None:
        super().__init__(codes)
        self[None] = math.nan

    def __missing__(self, _category: str | None) -> float:
        return UNKNOWN_CATEGORY


@lru_cache(_KNOWN_SHAPES)
def _decoder(shape: tuple[tuple[str, bool], ...]) -> Callable[[bytes], Any] | None:
    """bytes -> object with `instances`; thousands of models of one workload share it.

    shape : the name of each feature and whether it is a category.

    Returns:
        None for names that the library cannot take, such as one with a quotation mark.
    """
    fields = [
        (f"f{i}", (str | None) if is_category else (float | None))
        for i, (_, is_category) in enumerate(shape)
    ]
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
