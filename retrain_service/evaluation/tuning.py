"""Search the options of the chosen candidate, on the training part only, within a budget.

Trials are proposed by Optuna (Akiba et al., Optuna: a next-generation hyperparameter optimization
framework, KDD 2019) and judged as candidates are. Knows no champion, no holdout and no gate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from retrain_service.evaluation.selection import (
    CandidateScore,
    OutOfTime,
    Selection,
    measure,
    select,
)
from shared.workloads.contract import Workload
from shared.workloads.search_space import Choice, Option, options_of, with_options
from shared.workloads.training import Progress, TrainingSet

JOURNAL_NAME = "tuning.jsonl"
_DIGITS = 4  # of an option: more only make names long
_LONGEST_REASON = 200


class _Trial(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the journal. study : what it belongs to."""

    study: str
    score: CandidateScore


def tune(
    workload: Workload,
    selection: Selection,
    train: TrainingSet,
    seed: int,
    progress: Progress,
    *,
    trials: int,
    budget_s: float,
    journal: Path,
    study: str,
    clock: Callable[[], float] = time.monotonic,
) -> Selection:
    """The chosen candidate as it is, unless options that were found are surely better.

    journal : where each trial is written down once it has ended, so that a run that is stopped is
        continued by the next one on the same inputs. study : names the inputs; trials on others
        are forgotten, but the best of them is tried first.
    """
    base, _ = options_of(selection.chosen)
    space = workload.search_space(base)
    if not space:
        sentence = f"{selection.sentence} {base} has no options to search."
        return msgspec.structs.replace(selection, sentence=sentence)
    origins = workload.origins(train)
    if not origins:
        sentence = f"{selection.sentence} Too few rows to search options of {base}."
        return msgspec.structs.replace(selection, sentence=sentence)
    ends_at = clock() + budget_s
    known = _read(journal)
    done = [
        each.score
        for each in known
        if each.study == study and options_of(each.score.name)[0] == base
    ]
    before = _best_of([each.score for each in known if each.study != study])
    search = _Search(space, seed, [options_of(before.name)[1]] if before else [])
    for each in done:
        search.tell(options_of(each.name)[1], each.loss)
    n_resumed = len(done)
    if not done:
        _begin(journal)
    for n in range(n_resumed, trials):
        progress(n / trials, base)
        options = search.ask()
        name = with_options(base, options)
        score = next((each for each in done if each.name == name), None)
        if score is None:
            # The best is compared with the candidate at last: two more fits at each origin.
            slowest_s = max((each.fit_s for each in (*selection.scores, *done)), default=0.0)
            last_s = ends_at - 2 * len(origins) * slowest_s
            try:
                _, score = measure(workload, name, origins, seed, clock, last_s)
            except OutOfTime:
                break
            except Exception as error:  # noqa: BLE001 - these options do not suit; others may
                reason = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
                score = CandidateScore(name=name, left_out=reason)
            _append(journal, _Trial(study, score))
        done.append(score)
        search.tell(options, score.loss)
    again = f", {n_resumed} of them by a run before" if n_resumed else ""
    head = f"{selection.sentence} Of {len(done)} trials{again}"
    scores = [*selection.scores, *{each.name: each for each in done}.values()]
    best = _best_of(done)
    if best is None:
        return Selection(selection.chosen, f"{head} none ended.", scores)
    found = select(
        workload,
        [selection.chosen, best.name],
        train,
        seed,
        progress,
        budget_s=ends_at - clock(),
        clock=clock,
        origins=origins,
    )
    return Selection(found.chosen, f"{head} the best: {found.sentence}", scores)


def _best_of(scores: Iterable[CandidateScore]) -> CandidateScore | None:
    ended = [each for each in scores if each.loss is not None]
    return min(ended, key=lambda each: (each.loss, each.name), default=None)


class _Search:
    """A study of Optuna's in memory; same seed and same trials, same proposals."""

    def __init__(self, space: Mapping[str, Choice], seed: int, first: list[dict[str, Any]]) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self._space = {name: _distribution(optuna, choice) for name, choice in space.items()}
        self._study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        self._asked: Any = None
        for options in first:
            with suppress(ValueError):  # another space
                if options.keys() == self._space.keys():
                    self._study.enqueue_trial(options)

    def ask(self) -> dict[str, Option]:
        self._asked = self._study.ask(self._space)
        return {name: _short(value) for name, value in self._asked.params.items()}

    def tell(self, options: Mapping[str, Any], error: float | None) -> None:
        """error : None where the trial failed."""
        states = self._optuna.trial.TrialState
        state = states.COMPLETE if error is not None else states.FAIL
        if self._asked is not None:
            asked, self._asked = self._asked, None
            self._study.tell(asked, error, state=state)
            return
        with suppress(ValueError):  # the space has changed since
            self._study.add_trial(
                self._optuna.trial.create_trial(
                    params=dict(options), distributions=self._space, value=error, state=state
                )
            )


def _distribution(optuna: Any, choice: Choice) -> Any:
    kinds = optuna.distributions
    if choice.among is not None:
        return kinds.CategoricalDistribution(choice.among)
    if choice.is_whole:
        return kinds.IntDistribution(int(choice.low or 0), int(choice.high or 0), log=choice.log)
    return kinds.FloatDistribution(float(choice.low or 0), float(choice.high or 0), log=choice.log)


def _short(value: Option) -> Option:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def _read(journal: Path) -> list[_Trial]:
    """What was written, without a last line that a stop has torn."""
    found = []
    with suppress(FileNotFoundError):
        for line in journal.read_bytes().splitlines():
            with suppress(msgspec.DecodeError):
                found.append(msgspec.json.decode(line, type=_Trial))
    return found


def _append(journal: Path, trial: _Trial) -> None:
    with journal.open("ab") as file:
        file.write(msgspec.json.encode(trial) + b"\n")


def _begin(journal: Path) -> None:
    journal.parent.mkdir(parents=True, exist_ok=True)
    journal.write_bytes(b"")
