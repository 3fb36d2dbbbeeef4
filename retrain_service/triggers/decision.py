"""The decision of the triggers: train, replace or wait, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Train:
    """Start a run."""

    trigger: str
    reason: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Stop the run under way and start this one in its place."""

    trigger: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Do not train now.

    reason : what will start the next run, or what holds back one that is due.
    trigger : the trigger that is due and held back; None when nothing is due.
    until : when that ends, or when the next moment comes; None when no time is known.
    """

    reason: str
    trigger: str | None = None
    until: datetime | None = None


Decision = Train | Replace | Wait
