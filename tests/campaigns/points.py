"""Where faults are put: names of operations that a run was seen to do, and kinds in turn."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence

from tests.campaigns.faults import KILLS, KINDS, Point

LASTING = 50
"""Operations in a row: longer than any daemon tries at once."""

_CHANGING = re.compile(r"v\d{6}-\w+|[0-9a-f]{8,}|\d+")
"""Parts of file names that differ from run to run."""


def plan(operations: Sequence[str], n: int | None, seed: int) -> list[Point]:
    """Points of a run like the one that did `operations`.

    A point is an operation by its name and its number among those of that name, so that the next
    run meets it although other threads do theirs earlier or later. Each name is as likely as every
    other. Every second error lasts.

    n : None: every name, first and last, with every kind.
    """
    names = Counter(_CHANGING.sub("*", operation) for operation in operations)
    if n is None:
        return [
            Point(name, at, kind, times)
            for name, count in sorted(names.items())
            for at in sorted({1, count})
            for kind in KINDS
            for times in ((1,) if kind in KILLS else (1, LASTING))
        ]
    dice = random.Random(seed)
    order = dice.sample(sorted(names), len(names))
    first, points = dice.randrange(len(KINDS)), []
    for i in range(n):
        name, kind = order[i % len(order)], KINDS[(first + i) % len(KINDS)]
        times = LASTING if kind not in KILLS and dice.random() < 0.5 else 1
        # The last ones of many may belong to a thread that happened to run once more.
        at = dice.randint(1, max(1, names[name] // 2))
        points.append(Point(name, at, kind, times))
    return points
