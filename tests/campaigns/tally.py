"""How attempts ended, and the table of them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

OUTCOMES = ("survived", "needs a person", "broken", "let in", "not reached")
"""survived : it went on by itself and every invariant holds. needs a person : it did not go on
until it was started again. let in : what nobody signed was served or opened. not reached : it had
stopped before it came to that operation."""
BAD = ("needs a person", "broken", "let in")


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
        """As Markdown."""
        lines = [
            f"| campaign | fault | tried | {' | '.join(OUTCOMES)} |",
            "| --- | --- |" + " ---: |" * (len(OUTCOMES) + 1),
        ]
        for (campaign, kind), found in sorted(self.counts.items()):
            cells = [sum(found.values()), *(found[outcome] for outcome in OUTCOMES)]
            lines.append(f"| {campaign} | {kind} | {' | '.join(map(str, cells))} |")
        return "\n".join(lines)
