"""Encode and decode inference messages of the Open Inference Protocol, with tensors after the
JSON (`Inference-Header-Content-Length`) and without. Bytes in, bytes out; knows no model.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from api_service.v2.tensors import (
    Tensor,
    datatype_of,
    decode_binary,
    decode_json,
    encode_binary,
    encode_json,
)
from api_service.web.query import as_whole_number
from shared.errors import RequestInvalid

HEADER_LENGTH = "Inference-Header-Content-Length"

Outputs = Mapping[str, NDArray[Any]]


class InferInput(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] | None = None
    data: msgspec.Raw = msgspec.Raw(b"")


class RequestedOutput(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(msgspec.Struct):
    """What the JSON of a request says; fields that the protocol may yet get are passed over."""

    inputs: list[InferInput]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[RequestedOutput] | None = None


_decode = msgspec.json.Decoder(InferRequest).decode


def read_request(content: bytes, header_length: str | None) -> tuple[InferRequest, list[Tensor]]:
    """Decode an inference request.

    Args:
        header_length: how many bytes of it are JSON, as the header says; None: all.

    Raises:
        RequestInvalid: says what was expected, what came, and where.
    """
    if header_length is None:
        content = content.removeprefix(codecs.BOM_UTF8)
    n_json = len(content)
    if header_length is not None:
        number = as_whole_number(header_length)
        if number is None or not 1 <= number <= len(content):
            expected = f"a number of bytes from 1 to {len(content)}, the length of the body"
            raise RequestInvalid(expected, header_length, HEADER_LENGTH)
        n_json = number
    try:
        message = _decode(content[:n_json] if n_json < len(content) else content)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        where = place.strip(".`") or "body"
        raise RequestInvalid(f"an inference request ({reason})", "another", where) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestInvalid(f"JSON ({error})", content[:20], "body") from None
    return message, _tensors(message, memoryview(content)[n_json:])


def _tensors(message: InferRequest, binary: memoryview) -> list[Tensor]:
    tensors: list[Tensor] = []
    at = 0
    for i, one in enumerate(message.inputs):
        where = f"inputs[{i}]"
        size = (one.parameters or {}).get("binary_data_size")
        if size is None:
            data = bytes(one.data)
            tensors.append(decode_json(one.name, one.datatype, one.shape, data, where))
            continue
        left = len(binary) - at
        if type(size) is not int or not 0 <= size <= left:
            expected = f"a number of bytes up to {left}, so many follow the JSON"
            raise RequestInvalid(expected, size, f"{where}.parameters.binary_data_size")
        content = binary[at : at + size]
        tensors.append(decode_binary(one.name, one.datatype, one.shape, content, where))
        at += size
    if at != len(binary):
        expected = f"{at} bytes after the JSON, as binary_data_size says"
        raise RequestInvalid(expected, len(binary), "body")
    return tensors


def write_answer(
    message: InferRequest, head: Mapping[str, Any], outputs: Outputs
) -> tuple[bytes, int | None]:
    """Encode the outputs that a request asks for, each as it asks for it.

    Args:
        head: the fields before the outputs: model_name, model_version, parameters.

    Returns:
        The body, and how many bytes of it are JSON when binary tensors follow.

    Raises:
        RequestInvalid: an output that the model does not give, or not in this way.
    """
    is_binary_by_default = (message.parameters or {}).get("binary_data_output") is True
    lines: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for name, values, is_binary in _wanted(message, outputs, is_binary_by_default):
        line: dict[str, Any] = {
            "name": name,
            "datatype": datatype_of(values),
            "shape": list(values.shape),
        }
        if is_binary:
            content = encode_binary(values)
            line["parameters"] = {"binary_data_size": len(content)}
            binary.append(content)
        else:
            line["data"] = encode_json(values)
        lines.append(line)
    answer = {**head, **({"id": message.id} if message.id is not None else {}), "outputs": lines}
    json = msgspec.json.encode(answer)
    if not binary:
        return json, None
    return b"".join((json, *binary)), len(json)


def _wanted(
    message: InferRequest, outputs: Outputs, is_binary_by_default: bool
) -> Sequence[tuple[str, NDArray[Any], bool]]:
    if not message.outputs:
        return [(name, np.asarray(outputs[name]), is_binary_by_default) for name in outputs]
    found = []
    for i, one in enumerate(message.outputs):
        where = f"outputs[{i}]"
        if one.name not in outputs:
            raise RequestInvalid(f"one of {', '.join(outputs)}", one.name, f"{where}.name")
        parameters = one.parameters or {}
        for name in ("classification", "shared_memory_region"):
            if parameters.get(name):
                raise RequestInvalid(
                    f"no {name}, this server has none", parameters[name], f"{where}.parameters"
                )
        is_binary = parameters.get("binary_data", is_binary_by_default) is True
        found.append((one.name, np.asarray(outputs[one.name]), is_binary))
    return found
