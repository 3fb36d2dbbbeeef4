"""Every route's operation by method and rule, one file a concern, as the routes are."""

from __future__ import annotations

from collections.abc import Mapping

from api_service.schemas import legacy, models, records, serving, training, v2
from api_service.schemas.operation import JSON, Answer, Operation

OPERATIONS: Mapping[str, Operation] = {
    **serving.OPERATIONS,
    **models.OPERATIONS,
    **training.OPERATIONS,
    **records.OPERATIONS,
    **v2.OPERATIONS,
    **legacy.OPERATIONS,
    "GET /openapi.json": Operation(
        "This document.", {200: Answer(dict, "OpenAPI 3.1", content_type=JSON)}
    ),
}
