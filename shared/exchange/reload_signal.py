"""The reload signal: the desired version of a model and its generation."""

from __future__ import annotations

from datetime import datetime

import msgspec

from shared.keys.signature import Signature

SIGNAL_NAME = "reload_signal.json"


class ReloadSignal(msgspec.Struct, frozen=True, kw_only=True):
    """The wanted version of one model. `generation` only grows; written by the retrain daemon.

    signature : over all the rest and the model's name; None as releases before wrote it.
    """

    generation: int
    version: str
    manifest_sha256: str
    previous: str | None
    reason: str
    hold: bool = False
    promoted_at: datetime
    signature: Signature | None = None
