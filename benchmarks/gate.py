"""What the default gate decides about models whose true quality is known.

    python -m benchmarks.gate [--write]

Draws losses of a champion and of a candidate that is worse or better by a known share, with
errors that go together within a day, and asks the gate that the daemon asks. Beside it the rule
that most people write first: promote when the mean error is at most 10 % worse.
`--write` puts the tables into docs/promotion.md.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrain_service.evaluation.paired_bootstrap import N_RESAMPLES, compare, losses_by_day
from retrain_service.evaluation.scores import Evaluation, Reference
from retrain_service.promotion.decide import InsufficientData, Promote, anchor_after, decide
from retrain_service.promotion.noninferiority import LATE_CONFIDENCE
from shared.settings.per_model import GateSettings
from shared.workloads.training import Score

DOCS = Path(__file__).parent.parent / "docs" / "promotion.md"
BEGIN, END = "<!-- simulation: begin -->", "<!-- simulation: end -->"

POLICY = GateSettings()
TRUTHS = (-0.10, 0.0, 0.05, 0.10, 0.20)
DAYS = (3, 7, 14, 28, 56)
ROWS_PER_DAY = 20
N_SLICES = 5
DECAY_STEP = 0.005
NO_ANCHOR = 10.0  # the greatest max_total_regression there is

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class World:
    """How errors go together.

    Residuals are normal: a part that no model can know, variance 1, and a part of each model's
    own, independent of the other models', of variance `own` for the best of them. `day_share` of
    either is the same for all rows of a day, and a day's share is correlated with the day before
    by `memory`.
    """

    n_days: int
    rows_per_day: int = ROWS_PER_DAY
    own: float = 0.05
    day_share: float = 0.3
    memory: float = 0.0

    def residuals(self, rng: np.random.Generator, variance: float) -> Floats:
        """(n_days * rows_per_day,)."""
        by_day = rng.normal(size=self.n_days)
        for day in range(1, self.n_days):
            new = math.sqrt(1 - self.memory**2) * by_day[day]
            by_day[day] = self.memory * by_day[day - 1] + new
        by_row = rng.normal(size=(self.n_days, self.rows_per_day))
        shared, own = math.sqrt(self.day_share), math.sqrt(1 - self.day_share)
        found: Floats = math.sqrt(variance) * (shared * by_day[:, None] + own * by_row)
        return found.ravel()

    def scores(self, rng: np.random.Generator, errors: Sequence[float]) -> list[Score]:
        """One score per model on the same rows; the expected loss is proportional to `errors`.

        errors : true error of each model, 1 or more; 1 is a model whose own part is `own`.
        """
        unknowable = self.residuals(rng, 1.0)
        day = np.datetime64("2026-01-01", "D") + np.repeat(
            np.arange(self.n_days), self.rows_per_day
        )
        slices = np.array([f"part {i % N_SLICES}" for i in range(day.shape[0])])
        found = []
        for error in errors:
            # The mean of |normal| goes with its standard deviation.
            own = self.residuals(rng, (1 + self.own) * error**2 - 1.0)
            loss = np.abs(unknowable + own)
            found.append(Score(loss, day, slices, {}, "units"))
        return found


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of decisions: the gate's three verdicts, and the plain rule's promotions."""

    promoted: float
    rejected: float
    insufficient: float
    plain: float


def decision_rates(
    world: World,
    truth: float,
    n: int,
    seed: int,
    policy: GateSettings = POLICY,
    champion_age_days: float = 1.0,
    late_tries: int = 0,
) -> Rates:
    """Ask `n` times about a candidate whose error is truly (1 + truth) times the champion's."""
    rng = np.random.default_rng(seed)
    promoted = insufficient = plain = 0
    for _ in range(n):
        candidate, champion = world.scores(rng, _errors(truth))
        evaluation = _evaluation(candidate, champion, champion_age_days=champion_age_days)
        evaluation = replace(evaluation, late_tries=late_tries)
        verdict = decide(evaluation, policy, seed=seed)
        promoted += isinstance(verdict, Promote)
        insufficient += isinstance(verdict, InsufficientData)
        plain += bool(candidate.loss.mean() <= (1 + policy.max_regression) * champion.loss.mean())
    rejected = n - promoted - insufficient
    return Rates(promoted / n, rejected / n, insufficient / n, plain / n)


def _errors(truth: float) -> tuple[float, float]:
    """Candidate and champion; the better of the two has error 1."""
    better = min(1 + truth, 1.0)
    return (1 + truth) / better, 1.0 / better


def _evaluation(
    candidate: Score,
    champion: Score,
    anchor: Score | None = None,
    champion_age_days: float = 1.0,
) -> Evaluation:
    baseline = replace(champion, loss=champion.loss * 10)
    return Evaluation(
        candidate=candidate,
        baseline=baseline,
        champion=Reference("champion", champion, age_days=champion_age_days),
        anchor=Reference("anchor", anchor) if anchor is not None else None,
        version="candidate",
    )


