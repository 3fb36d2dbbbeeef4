"""Write what was asked and answered in tensors as the requests and answers that other routes have.

Called off the request's path. Knows no log and no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from api_service.v2.rows import ANSWER, is_request
from api_service.v2.tensors import Tensor
from shared.workloads.contract import Answerer


def as_requests(
    answerer: Answerer, tensors: Sequence[Tensor], outputs: Mapping[str, NDArray[Any]]
) -> list[tuple[object, object]]:
    """(request, answer) of each request in the tensors, or of all rows together."""
    if is_request(answerer.rows, tensors):
        texts = tensors[0].values
        assert isinstance(texts, list), "what was answered was JSON"
        answers = outputs[ANSWER].ravel()
        return [
            ((text or "").encode(), answer.encode())
            for text, answer in zip(texts, answers, strict=True)
        ]
    assert answerer.rows is not None, "is_request is true where no rows are taken"
    names = [spec.name for spec in answerer.rows.features]
    by_name = {tensor.name: tensor.values for tensor in tensors}
    if by_name.keys() == set(names):
        columns = [_listed(by_name[name]) for name in names]
        rows = [list(row) for row in zip(*columns, strict=True)]
    else:
        rows = np.asarray(tensors[0].values).reshape(-1, len(names)).tolist()
    instances = [dict(zip(names, row, strict=True)) for row in rows]
    answer = {name: np.asarray(values).tolist() for name, values in outputs.items()}
    return [({"instances": instances}, {**answer, **answerer.row_facts})]


def _listed(values: list[str | None] | NDArray[Any]) -> list[Any]:
    return values if isinstance(values, list) else values.ravel().tolist()
