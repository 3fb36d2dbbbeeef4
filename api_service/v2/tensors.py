"""Convert tensors of the Open Inference Protocol between JSON or bytes and arrays. Knows no model.

Numbers never become Python objects one by one on the binary way, and only inside the JSON
decoder on the other. Binary values are little-endian and row-major; an element of BYTES is its
length in 4 bytes and then itself, in UTF-8 here.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import RequestInvalid

BYTES, BF16 = "BYTES", "BF16"
_INTEGERS = tuple(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))
_DTYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{name: np.dtype(name.lower()).newbyteorder("<") for name in _INTEGERS},
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
DATATYPES = (*_DTYPES, BF16, BYTES)

_MOST_DIMENSIONS = 8
_TEXTS = list[str | None]
_WHOLE = list[int | float]
_TRUTH = list[bool | int | float]
_NUMBERS = list[float | None]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named input, decoded.

    values : flat and row-major: an array, or a list of texts for BYTES. A null of JSON is NaN
        in a float tensor and None in BYTES; no other datatype has one.
    where : its place in the request, for errors.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: NDArray[Any] | list[str | None]
    where: str


def decode_json(name: str, datatype: str, shape: Sequence[int], data: bytes, where: str) -> Tensor:
    """A tensor whose `data` is JSON, flat or nested as its shape says.

    Raises:
        RequestInvalid: not of this datatype, or of another number of elements.
    """
    n = _n_elements(datatype, shape, where)
    if not data:
        raise RequestInvalid("data, or the parameter binary_data_size", "neither", where)
    values = _flat(data, shape, _python_type(datatype), f"{where}.data")
    if len(values) != n:
        raise RequestInvalid(f"{n} elements, as the shape says", len(values), f"{where}.data")
    if datatype == BYTES:
        return Tensor(name, datatype, tuple(shape), values, where)
    return Tensor(name, datatype, tuple(shape), _as_array(values, datatype, where), where)


def decode_binary(
    name: str, datatype: str, shape: Sequence[int], content: memoryview, where: str
) -> Tensor:
    """A tensor that came as bytes after the JSON.

    Raises:
        RequestInvalid: another number of bytes than datatype and shape say, or text that is not
            UTF-8.
    """
    n = _n_elements(datatype, shape, where)
    if datatype == BYTES:
        texts = _texts(content, where)
        if len(texts) != n:
            raise RequestInvalid(f"{n} elements, as the shape says", len(texts), where)
        return Tensor(name, datatype, tuple(shape), texts, where)
    width = 2 if datatype == BF16 else _DTYPES[datatype].itemsize
    if len(content) != n * width:
        raise RequestInvalid(
            f"{n * width} bytes for {n} elements of {datatype}", len(content), where
        )
    if datatype == BF16:
        high = np.frombuffer(content, "<u2").astype(np.uint32) << 16
        values: NDArray[Any] = high.view(np.float32)
    elif datatype == "BOOL":
        values = np.frombuffer(content, np.uint8) != 0
    else:
        values = np.frombuffer(content, _DTYPES[datatype])
    return Tensor(name, datatype, tuple(shape), values, where)


def datatype_of(values: NDArray[Any]) -> str:
    """The datatype under which an array is answered; what is no number is text."""
    if values.dtype.kind == "b":
        return "BOOL"
    if values.dtype.kind in "iuf" and values.dtype.itemsize <= 8:
        prefix = {"i": "INT", "u": "UINT", "f": "FP"}[values.dtype.kind]
        return f"{prefix}{values.dtype.itemsize * 8}"
    return BYTES


def encode_json(values: NDArray[Any]) -> list[Any]:
    """Flat and row-major; what JSON cannot hold, NaN and infinity, becomes null."""
    flat = values.ravel().tolist()
    return flat if datatype_of(values) != BYTES else [str(one) for one in flat]


def encode_binary(values: NDArray[Any]) -> bytes:
    """Row-major, little-endian."""
    datatype = datatype_of(values)
    if datatype != BYTES:
        return np.ascontiguousarray(values, _DTYPES[datatype]).tobytes()
    texts = [str(one).encode() for one in values.ravel().tolist()]
    return b"".join(chain.from_iterable((struct.pack("<I", len(one)), one) for one in texts))


# -- checks and conversions ------------------------------------------------------------------------


def _n_elements(datatype: str, shape: Sequence[int], where: str) -> int:
    if datatype not in DATATYPES:
        raise RequestInvalid(f"one of {', '.join(DATATYPES)}", datatype, f"{where}.datatype")
    if not 1 <= len(shape) <= _MOST_DIMENSIONS or min(shape) < 0:
        expected = f"1 to {_MOST_DIMENSIONS} numbers from 0 on"
        raise RequestInvalid(expected, list(shape), f"{where}.shape")
    return math.prod(shape)


def _python_type(datatype: str) -> Any:
    if datatype == BYTES:
        return _TEXTS
    if datatype == "BOOL":
        return _TRUTH
    return _WHOLE if datatype in _INTEGERS else _NUMBERS


def _flat(data: bytes, shape: Sequence[int], type_: Any, where: str) -> list[Any]:
    try:
        return msgspec.json.decode(data, type=type_)  # type: ignore[no-any-return]
    except msgspec.ValidationError as error:
        if len(shape) == 1:
            raise _wrong(error, where) from None
    except RecursionError:
        raise RequestInvalid("data nested as the shape says", "deeper nesting", where) from None
    nested: Any = msgspec.json.decode(data)
    for size in shape[1:]:
        is_list_of_lists = isinstance(nested, list) and set(map(type, nested)) <= {list}
        if not is_list_of_lists or set(map(len, nested)) - {size}:
            raise RequestInvalid(f"data flat or nested as {list(shape)}", "another nesting", where)
        nested = list(chain.from_iterable(nested))
    try:
        return msgspec.convert(nested, type_)  # type: ignore[no-any-return]
    except msgspec.ValidationError as error:
        raise _wrong(error, where) from None


def _wrong(error: msgspec.ValidationError, where: str) -> RequestInvalid:
    reason, _, place = str(error).partition(" - at `$")
    expected, _, found = reason.partition(", got ")
    return RequestInvalid(
        expected.removeprefix("Expected ").replace("`", ""),
        found.replace("`", "") or reason,
        where + place.rstrip("`"),
    )


def _as_array(values: list[Any], datatype: str, where: str) -> NDArray[Any]:
    """Of JSON values; whole numbers may be written as 1.0, truth as 0 and 1."""
    if datatype not in _INTEGERS and datatype != "BOOL":
        numbers = np.array(values, np.float64)  # None becomes NaN
        with np.errstate(over="ignore"):
            return numbers.astype(_DTYPES.get(datatype, np.dtype(np.float32)))
    found = np.array(values)
    if datatype == "BOOL":
        low, high = 0, 1
    else:
        info = np.iinfo(_DTYPES[datatype])
        low, high = int(info.min), int(info.max)
    is_number = found.dtype.kind in "biuf"  # anything else is a number beyond 64 bits
    if found.size and not (
        is_number
        and low <= found.min()
        and found.max() <= high
        and (found.dtype.kind != "f" or bool((found == np.trunc(found)).all()))
    ):
        expected = "true or false" if datatype == "BOOL" else f"whole numbers from {low} to {high}"
        raise RequestInvalid(expected, "others", f"{where}.data")
    return found.astype(_DTYPES[datatype])


def _texts(content: memoryview, where: str) -> list[str | None]:
    texts: list[str | None] = []
    at = 0
    while at < len(content):
        start = at + 4
        length = struct.unpack_from("<I", content, at)[0] if start <= len(content) else 0
        at = start + length
        if at > len(content):
            raise RequestInvalid("a length in 4 bytes and so many bytes", "fewer", where)
        try:
            texts.append(str(content[start:at], "utf-8"))
        except UnicodeDecodeError as error:
            raise RequestInvalid("text in UTF-8", str(error), f"{where}[{len(texts)}]") from None
    return texts
