"""Choose among a workload's candidates by rolling origin, on the training part only.

What a fit costs counts. Knows no champion, no holdout and no gate: the one that is chosen still
has to pass them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from retrain_service.evaluation.paired_bootstrap import compare
from retrain_service.trainer.fit import fit_candidate
from retrain_service.trainer.windows import has_window, newest_origins, windowed
from shared.errors import FixConfiguration
from shared.workloads.contract import Workload
from shared.workloads.search_space import mean_of, options_of
from shared.workloads.training import Progress, Score, TrainingSet

SHARE_OF_RUN = 0.4
"""No more of `max_run_time_s` than this goes into comparing."""

CONFIDENCE = 0.8
WINDOW_CONFIDENCE = 0.95
"""What is left out was true once: it takes more to do without it."""
MUCH_COSTLIER = 10.0
_WORTH_IT = 0.99  # a hundredth less, surely: what is much costlier has to earn it
_FEWEST_OF_MEAN = 2
_NEAR_ENOUGH = 1.2  # times the error of the best: the mean with one that is worse is not better
# Below these, how long a fit takes is the machine's mood, and nobody minds it.
_LEAST_S, _LEAST_MB = 5.0, 200.0


class CandidateScore(msgspec.Struct, frozen=True, kw_only=True):
    """What one candidate came to.

    loss : the error of its answers over all origins, in the workload's unit; None where it was
        left out, and `left_out` says why. fit_s, peak_mb : the costliest of its fits.
    """

    name: str
    loss: float | None = None
    n_rows: int = 0
    fit_s: float = 0.0
    peak_mb: float = 0.0
    left_out: str | None = None


class Selection(msgspec.Struct, frozen=True):
    """chosen : a candidate's name. scores : cheapest first; empty where nothing was compared."""

    chosen: str
    sentence: str
    scores: list[CandidateScore] = []


class OutOfTime(Exception):
    """The share of the run's time is used up."""


def select(
    workload: Workload,
    names: Sequence[str],
    train: TrainingSet,
    seed: int,
    progress: Progress,
    *,
    budget_s: float,
    clock: Callable[[], float] = time.monotonic,
    origins: Sequence[tuple[TrainingSet, TrainingSet]] | None = None,
    confidence: float = CONFIDENCE,
) -> Selection:
    """Compare candidates; same rows and seed, same choice, unless the time ran out.

    names : at least one; the first is what the workload takes where nothing speaks for another.
    progress : called with the share of the comparison that is done and a candidate's name.
    budget_s : no fit is begun that would probably end later, and one that does is given up.
    origins : where to roll; None for the workload's own.
    confidence : how surely another must be better than the first.
    """
    first = names[0]
    if len(names) == 1:
        return Selection(first, f"{first}: the only candidate.")
    if origins is None:
        origins = workload.origins(train)
    if not origins:
        return Selection(first, f"{first}: too few rows to compare {', '.join(names)}.")
    ends_at = clock() + budget_s
    found: list[CandidateScore] = []
    losses: dict[str, Score] = {}
    for position, name in enumerate(names):
        progress(position / len(names), name)
        try:
            score, measured = measure(workload, name, origins, seed, clock, ends_at)
        except FixConfiguration as error:
            if name == first or not has_window(name):
                raise
            found.append(CandidateScore(name=name, left_out=str(error)))
        except OutOfTime:
            found.append(CandidateScore(name=name, left_out=f"no time within {budget_s:.0f} s"))
        except Exception as error:  # noqa: BLE001 - another candidate may do without what it needs
            found.append(CandidateScore(name=name, left_out=f"{type(error).__name__}: {error}"))
        else:
            found.append(measured)
            losses[name] = score
    progress(1.0, first)
    if not losses:
        return Selection(first, f"{first}: no candidate could be compared.", found)
    return _choose(found, losses, seed, confidence)


def select_window(
    workload: Workload,
    selection: Selection,
    train: TrainingSet,
    seed: int,
    progress: Progress,
    *,
    lengths_days: Sequence[int],
    budget_s: float,
) -> Selection:
    """The chosen candidate on all rows, unless it is surely better on the newest of them alone.

    Judged on the newest weeks of the training part, which alone tell of a change.
    """
    names = windowed(selection.chosen, train, lengths_days) if workload.can_be_cut else []
    origins = newest_origins(train) if names else []
    if not origins:
        return selection
    found = select(
        workload,
        [selection.chosen, *names],
        train,
        seed,
        progress,
        budget_s=budget_s,
        origins=origins,
        confidence=WINDOW_CONFIDENCE,
    )
    sentence = f"{selection.sentence} On the newest weeks {found.sentence}"
    return Selection(found.chosen, sentence, [*selection.scores, *found.scores[1:]])


