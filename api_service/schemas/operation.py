"""What a route says of itself beyond its path, its key and its docstring. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

import msgspec

Time = Annotated[datetime, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""UTC, RFC 3339."""

JSON = "application/json"
PROBLEM = "application/problem+json"
BINARY = "application/octet-stream"
TEXT = "text/plain"


@dataclass(frozen=True, slots=True)
class Body:
    """What a request holds. is_optional : an empty body is taken for an empty object."""

    type: Any
    is_optional: bool = False
    also: Mapping[str, str] = field(default_factory=dict)
    """Another content type, for which no schema can be given -> what it holds."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One status that is no error. type : None where it has no body."""

    type: Any
    text: str
    content_type: str = JSON
    also: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Header -> what it says."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One route and method.

    query : a struct type whose fields are the query parameters.
    errors : statuses beside those that every such route may give: see openapi_document.py.
    """

    text: str
    answers: Mapping[int, Answer]
    query: type[msgspec.Struct] | None = None
    body: Body | None = None
    errors: tuple[int, ...] = ()
