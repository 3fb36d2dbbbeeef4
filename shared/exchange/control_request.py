"""A control request: what the API asks the retrain daemon to do."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """`requests/<id>.json`: what the API asks the retrain daemon to do; consumed once.

    id : unique; for `train` it is also the run id, which folders are named after.
    options : for `train`; what a request must not decide, `build_spec` refuses.
    """

    id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,100}\Z")]
    kind: Literal[
        "train",
        "cancel",
        "rollback",
        "hold",
        "release",
        "reload",
        "prune",
        "forget",
        "confirm_deletions",
    ]
    model: str
    requested_at: datetime
    requested_by: str
    version: str | None = None
    run_id: str | None = None
    reason: str = ""
    options: dict[str, Any] = {}
