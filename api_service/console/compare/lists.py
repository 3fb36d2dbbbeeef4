"""Compare the recommendations of two versions for the same customers or products.

Both were asked when they were made; opens no model. Pure.
"""

from __future__ import annotations

from collections import Counter

from api_service.console.charts.plots import Bar, bars
from api_service.console.compare.rows import SameRows
from api_service.console.formatting import figure, several, short_version
from api_service.console.workload_views.base import Table
from shared.versions.answer_sample import AnswerSample

_MOST_CHANGED = 12
_MOST_NAMED = 4


def view(
    versions: tuple[str, str], one: AnswerSample | None, other: AnswerSample | None
) -> SameRows:
    """Empty when not both carry answers, or when nobody was asked about in both."""
    both = [asked for asked in one.answers if asked in other.answers] if one and other else []
    if one is None or other is None or not both:
        return SameRows()
    names = [short_version(version) for version in versions]
    longest = max(len(one.answers[asked]) for asked in both)
    shared = {asked: len({*one.answers[asked]} & {*other.answers[asked]}) for asked in both}
    n_same = sum(one.answers[asked] == other.answers[asked] for asked in both)
    spread = Counter(shared.values())
    mean = sum(shared.values()) / len(both)
    picture = bars(
        "answers",
        f"Of the first {longest}, how many {names[0]} and {names[1]} share",
        f"{figure(len(both))} {one.what} that both versions know were asked about when each was"
        f" made. On average {figure(mean, 3)} of {longest} are in both lists; {figure(n_same)}"
        " lists are the same to the order.",
        [
            Bar(
                f"{n} of {longest}", [(float(spread.get(n, 0)), "s1", "")], figure(spread.get(n, 0))
            )
            for n in range(longest, -1, -1)
        ],
        unit=one.what,
        columns=["shared", one.what],
        rows=[[f"{n} of {longest}", figure(spread.get(n, 0))] for n in range(longest, -1, -1)],
        left=100,
    )
    return SameRows([picture], _changed(names, one, other, shared))


def _changed(
    names: list[str], one: AnswerSample, other: AnswerSample, shared: dict[str, int]
) -> list[Table]:
    """Those whose lists differ most."""
    changed = [asked for asked in shared if {*one.answers[asked]} != {*other.answers[asked]}]
    if not changed:
        return []

    def named(sample: AnswerSample, rest: AnswerSample, asked: str) -> str:
        missing = [each for each in sample.answers[asked] if each not in rest.answers[asked]]
        shown = [sample.names.get(each) or each for each in missing[:_MOST_NAMED]]
        more = len(missing) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")

    changed.sort(key=lambda asked: (shared[asked], asked))
    return [
        Table(
            f"Most changed, of {several(len(changed), 'list')} that differ",
            [
                (one.what, False),
                ("in both", True),
                (f"only {names[0]}", False),
                (f"only {names[1]}", False),
            ],
            [
                [
                    other.names.get(asked, asked),
                    figure(shared[asked]),
                    named(one, other, asked),
                    named(other, one, asked),
                ]
                for asked in changed[:_MOST_CHANGED]
            ],
        )
    ]
