"""The tabular contract: any records with columns, any scikit-learn estimator.

No clock, no disk, no daemon; rows, columns, estimators, scores and answers stand beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.documents.field_specs import FieldSpec
from shared.documents.time_policy import NoTime
from shared.documents.times import parse_time
from shared.records import Table
from shared.workloads.contract import Answerer, Workload
from shared.workloads.error_bounds import ErrorBounds
from shared.workloads.holdout import split_by_day
from shared.workloads.losses import Loss, score_regressor
from shared.workloads.rows import UNKNOWN_CATEGORY, FeatureSpec, check_features
from shared.workloads.search_space import Choice
from shared.workloads.tabular import evaluation
from shared.workloads.tabular.columns import contract_of
from shared.workloads.tabular.estimator_factory import own_version
from shared.workloads.tabular.estimators import (
    loss_of_estimator,
    make_baseline,
    search_space_of,
)
from shared.workloads.tabular.fields import row_fields
from shared.workloads.tabular.fitting import fit_candidate
from shared.workloads.tabular.model import CodedForm, TabularEstimator, recode
from shared.workloads.tabular.parameters import ESTIMATORS, TabularParameters, check
from shared.workloads.tabular.records import read_text, time_policy
from shared.workloads.tabular.rejections import no_target, unusable_cell, unusable_target
from shared.workloads.tabular.rows import NO_TIME, TrainingContext, as_learnt_from, read_rows
from shared.workloads.tabular.sample_requests import golden_requests
from shared.workloads.tabular.serving import (
    ServingState,
    TabularAnswerer,
    read_serving_state,
    write_serving_state,
)
from shared.workloads.text_rows import texts_in
from shared.workloads.training import GoldenRequest, Progress, Score, StreamSpec, TrainingSet

_SHOWN_LENGTH = 2000


class Tabular(Workload):
    """See the module docstring; the contract is in `base`."""

    name = "tabular"
    streams = (StreamSpec("records", "rows with the target and the features as columns"),)
    Parameters = TabularParameters

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        super().__init__(parameters)
        self._given: TabularParameters = self.parameters
        self._time_zone = check(self._given)
        self._times = time_policy(self._time_zone)

    @property
    def target_is_number(self) -> bool:
        return self._given.known_task != "classification"

    def has_number_target(self, rows: TrainingSet) -> bool:
        context: TrainingContext = rows.context
        return context.task == "regression"

    # -- what the records are ------------------------------------------------------------------

    def fields_of(self, stream: str) -> tuple[FieldSpec, ...]:
        del stream
        return row_fields(self._given)

    def is_left_out(self, reason: str) -> bool:
        """A record whose outcome is not known yet teaches nothing, and that is no fault."""
        return reason == no_target(self._given.target)

    def reject_reason(self, stream: str, fields: Mapping[str, Any]) -> str | None:
        """As far as one record can say: types that are learnt show only among many."""
        given = self._given
        reason = unusable_target(fields.get(given.target), given)
        if reason is not None:
            return reason
        at_us = parse_time(fields.get(given.time), self._times) if given.time else 0
        if isinstance(at_us, NoTime) and at_us is not NoTime.AMBIGUOUS:
            return NO_TIME
        cells = (
            unusable_cell(name, fields.get(name), override.type)
            for name, override in given.columns.items()
        )
        return next((found for found in cells if found is not None), None)

    # -- training half: retrain_service only -----------------------------------------------------

    def training_set(self, tables: Mapping[str, Table]) -> TrainingSet:
        """One row per record, with its columns as numbers; see `training_rows`."""
        return read_rows(tables["records"], self._given, self._time_zone)

    def features_of(self, rows: TrainingSet) -> tuple[FeatureSpec, ...]:
        context: TrainingContext = rows.context
        return context.contract.features

    @property
    def own_code(self) -> str | None:
        return self._given.estimator if self._given.is_own_code else None

    def libraries(self) -> Mapping[str, str]:
        return own_version(self._given.estimator) if self._given.is_own_code else {}

    def split(self, rows: TrainingSet) -> tuple[TrainingSet, TrainingSet]:
        """The newest of the days are the holdout; what stands in them alone is not learnt."""
        train, newest = split_by_day(rows)
        return self.as_learnt_from(train, train), newest

    def origins(self, train: TrainingSet) -> Sequence[tuple[TrainingSet, TrainingSet]]:
        return [(self.as_learnt_from(past, past), new) for past, new in super().origins(train)]

    def as_learnt_from(self, rows: TrainingSet, seen: TrainingSet) -> TrainingSet:
        return as_learnt_from(rows, seen, self._given) if seen.n_rows else rows

    @property
    def candidate_names(self) -> Sequence[str]:
        """The configured estimator first, then the other names that can do the task."""
        given = self._given
        able = [name for name, tasks in ESTIMATORS.items() if given.known_task in (None, *tasks)]
        return (given.estimator, *(name for name in able if name != given.estimator))

    def candidates(self, train: TrainingSet) -> Sequence[str]:
        """What is configured; `training.candidates` has others compared with it."""
        del train
        return self.candidate_names[:1]

    def search_space(self, name: str) -> Mapping[str, Choice]:
        return search_space_of(self._given, name)

    can_be_averaged = True

    def fit(self, train: TrainingSet, seed: int, progress: Progress) -> Any:
        return self.fit_candidate(self._given.estimator, train, seed, progress)

    def fit_candidate(self, name: str, train: TrainingSet, seed: int, progress: Progress) -> Any:
        """One of `candidate_names`, with options of its own, or the mean of some."""
        return fit_candidate(self._given, name, train, seed, progress)

    def fit_more(
        self, estimator: Any, new: TrainingSet, seed: int, progress: Progress
    ) -> Any | None:
        """A pipeline is fitted as a whole: what scales its columns would not be continued."""
        return None

    def score(self, estimator: Any, holdout: TrainingSet) -> Score:
        """Rows are coded anew by the estimator's own vocabulary: a champion may have another."""
        context: TrainingContext = holdout.context
        matrix = recode(holdout.features, context.contract, estimator.contract)
        features = estimator.contract.features
        coded = [j for j, spec in enumerate(features) if spec.dtype == "category"]
        is_unknown = (np.asarray(matrix)[:, coded] == UNKNOWN_CATEGORY).any(axis=1)
        score = self._score(estimator, matrix, holdout)
        return replace(score, is_unknown=is_unknown) if coded else score

    def _score(self, estimator: Any, matrix: NDArray[np.float64], holdout: TrainingSet) -> Score:
        context: TrainingContext = holdout.context
        if context.task == "regression":
            predicted = np.asarray(estimator.predict(matrix), dtype=np.float64)
            return score_regressor(predicted, holdout, self._unit, self._loss)
        probabilities = evaluation.probabilities_of(estimator, matrix, context.labels)
        places = {read_text(label): i for i, label in enumerate(context.labels)}
        answered = [
            places.get(read_text(label), len(places))
            for label in np.asarray(estimator.predict(matrix)).tolist()
        ]
        return evaluation.score_classifier(
            probabilities, np.array(answered, dtype=np.int64), holdout
        )

    def score_baseline(self, holdout: TrainingSet) -> Score:
        """The naive baseline: the mean or median of all older rows, as the loss is, or how often
        each label was right."""
        context: TrainingContext = holdout.context
        if context.task == "regression":
            usual = np.full(holdout.n_rows, evaluation.usual_before(holdout, self._loss))
            return score_regressor(usual, holdout, self._unit, self._loss)
        shares = evaluation.frequencies_before(holdout)
        probabilities = np.tile(shares, (holdout.n_rows, 1))
        return evaluation.score_classifier(probabilities, probabilities.argmax(axis=1), holdout)

    serves_baseline = True

    def fit_baseline(self, train: TrainingSet) -> Any:
        """A tree of one leaf: the mean or median of all rows, or how often each label was right."""
        context: TrainingContext = train.context
        if context.task == "classification":
            target: Any = np.array(context.labels)[train.target.astype(np.int64)]
        else:
            target = np.full(train.n_rows, self._loss.best_constant(train.target))
        pipeline = make_baseline(context.task, context.columns)
        naive = TabularEstimator(pipeline, context.contract)
        pipeline.fit(naive.frame(train.features), target)
        return naive

    @cached_property
    def _loss(self) -> Loss:
        """By what a regression is judged; training alone asks."""
        given = self._given
        if given.loss is not None:
            return Loss(given.loss)
        return loss_of_estimator(given)

    @property
    def _unit(self) -> str:
        return self._given.target_unit or self._given.target

    def state(self, rows: TrainingSet) -> Mapping[str, bytes]:
        context: TrainingContext = rows.context
        given = self._given
        return write_serving_state(
            ServingState(
                given.target, context.task, given.target_unit, given.is_own_code, context.columns
            )
        )

    def state_of_errors(self, unseen: TrainingSet, score: Score) -> Mapping[str, bytes]:
        """Of a regression, the bounds that go with its answers."""
        context: TrainingContext = unseen.context
        if context.task != "regression" or score.prediction is None:
            return {}
        is_positive = bool(context.target.min(initial=0.0) >= 0)
        bounds = ErrorBounds.learn(
            score.prediction, unseen.target, self._given.interval, is_positive=is_positive
        )
        return bounds.save() if bounds is not None else {}

    def golden_requests(self, rows: TrainingSet) -> Sequence[GoldenRequest]:
        """Rows from all times, then one with unknown categories, and nulls where they may be."""
        return golden_requests(rows)

    def vocabulary_of(self, rows: TrainingSet) -> Mapping[int, Sequence[str]]:
        context: TrainingContext = rows.context
        return {
            j: column.vocabulary
            for j, column in enumerate(context.columns)
            if column.dtype == "category"
        } | {
            j: [text[:_SHOWN_LENGTH] for text in texts_in(rows.features)]
            for j in context.contract.text_columns
        }

    # -- serving half: both daemons ----------------------------------------------------------------

    @property
    def features(self) -> tuple[FeatureSpec, ...]:
        """Names, and of the rest what is said; a version's own columns are in its manifest."""
        return tuple(
            FeatureSpec(
                name, override.type or "float64", override.unit, override.low, override.high
            )
            for name, override in self._given.columns.items()
        )

    @property
    def predicts(self) -> str:
        given = self._given
        unit = f" in {given.target_unit}" if given.target_unit else ""
        task = f" ({given.known_task})" if given.known_task else ""
        return f"{given.target}{unit}{task}"

    def check_contract(self, found: Sequence[FeatureSpec]) -> None:
        """Types that nobody said may be any, and a table of features has no order of its own."""
        types = {spec.name: spec.dtype for spec in found}
        expected = [
            spec
            if self._given.columns[spec.name].type is not None
            else msgspec.structs.replace(spec, dtype=types.get(spec.name, spec.dtype))
            for spec in self.features
        ]
        if isinstance(self._given.features, dict):
            place = {spec.name: i for i, spec in enumerate(found)}
            expected.sort(key=lambda spec: place.get(spec.name, len(place)))
        check_features(expected, found)

    def with_state(self, form: Any, state: Mapping[str, bytes]) -> Any:
        return CodedForm(form, contract_of(read_serving_state(state).columns))

    def open(self, estimator: Any, state: Mapping[str, bytes]) -> Answerer:
        return TabularAnswerer(estimator, read_serving_state(state), ErrorBounds.read(state))