def first_versions(world: World, truth: float, n: int, seed: int) -> tuple[float, float]:
    """How often a first version is promoted whose error is truly (1 + truth) times the naive
    baseline's: by the gate, and by the rule that its mean may not be above the baseline's."""
    rng = np.random.default_rng(seed)
    ours = plain = 0
    for _ in range(n):
        candidate, baseline = world.scores(rng, _errors(truth))
        ours += isinstance(decide(Evaluation(candidate, baseline), POLICY), Promote)
        plain += bool(candidate.loss.mean() <= baseline.loss.mean())
    return ours / n, plain / n


def bound_errors(world: World, n: int, seed: int) -> tuple[float, float]:
    """How often a model exactly at the limit is promoted: by the gate's bound, and by the plain
    95th percentile of the same bootstrap. Both should be 0.05."""
    limit, confidence = POLICY.max_regression, POLICY.confidence
    rng = np.random.default_rng(seed)
    ours = plain = 0
    for _ in range(n):
        candidate, champion = world.scores(rng, _errors(limit))
        ours += compare(candidate, champion, confidence=confidence, seed=seed).upper <= 1 + limit
        _, losses = losses_by_day(candidate, champion)
        picked = rng.integers(0, world.n_days, (N_RESAMPLES, world.n_days))
        sums = losses[picked].sum(axis=1)
        plain += bool(np.quantile(sums[:, 0] / sums[:, 1], confidence) <= 1 + limit)
    return ours / n, plain / n


AnchorRule = Callable[[Evaluation, GateSettings], str]


def lower_error(evaluation: Evaluation, policy: GateSettings) -> str:
    """The anchor rule that comes to mind first: whoever has the lower error on this slice."""
    del policy
    anchor = evaluation.anchor
    assert anchor is not None
    assert anchor.score is not None
    is_lower = evaluation.candidate.loss.mean() <= anchor.score.loss.mean()
    return evaluation.version if is_lower else anchor.version


@dataclass(frozen=True, slots=True)
class Decay:
    """True error at the end as a multiple of the first version's, over the runs."""

    median: float
    worst: float
    promotions: float


def slow_decay(
    step: float, n_attempts: int, n_runs: int, seed: int, policy: GateSettings, rule: AnchorRule
) -> Decay:
    """Let a trainer offer, again and again, a candidate that is `step` worse than the champion.

    Each attempt is judged on 28 new days. worst : the 95th percentile of the runs.
    """
    world = World(28)
    ends, promotions = [], 0
    for run in range(n_runs):
        rng = np.random.default_rng((seed, run))
        champion = anchor = 1.0
        for _ in range(n_attempts):
            offered = champion * (1 + step)
            candidate, champion_score, anchor_score = world.scores(rng, (offered, champion, anchor))
            evaluation = _evaluation(candidate, champion_score, anchor_score)
            if isinstance(decide(evaluation, policy, seed=seed), Promote):
                promotions += 1
                champion = offered
                if rule(evaluation, policy) == evaluation.version:
                    anchor = offered
        ends.append(champion)
    return Decay(
        float(np.median(ends)), float(np.quantile(ends, 0.95)), promotions / n_runs / n_attempts
    )


def tables(n: int, n_runs: int, n_attempts: int) -> str:
    """All tables as Markdown."""
    return "\n\n".join(
        [
            _decisions(n),
            _bounds(n),
            _lasting(n),
            _late(n),
            _firsts(n),
            _decays(n_runs, n_attempts),
        ]
    )


def _decisions(n: int) -> str:
    rows = []
    for n_days in DAYS:
        cells = [f"{n_days} ({n_days * ROWS_PER_DAY:,})"]
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


def _lasting(n: int) -> str:
    rows = []
    for n_days in (28, 56):
        world = World(n_days, memory=0.7)
        for block_days in (1, 4):
            policy = POLICY.model_copy(update={"block_days": block_days})
            rates = [decision_rates(world, truth, n, n_days, policy) for truth in (0, 0.1, 0.2)]
            rows.append([str(n_days), str(block_days), *(_share(rate.promoted) for rate in rates)])
    title = (
        "Share promoted by the default gate when a day's error is like the day before's"
        " (correlation 0.7), by `block_days`:"
    )
    heads = ["held-out days", "block_days", *(_truth(truth) for truth in (0, 0.1, 0.2))]
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
        f"Share of {n:,} candidates promoted once the champion is older than `max_undecided_days`:"
        f" **{LATE_CONFIDENCE:.0%} certainty (ours)** · plain means:".replace("%", " %")
    )
    return _table(title, ["held-out days", *map(_truth, truths)], rows)


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
    text = tables(n=1000, n_runs=40, n_attempts=150)
    print(text)
    if "--write" in arguments:
        page = DOCS.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        DOCS.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
