"""Turn run-log events into timeline entries, newest first; equal events are merged. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.run_log.reader import Event

_TOGETHER = timedelta(minutes=1)
_GOOD = frozenset({"promote", "swap", "release"})
_BAD = frozenset(
    {
        "baseline",
        "failed",
        "abandoned",
        "quarantine",
        "error",
        "refusal",
        "source_outage",
        "budget",
        "withheld",
    }
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line. tone : good, bad or plain, beside the word that says the same."""

    at: datetime
    model: str
    kind: str
    sentence: str
    tone: str
    run_id: str | None = None


def lines(events: Sequence[Event]) -> list[Line]:
    """Of events in the order of their numbers."""
    found: list[Line] = []
    group: list[Event] = []
    for event in (*events, None):
        if event is not None and group and _is_same_swap(group[-1], event):
            group.append(event)
            continue
        if group:
            found.append(_swaps(group) if len(group) > 1 else _line(group[0]))
        group = [event] if event is not None else []
    return found[::-1]


def _is_same_swap(one: Event, other: Event) -> bool:
    def of(event: Event) -> object:
        receipt = event.details.get("receipt") or {}
        is_cold_start = receipt.get("previous") is None
        return (
            event.kind,
            event.model,
            receipt.get("version"),
            receipt.get("generation"),
            is_cold_start,
        )

    is_swap = one.kind == "swap" and bool(one.details.get("receipt"))
    # Workers that start later open the same version: that is another moment, and others.
    return is_swap and of(one) == of(other) and other.at - one.at < _TOGETHER


def _swaps(group: Sequence[Event]) -> Line:
    first = group[0]
    receipts = [event.details["receipt"] for event in group]
    ready = [
        sum(receipt[f"{stage}_ms"] for stage in ("verify", "load", "golden", "warm"))
        for receipt in receipts
    ]
    failed = sum(receipt["requests_failed"] for receipt in receipts)
    fastest, slowest = f"{min(ready):.0f}", f"{max(ready):.0f}"
    shown = f"{fastest} to {slowest}" if fastest != slowest else slowest
    return Line(
        first.at,
        first.model,
        "swap",
        f"{len(group)} workers serve {receipts[0]['version']}: ready in {shown} ms,"
        f" {failed} requests failed.",
        "bad" if failed else "good",
    )


def _line(event: Event) -> Line:
    tone = "good" if event.kind in _GOOD else "bad" if event.kind in _BAD else "plain"
    return Line(event.at, event.model, event.kind, event.sentence, tone, event.run_id)
