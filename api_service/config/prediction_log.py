"""Configuration of the prediction log: a small picklable value, as each worker gets a copy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.settings.root import Settings


@dataclass(frozen=True, slots=True)
class PredictionLogConfig:
    """`directory` None: nothing is logged. per_second : of one model, by one worker."""

    directory: Path | None = None
    per_second: float = 0.0
    keep_days: int = 30
    max_bytes: int = 500_000_000
    left_out: tuple[str, ...] = ()
    hashed: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings, workers: int) -> PredictionLogConfig:
        """The part of the settings that a worker needs."""
        section = settings.prediction_log
        return cls(
            directory=settings.prediction_log_dir if section.max_per_second else None,
            per_second=section.max_per_second / workers,
            keep_days=section.keep_days,
            max_bytes=section.max_mb * 1_000_000,
            left_out=tuple(section.left_out),
            hashed=tuple(section.hashed),
        )
