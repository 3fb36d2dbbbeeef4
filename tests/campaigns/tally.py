"""How attempts ended, and the table of them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

OUTCOMES = ("survived", "needed a start", "needs a person", "broken", "let in", "not reached")
"""survived : it went on by itself, after a kill at the next start, and every invariant holds.
needed a start : it did not go on until it was started again. needs a person : that did not help.
broken : an invariant does not hold. let in : what nobody signed was served or opened. not reached :
the run did not come to the point."""
BAD = ("needed a start", "needs a person", "broken", "let in")


@dataclass
class Tally:
    """Campaign and kind of fault -> how often each outcome; and a sentence for each that is bad."""

    counts: dict[tuple[str, str], dict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )
    told: list[str] = field(default_factory=list)

    def add(self, campaign: str, kind: str, outcome: str, what: str = "") -> None:
        self.counts[campaign, kind][outcome] += 1
        if outcome in BAD:
            self.told.append(f"{campaign}, {kind}: {outcome}: {what}")

    def n(self, outcome: str) -> int:
        return sum(found[outcome] for found in self.counts.values())

    def table(self) -> str:
        """As it stands in docs/reliability.md. Tried: what met its fault."""
        lines = [
            f"| campaign | fault | tried | {' | '.join(OUTCOMES)} |",
            "| --- | --- |" + " ---: |" * (len(OUTCOMES) + 1),
            *(_row(*names, found) for names, found in sorted(self.counts.items())),
            _row("all", "", {outcome: self.n(outcome) for outcome in OUTCOMES}),
        ]
        return "\n".join(lines)


def _row(campaign: str, kind: str, found: dict[str, int]) -> str:
    tried = sum(n for outcome, n in found.items() if outcome != "not reached")
    counts = [found.get(outcome, 0) for outcome in OUTCOMES]
    return f"| {' | '.join(map(str, [campaign, kind, tried, *counts]))} |"
