"""Values that several routes take or give."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api_service.schemas.operation import Body, Time
from api_service.schemas.requests import Reason

Whole = Annotated[int, Meta(ge=0)]


class Problem(msgspec.Struct):
    """What went wrong (RFC 9457); expected, found and where say it of a request that is not
    valid."""

    type: str
    title: str
    status: int
    detail: str
    expected: str | UnsetType = UNSET
    found: str | UnsetType = UNSET
    where: str | UnsetType = UNSET


class ProtocolError(msgspec.Struct):
    """What went wrong, as the Open Inference Protocol says it."""

    error: str


class Identity(msgspec.Struct, kw_only=True):
    """Which version answered, what data it was fitted on and what it knows."""

    model: str
    version: str
    generation: int
    trained_at: Time
    fitted_until: Time | None
    watermark: Time | None


class Asked(msgspec.Struct, kw_only=True):
    """What the retrain daemon was asked to do; it looks at it within a second or two."""

    request_id: str
    model: str
    sentence: str
    retrain_daemon: str


REASON = Body(Reason, is_optional=True)
Fields = dict[str, Any]