def select_mean(
    workload: Workload,
    selection: Selection,
    train: TrainingSet,
    seed: int,
    progress: Progress,
    *,
    budget_s: float,
) -> Selection:
    """The chosen candidate, unless the mean of the two best of those that were compared is surely
    better."""
    scored = [each for each in selection.scores if each.loss is not None]
    if not workload.can_be_averaged or len(scored) < _FEWEST_OF_MEAN:
        return selection
    chosen = next((each for each in scored if each.name == selection.chosen), scored[0])
    rivals = [each for each in scored if options_of(each.name)[0] != options_of(chosen.name)[0]]
    second = min(rivals, key=lambda each: each.loss or 0.0, default=None)
    if second is None or (second.loss or 0.0) > _NEAR_ENOUGH * (chosen.loss or 0.0):
        return selection
    found = select(
        workload,
        [selection.chosen, mean_of([selection.chosen, second.name])],
        train,
        seed,
        progress,
        budget_s=budget_s,
    )
    sentence = f"{selection.sentence} With their mean: {found.sentence}"
    return Selection(found.chosen, sentence, [*selection.scores, *found.scores[1:]])


def measure(
    workload: Workload,
    name: str,
    origins: Sequence[tuple[TrainingSet, TrainingSet]],
    seed: int,
    clock: Callable[[], float],
    ends_at: float,
) -> tuple[Score, CandidateScore]:
    """Fit and score one candidate at each origin.

    Raises:
        OutOfTime: no further fit would end by `ends_at`, or one did not.
        ValueError: an answer is not finite; and whatever a fit raises.
    """

    def look(_share: float, _stage: str) -> None:
        if clock() > ends_at:
            raise OutOfTime

    scores: list[Score] = []
    fit_s = peak_mb = 0.0
    for past, following in origins:
        if clock() + fit_s > ends_at:
            raise OutOfTime
        fitted = fit_candidate(workload, name, past, seed, look, clock)
        score = workload.score(fitted.estimator, following)
        if not np.isfinite(score.loss).all():
            raise ValueError("an answer is not a finite number")
        scores.append(score)
        fit_s, peak_mb = max(fit_s, fitted.fit_s), max(peak_mb, fitted.peak_mb)
    joined = _joined(scores)
    return joined, CandidateScore(
        name=name,
        loss=joined.error,
        n_rows=int(joined.loss.shape[0]),
        fit_s=round(fit_s, 3),
        peak_mb=peak_mb,
    )


def _joined(scores: Sequence[Score]) -> Score:
    return Score(
        np.concatenate([score.loss for score in scores]),
        np.concatenate([score.day for score in scores]),
        np.concatenate([score.slices for score in scores]),
        {},
        scores[0].unit,
        scale=max(score.scale for score in scores),
        order=scores[0].order,
        span_days=scores[0].span_days,
    )


def _choose(
    found: list[CandidateScore], losses: dict[str, Score], seed: int, confidence: float
) -> Selection:
    """The lowest loss of those that are surely better than the first; else the first.

    The first is what the workload takes on its own, and of several that are equally good one is
    always ahead by chance. One that costs ten times more has to be surely better than each.
    """
    scored = [each for each in found if each.loss is not None]
    mean = {each.name: losses[each.name].error for each in scored}
    first = scored[0]
    chosen, passed_over = first, ""
    for other in sorted(scored[1:], key=lambda each: mean[each.name]):
        if mean[other.name] >= mean[chosen.name]:
            continue
        dear = _costs_much_more(other, chosen)
        one = losses[other.name]
        if _is_surely_better(one, losses[first.name], 1.0, seed, confidence) and (
            not dear or _is_surely_better(one, losses[chosen.name], _WORTH_IT, seed, confidence)
        ):
            chosen = other
        elif not passed_over:
            why = f" and takes {other.fit_s:.3g} s and {other.peak_mb:.0f} MB" if dear else ""
            passed_over = f" {other.name} is ahead, but not surely{why}."
    unit = losses[chosen.name].unit
    rest = ", ".join(f"{each.name} {mean[each.name]:.4g}" for each in scored if each != chosen)
    head = f"{chosen.name}: {mean[chosen.name]:.4g} {unit} from {chosen.n_rows} rows"
    return Selection(chosen.name, f"{head}, beside {rest or 'no other'}.{passed_over}", found)


def _costs_much_more(one: CandidateScore, other: CandidateScore) -> bool:
    return (
        one.fit_s > MUCH_COSTLIER * max(other.fit_s, _LEAST_S / MUCH_COSTLIER)
        or one.peak_mb > MUCH_COSTLIER * max(other.peak_mb, _LEAST_MB / MUCH_COSTLIER)
    )  # fmt: skip


def _is_surely_better(one: Score, other: Score, below: float, seed: int, confidence: float) -> bool:
    found = compare(one, other, confidence=confidence, block_days=one.span_days, seed=seed)
    return found.upper < below
