"""The health of one stream: its state, the sentence that explains it, and since when."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import msgspec

from retrain_service.buffer.store import UpsertCounts

State = Literal["catching_up", "ok", "budget", "withheld", "unavailable", "misconfigured"]


class StreamHealth(msgspec.Struct, frozen=True):
    """How reading a stream goes. Times are UTC.

    since : when it came into this state; None before the first poll.
    sentence : for people: what is the matter and what happens next.
    last_read_at : the last time the source answered; last_change_at : ... and had something new.
    billed_reads_today : on this UTC day, as the provider bills them; 0 where reads are free.
    daily_read_budget : 0 when there is none.
    n_without_cursor_field : records that can never be read, because they hold no time to order
        by; None until it was looked at.
    """

    stream: str
    source: str
    state: State
    since: datetime | None
    sentence: str
    last_read_at: datetime | None = None
    last_change_at: datetime | None = None
    next_poll_at: datetime | None = None
    n_failures: int = 0
    billed_reads_today: int = 0
    daily_read_budget: int = 0
    n_without_cursor_field: int | None = None


@dataclass(frozen=True, slots=True)
class PollResult:
    """What one call did.

    has_more : there is more to do now; call again at the next tick without waiting.
    state_change : the health when its state changed, to be logged once; None otherwise.
    findings : of the daily chores, as sentences; they are no state of the stream.
    """

    applied: UpsertCounts = field(default_factory=UpsertCounts)
    has_more: bool = False
    state_change: StreamHealth | None = None
    findings: tuple[str, ...] = ()
