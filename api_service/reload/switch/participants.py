"""The coordinator's state of each worker and of each model in a switch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from api_service.reload.policy import VersionKey
from api_service.reload.switch.policy import (
    WorkerStanding,
)


@dataclass(slots=True)
class Participant:
    """opening : model -> since when; a worker opens one model after the other, mostly."""

    worker_id: int
    channel: Connection
    end: Callable[[], None]
    opening: dict[str, float] = field(default_factory=dict)
    idle_since_s: float = 0.0
    is_ended: bool = False


@dataclass(slots=True)
class SwitchedModel:
    index: int
    workers: dict[int, WorkerStanding] = field(default_factory=dict)
    committed: VersionKey | None = None
    refused: dict[int, str] = field(default_factory=dict)
    missing_since_s: list[float] = field(default_factory=list)
    replaced_for: list[int] = field(default_factory=list)
