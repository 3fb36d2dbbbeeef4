"""Search the options of the chosen candidate, on the training part only, within a budget.

Trials are proposed by Optuna (Akiba et al., Optuna: a next-generation hyperparameter optimization
framework, KDD 2019) and judged as candidates are. Knows no champion, no holdout and no gate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
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
_SHARE_OF_TRIALS = 0.8
"""Of the budget; the rest is for comparing the best of them with the candidate as it is."""
_DIGITS = 4  # of an option: more only make names long


class _Trial(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the journal. study : what it belongs to; error : None where it failed."""

    study: str
    name: str
    error: float | None = None
    n_rows: int = 0
    fit_s: float = 0.0
    peak_mb: float = 0.0
    left_out: str | None = None


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
    ends_at = clock() + _SHARE_OF_TRIALS * budget_s
    known = _read(journal)
    done = [each for each in known if each.study == study and options_of(each.name)[0] == base]
    others = [each for each in known if each.study != study and each.error is not None]
    search = _Search(space, seed, [options_of(each.name)[1] for each in _best_first(others)[:1]])
    for each in done:
        search.tell(options_of(each.name)[1], each.error)
    n_resumed = len(done)
    if not done:
        _rewrite(journal, [])
    for n in range(n_resumed, trials):
        progress(n / trials, base)
        options = search.ask()
        name = with_options(base, options)
        same = next((each for each in done if each.name == name), None)
        if same is None:
            try:
                _, measured = measure(workload, name, origins, seed, clock, ends_at)
            except OutOfTime:
                break
            except Exception as error:  # noqa: BLE001 - these options do not suit; others may
                same = _Trial(study, name, left_out=f"{type(error).__name__}: {error}"[:200])
            else:
                same = _Trial(
                    study,
                    name,
                    measured.loss,
                    measured.n_rows,
                    measured.fit_s,
                    measured.peak_mb,
                )
            _append(journal, same)
        done.append(same)
        search.tell(options, same.error)
    return _concluded(workload, selection, train, seed, done, n_resumed, budget_s)


def _concluded(
    workload: Workload,
    selection: Selection,
    train: TrainingSet,
    seed: int,
    done: list[_Trial],
    n_resumed: int,
    budget_s: float,
) -> Selection:
    best = next(iter(_best_first(done)), None)
    again = f", {n_resumed} of them by a run before" if n_resumed else ""
    head = f"{selection.sentence} Of {len(done)} trials{again}"
    scores = [*selection.scores, *map(_score_of, {each.name: each for each in done}.values())]
    if best is None:
        return Selection(selection.chosen, f"{head} none ended.", scores)
    found = select(
        workload,
        [selection.chosen, best.name],
        train,
        seed,
        lambda *_: None,
        budget_s=budget_s,  # the best has been fitted before, and in time
    )
    return Selection(found.chosen, f"{head} the best: {found.sentence}", scores)


def _score_of(trial: _Trial) -> CandidateScore:
    return CandidateScore(
        name=trial.name,
        loss=trial.error,
        n_rows=trial.n_rows,
        fit_s=trial.fit_s,
        peak_mb=trial.peak_mb,
        left_out=trial.left_out,
    )


def _best_first(trials: list[_Trial]) -> list[_Trial]:
    ended = [each for each in trials if each.error is not None]
    return sorted(ended, key=lambda each: (each.error, each.name))


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


def _rewrite(journal: Path, trials: list[_Trial]) -> None:
    journal.parent.mkdir(parents=True, exist_ok=True)
    journal.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in trials))
