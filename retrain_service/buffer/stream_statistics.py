"""Counts of a stream's records, as a whole and by entity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """One stream at a glance.

    n_usable : records without a reject reason; n_deleted : tombstones kept.
    oldest, newest : of `updated_at`, UTC, over the records that are not deleted.
    rejected : reason -> number of records. body_bytes : JSON text of all bodies.
    """

    n_records: int = 0
    n_usable: int = 0
    n_deleted: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    body_bytes: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EntityCount:
    """Usable records of one entity, and how many of them are new since its watermark."""

    n_usable: int = 0
    n_new: int = 0
