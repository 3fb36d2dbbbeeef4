"""What the default gate decides about models whose true quality is known, as tables.

    python -m benchmarks.gate [--quick] [--write]

Losses are drawn with errors that go together within a day, and the gate that the daemon asks is
asked; a changing world is trained on by the engine's own steps. `--write` puts the tables into
docs/promotion.md; `--quick` draws less often, to see that it runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gate.decisions import bound_errors, decision_rates, first_versions
from benchmarks.gate.many_tries import NO_ANCHOR, AnchorRule, late_tries, lower_error, slow_decay
from benchmarks.gate.recovery import BEFORE_DAYS, ROWS_PER_DAY, TOLERATED, WORLDS, recovery
from benchmarks.gate.world import POLICY, World
from benchmarks.gate.world import ROWS_PER_DAY as DRAWN_PER_DAY
from retrain_service.promotion.decide import anchor_after
from shared.settings.per_model import GateSettings

DOCS = Path(__file__).parents[2] / "docs" / "promotion.md"
BEGIN, END = "<!-- simulation: begin -->", "<!-- simulation: end -->"
TRUTHS = (-0.20, -0.10, 0.0, 0.05, 0.10, 0.20)
DAYS = (3, 7, 10, 14, 28)
OWN = (0.005, 0.05, 0.2, 0.5)
DECAY_STEP = 0.005


@dataclass(frozen=True, slots=True)
class Effort:
    """n : tries a cell. n_runs, n_attempts : of slow decay. n_late : champions that get old.
    n_days, every_days : of a changed world, and how often it is trained on."""

    n: int = 100
    n_runs: int = 6
    n_attempts: int = 100
    n_late: int = 15
    n_days: int = 96
    every_days: int = 4


QUICK = Effort(n=60, n_runs=2, n_attempts=30, n_late=6, n_days=48, every_days=6)


def tables(effort: Effort) -> str:
    """All tables as Markdown."""
    return "\n\n".join(
        [
            _decisions(effort.n),
            _alike(effort.n),
            _bounds(effort.n),
            _lasting(effort.n),
            _late(effort.n),
            _late_tries(effort.n_late),
            _firsts(effort.n),
            _decays(effort.n_runs, effort.n_attempts),
            _recoveries(effort.n_days, effort.every_days),
        ]
    )


def _decisions(n: int) -> str:
    rows = []
    for n_days in DAYS:
        cells = [f"{n_days} ({n_days * DRAWN_PER_DAY:,})"]
        for truth in TRUTHS:
            rates = decision_rates(World(n_days), truth, n, seed=n_days)
            cells.append(f"**{_share(rates.promoted)}** · {_share(rates.plain)}")
        rows.append(cells)
    heads = ["held-out days (rows)", *(_truth(truth) for truth in TRUTHS)]
    title = (
        f"Share of {n:,} candidates that were promoted: **default gate** · plain rule"
        f" (mean error at most {POLICY.max_regression:.0%} worse). By the true error of the"
        " candidate beside the champion's:"
    )
    return _table(title, heads, rows)


def _bounds(n: int) -> str:
    rows = []
    for n_days in (5, 7, 14, 28):
        ours, plain = bound_errors(World(n_days), n, seed=n_days)
        rows.append([str(n_days), _share(ours), _share(plain)])
    title = (
        f"Share of {n:,} candidates promoted that are exactly as much worse as is allowed; a bound"
        f" that holds with {POLICY.confidence:.0%} certainty lets 5 % pass:"
    )
    return _table(title, ["held-out days", "expanded percentile (ours)", "plain percentile"], rows)


def _alike(n: int) -> str:
    rows = []
    for own in OWN:
        rates = [decision_rates(World(10, own=own), truth, n, 10) for truth in TRUTHS]
        spread = f"{100 * World(10, own=own).spread():.0f} %"
        rows.append([spread, *(_share(rate.promoted) for rate in rates)])
    title = (
        f"Share of {n:,} candidates that were promoted on {10 * DRAWN_PER_DAY} rows of 10 days, by"
        " how unlike the errors of the two models are (spread of their daily difference):"
    )
    return _table(title, ["daily difference", *map(_truth, TRUTHS)], rows)


def _lasting(n: int) -> str:
    rows = []
    for n_days in (7, 14, 28, 56):
        for block_days in (1, 0):
            policy = POLICY.model_copy(update={"block_days": block_days})
            world = World(n_days, memory=0.7)
            rates = [decision_rates(world, truth, n, n_days, policy) for truth in (0, 0.1, 0.2)]
            name = "**learnt (ours)**" if block_days == 0 else "one day"
            rows.append([str(n_days), name, *(_share(rate.promoted) for rate in rates)])
    title = (
        "Share promoted by the default gate when a day's error is like the day before's"
        " (correlation 0.7), by the length of the blocks:"
    )
    heads = ["held-out days", "blocks", *(_truth(truth) for truth in (0, 0.1, 0.2))]
    return _table(title, heads, rows)


def _late(n: int) -> str:
    truths = (-0.10, 0.0, 0.10, 0.20)
    age_days = POLICY.max_undecided_days + 1.0
    rows = []
    for n_days in (3, 7, 14, 28):
        cells = [str(n_days)]
        for truth in truths:
            rates = decision_rates(World(n_days), truth, n, n_days, champion_age_days=age_days)
            cells.append(f"**{_share(rates.promoted)}** · {_share(rates.plain)}")
        rows.append(cells)
    title = (
        f"Share of {n:,} candidates promoted in the first try after `max_undecided_days`:"
        " **ours** · plain means:"
    )
    return _table(title, ["held-out days", *map(_truth, truths)], rows)


def _late_tries(n: int) -> str:
    rows = []
    for n_held_out in (7, 14):
        cells = [str(n_held_out)]
        for truth in (0.0, 0.10, 0.20):
            world = World(n_held_out + 30)
            ours, alike = (
                late_tries(world, truth, n_held_out, n, 5, counts=counts)
                for counts in (True, False)
            )
            cells.append(f"**{_share(ours)}** · {_share(alike)}")
        rows.append(cells)
    title = (
        f"Share of {n} old champions that were replaced within 30 days of daily tries:"
        " **each try asks for more (ours)** · each is as easy as the first:"
    )
    return _table(title, ["held-out days", *map(_truth, (0.0, 0.10, 0.20))], rows)


def _firsts(n: int) -> str:
    truths = (-0.20, 0.0, 0.20, 0.50, 1.0)
    rows = []
    for n_days in (3, 7, 28):
        pairs = [first_versions(World(n_days), truth, n, n_days) for truth in truths]
        rows.append([str(n_days), *(f"**{_share(a)}** · {_share(b)}" for a, b in pairs)])
    title = (
        f"Share of {n:,} first versions that were promoted, by their true error beside the naive"
        " baseline's: **refused when surely worse (ours)** · refused when the mean is worse:"
    )
    return _table(title, ["held-out days", *map(_truth, truths)], rows)


def _decays(n_runs: int, n_attempts: int) -> str:
    free = POLICY.model_copy(update={"max_total_regression": NO_ANCHOR})
    variants: list[tuple[str, GateSettings, AnchorRule]] = [
        ("no anchor", free, anchor_after),
        ("anchor: whoever has the lower error", POLICY, lower_error),
        ("**anchor: replaced by the surely better (ours)**", POLICY, anchor_after),
    ]
    rows = []
    for name, policy, rule in variants:
        worse = slow_decay(DECAY_STEP, n_attempts, n_runs, 1, policy, rule)
        rows.append([name, f"×{worse.median:.2f}", f"×{worse.worst:.2f}", _share(worse.promotions)])
    title = (
        f"True error after {n_attempts} trainings, each offering a model half a percent worse"
        f" than what is served, as a multiple of the first version's ({n_runs} runs, 28 held-out"
        " days each time):"
    )
    return _table(title, ["", "median run", "worst 5 % of runs", "share promoted"], rows)


def _recoveries(n_days: int, every_days: int) -> str:
    rows = []
    for name, rule in WORLDS.items():
        found = recovery(rule, n_days, seed=3, every_days=every_days)
        rows.append(
            [
                name,
                f"**{_days(found.ours_days)}** · {_days(found.refit_days)}",
                f"{100 * (found.mean - 1):+.0f} %",
                f"{100 * (found.worst - 1):+.0f} %",
                f"{100 * found.regret:+.0f} %",
                str(found.baseline_days),
            ]
        )
    title = (
        f"A world that changes after {BEFORE_DAYS} days of {ROWS_PER_DAY} rows, then {n_days} days"
        f" with a training every {every_days} days: days until the served error stays within"
        f" {100 * (TOLERATED - 1):.0f} % of the least possible, by **ours** · a system that refits"
        " on everything and asks no gate; our error beside that system's; by how much the worst"
        " promotion was worse than what it replaced; days on which the naive baseline served:"
    )
    heads = ["", "days to recover", "mean", "worst day", "worst promotion", "baseline days"]
    return _table(title, heads, rows)


def _days(days: int | None) -> str:
    return "never" if days is None else str(days)


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [
        f"| {' | '.join(heads)} |",
        f"| {' | '.join('---' if i == 0 else '---:' for i in range(len(heads)))} |",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    return f"{title}\n\n" + "\n".join(lines)


def _truth(truth: float) -> str:
    if truth == 0:
        return "equal"
    return f"{abs(truth):.0%} {'worse' if truth > 0 else 'better'}".replace("%", " %")


def _share(share: float) -> str:
    return f"{100 * share:.0f} %" if 0.1 <= share <= 0.995 else f"{100 * share:.1f} %"


def main(arguments: Sequence[str]) -> int:
    text = tables(QUICK if "--quick" in arguments else Effort())
    print(text)
    if "--write" in arguments:
        page = DOCS.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        DOCS.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
