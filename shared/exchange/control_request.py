"""A control request: what the API asks the retrain daemon to do."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """`requests/<id>.json`: what the API asks the retrain daemon to do; consumed once.

    id : unique; for `train` it is also the run id.
    """

    id: str
    kind: Literal["train", "cancel", "rollback", "hold", "release", "reload", "prune", "forget"]
    model: str
    requested_at: datetime
    requested_by: str
    version: str | None = None
    run_id: str | None = None
    reason: str = ""
    options: dict[str, Any] = {}
