"""Convert tensors to a model's feature matrix, and describe its inputs and outputs.

One tensor a feature, of shape [n] or [n, 1]; or one numeric tensor [n, n_features] with all of
them. A model that takes no plain rows is asked in one BYTES tensor: each element is the JSON of
one request. Knows no HTTP.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from api_service.v2.tensors import BYTES, Tensor, datatype_of
from shared.errors import RequestInvalid
from shared.loading.open_version import LoadedModel
from shared.workloads.contract import Answerer
from shared.workloads.rows import FeatureSpec, RowContract, RowRefused, code_of
from shared.workloads.text_rows import TextTable

REQUEST, ANSWER = "request", "answer"
_DATATYPES = {"float64": "FP64", "int64": "INT64", "bool": "BOOL", "category": BYTES, "text": BYTES}
_MOST_REQUESTS = 1000


def answer_tensors(
    answerer: Answerer, tensors: Sequence[Tensor], question: str, now: datetime
) -> tuple[Mapping[str, NDArray[Any]], int]:
    """Ask the model.

    Args:
        question: what the elements of a tensor `request` ask.

    Returns:
        The outputs, "predictions" (or "answer") first, and how many rows were answered.

    Raises:
        RequestInvalid, NotFound: says what was expected, what came, and where.
    """
    if is_request(answerer.rows, tensors):
        return {ANSWER: _answers(answerer, tensors, question, now)}, math.prod(tensors[0].shape)
    assert answerer.rows is not None, "is_request is true where no rows are taken"
    matrix = to_matrix(tensors, answerer.rows)
    try:
        return answerer.predict_rows(matrix), matrix.shape[0]
    except RowRefused as refused:
        name = answerer.rows.features[refused.column].name
        place = next((one.where for one in tensors if one.name == name), tensors[0].where)
        found = matrix[refused.row, refused.column]
        where = f"{place} ({name}), row {refused.row}"
        raise RequestInvalid(refused.expected, float(found), where) from None


def is_request(rows: RowContract | None, tensors: Sequence[Tensor]) -> bool:
    """Whether the tensors hold requests as JSON rather than rows."""
    if rows is None:
        return True
    return len(tensors) == 1 and tensors[0].name == REQUEST and tensors[0].datatype == BYTES


# -- rows ----------------------------------------------------------------------------------------


def to_matrix(tensors: Sequence[Tensor], contract: RowContract) -> NDArray[np.float64]:
    """The rows as (n_rows, n_features) float64, columns in the order of the features.

    Raises:
        RequestInvalid: a feature missing or unknown, shapes that differ, text for a number.
    """
    names = [spec.name for spec in contract.features]
    if len(tensors) == 1 and tensors[0].name not in names and len(tensors[0].shape) == 2:
        return _whole_matrix(tensors[0], contract, names)
    by_name = {tensor.name: tensor for tensor in tensors}
    missing = [name for name in names if name not in by_name]
    unexpected = [name for name in by_name if name not in names]
    if missing or unexpected or len(by_name) != len(tensors):
        found = {"missing": missing, "unexpected": unexpected}
        whole = "" if _with_texts(contract) else f", or one tensor [n, {len(names)}]"
        raise RequestInvalid(f"one tensor for each of {names}{whole}", found, "inputs")
    n = by_name[names[0]].shape[0]
    if n == 0:
        raise RequestInvalid("at least one row", 0, f"{by_name[names[0]].where}.shape")
    matrix, table = np.empty((n, len(names)), np.float64), TextTable()
    for j, (name, spec) in enumerate(zip(names, contract.features, strict=True)):
        tensor = by_name[name]
        if tensor.shape not in ((n,), (n, 1)):
            expected = f"[{n}] or [{n}, 1], as of the first feature"
            raise RequestInvalid(expected, list(tensor.shape), f"{tensor.where}.shape")
        if spec.dtype == "text":
            matrix[:, j] = [table.place(text) for text in _texts(tensor)]
        else:
            matrix[:, j] = _column(tensor, contract.codes.get(name))
    return table.matrix(matrix, contract.text_columns)


def _whole_matrix(
    tensor: Tensor, contract: RowContract, names: Sequence[str]
) -> NDArray[np.float64]:
    n, width = tensor.shape
    if texts := _with_texts(contract):
        expected = f"one tensor a feature, for {texts} are texts"
        raise RequestInvalid(expected, f"one of {tensor.datatype}", tensor.where)
    if n == 0 or width != len(names):
        expected = f"[n, {len(names)}] with n from 1 on, columns {names}"
        raise RequestInvalid(expected, [n, width], f"{tensor.where}.shape")
    # A copy that may be written to; what came as bytes may not.
    return np.array(_numeric(tensor), np.float64).reshape(n, width)


def _column(tensor: Tensor, codes: Mapping[str, float] | None) -> NDArray[Any] | list[float]:
    if codes is None:
        return _numeric(tensor)
    return [math.nan if text is None else code_of(codes, text) for text in _texts(tensor)]


def _texts(tensor: Tensor) -> list[str | None]:
    if not isinstance(tensor.values, list):
        raise RequestInvalid("texts (BYTES)", tensor.datatype, f"{tensor.where}.datatype")
    return tensor.values


def _with_texts(contract: RowContract) -> list[str]:
    return [spec.name for spec in contract.features if spec.dtype in ("category", "text")]


def _numeric(tensor: Tensor) -> NDArray[Any]:
    if isinstance(tensor.values, list):
        raise RequestInvalid("a numeric datatype", BYTES, f"{tensor.where}.datatype")
    return tensor.values


# -- requests as JSON ------------------------------------------------------------------------------


def _answers(
    answerer: Answerer, tensors: Sequence[Tensor], question: str, now: datetime
) -> NDArray[Any]:
    if len(tensors) != 1 or tensors[0].name != REQUEST or not isinstance(tensors[0].values, list):
        found = [f"{one.name} {one.datatype}" for one in tensors]
        expected = f"one tensor {REQUEST!r} of BYTES, each element a request in JSON"
        raise RequestInvalid(expected, found, "inputs")
    if question not in answerer.questions:
        expected = f"one of {', '.join(answerer.questions)}"
        raise RequestInvalid(expected, question, "parameters.question")
    tensor, texts = tensors[0], tensors[0].values
    if not 1 <= len(texts) <= _MOST_REQUESTS:
        expected = f"1 to {_MOST_REQUESTS} requests"
        raise RequestInvalid(expected, len(texts), f"{tensor.where}.shape")
    answers = np.empty(len(texts), object)
    for i, text in enumerate(texts):
        try:
            asked = msgspec.json.decode((text or "").encode(), type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError) as error:
            where = f"{tensor.where}.data[{i}]"
            raise RequestInvalid(f"a JSON object ({error})", text, where) from None
        answer = answerer.answer(question, asked, now)
        answers[i] = msgspec.json.encode(answer).decode()
    return answers.reshape(tensor.shape)


# -- metadata --------------------------------------------------------------------------------------


def metadata(live: LoadedModel) -> dict[str, Any]:
    """The model as the protocol describes it; -1 is the number of rows."""
    manifest, answerer = live.manifest, live.answerer
    if answerer.rows is None:
        inputs = [{"name": REQUEST, "datatype": BYTES, "shape": [-1]}]
        outputs = [{"name": ANSWER, "datatype": BYTES, "shape": [-1]}]
    else:
        inputs = [_input(spec) for spec in answerer.rows.features]
        outputs = _outputs(answerer, answerer.rows)
    newest = manifest.watermark.newest_record_at
    return {
        "name": manifest.model,
        "versions": [manifest.version],
        "platform": f"hotfit_{manifest.serving_form.form}",
        "inputs": inputs,
        "outputs": outputs,
        "properties": {
            "workload": manifest.workload,
            "generation": str(live.generation),
            "trained_at": manifest.trained_at.isoformat(),
            "fitted_until": manifest.fitted_until.isoformat() if manifest.fitted_until else "",
            "watermark": newest.isoformat() if newest else "",
            "questions": ", ".join(answerer.questions),
        },
    }


def _input(spec: FeatureSpec) -> dict[str, Any]:
    facts = {"unit": spec.unit, "low": spec.low, "high": spec.high}
    return {
        "name": spec.name,
        "datatype": _DATATYPES[spec.dtype],
        "shape": [-1],
        "parameters": {name: value for name, value in facts.items() if value is not None},
    }


def _outputs(answerer: Answerer, rows: RowContract) -> list[dict[str, Any]]:
    """As the model answers one row in the middle of every range."""
    row = [
        0.0 if spec.low is None or spec.high is None else (spec.low + spec.high) / 2
        for spec in rows.features
    ]
    try:
        found = answerer.predict_rows(np.array([row], np.float64))
    except RowRefused:  # it has bounds that no range tells; what every model gives is known
        return [{"name": "predictions", "datatype": "FP64", "shape": [-1]}]
    return [
        {"name": name, "datatype": datatype_of(values), "shape": [-1, *values.shape[1:]]}
        for name, values in ((name, np.asarray(found[name])) for name in found)
    ]
