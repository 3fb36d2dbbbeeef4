"""Every route's operation by method and rule, one file a concern, as the routes are."""

from __future__ import annotations

from collections.abc import Mapping

from api_service.openapi.operation import JSON, Answer, Operation
from api_service.openapi.operations import aliases, models, records, serving, training, v2

OPERATIONS: Mapping[str, Operation] = {
    **serving.OPERATIONS,
    **models.OPERATIONS,
    **training.OPERATIONS,
    **records.OPERATIONS,
    **v2.OPERATIONS,
    **aliases.OPERATIONS,
    "GET /openapi.json": Operation(
        "This document.", {200: Answer(dict, "OpenAPI 3.1", content_type=JSON)}
    ),
}
