"""The workload contract: records in, answers out, the same code in both daemons.

One workload is one file: record schema, training set, estimator, split, metrics, naive
baseline, golden requests and the answer to a request. The engine knows no workload by name,
and a workload knows neither daemon, no clock and no disk.

A workload must: give the same features for the same rows in both daemons; never use in a
training row what was not known at that row's time; answer equally before storing and after
loading; refuse a missing or extra field with a message that is a diff; give an estimator class of
its own a tag in `shared.stored_types`.
A workload must never: import pandas or scikit-learn at module level (the API imports this
file), keep state between calls, or put code into its version state.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.documents.field_specs import FieldSpec
from shared.errors import RequestInvalid, SettingsInvalid
from shared.feed.window import WindowSpec
from shared.records import Table
from shared.workloads.live import Expectation, Outcome
from shared.workloads.rows import (
    FeatureSpec,
    RowContract,
    RowRefused,
    check_features,
    rows_to_matrix,
)
from shared.workloads.search_space import Choice
from shared.workloads.training import (
    Admitted,
    AskedLists,
    GoldenRequest,
    Progress,
    Score,
    StreamSpec,
    TrainingSet,
    rolling_origins,
)

_ROUNDING = 1e-9


def resolution(score: Score, other: Score) -> float:
    """Errors of two models on the same rows that differ by no more are equal.

    Sums in another order, or another way to the same answer, leave a few units in the last place
    of what is answered: beside an error of none that looks like several times worse.
    """
    return _ROUNDING * max(score.scale, other.scale)


class Answerer(ABC):
    """An opened model: estimator + state, ready to answer. Immutable; any thread may call it.

    An answerer whose `predict` takes plain rows ({"instances": [{feature: value}, …]}) gives
    `rows`, `predict_rows` and `row_facts`; the protocols (fast path, V2) ask through them and
    never through a dictionary per row.
    """

    rows: RowContract | None = None
    """How `predict` takes plain rows; None where it takes none."""

    row_facts: Mapping[str, Any] = MappingProxyType({})
    """What the answer to plain rows says beside the outputs, the same for every request: units."""

    @property
    def n_known(self) -> Mapping[str, int]:
        """How many things of each kind it knows, such as {"products": 120}."""
        return {}

    def predict_rows(self, matrix: NDArray[np.float64]) -> Mapping[str, NDArray[Any]]:
        """Answer plain rows, all at once.

        matrix : (n_rows, n_features), coded as `rows` says; it may be written to.

        Returns:
            Output name -> (n_rows, …); "predictions" first.

        Raises:
            RowRefused: the first value that the model cannot take.
        """
        raise NotImplementedError

    def answer_rows(self, instances: object, where: str = "instances") -> dict[str, Any]:
        """Answer the instances of a `predict` request.

        Raises:
            RequestInvalid: not rows, or a row that the model cannot take.
        """
        assert self.rows is not None, "only who takes plain rows is asked for them"
        matrix = rows_to_matrix(instances, self.rows, where)
        try:
            outputs = self.predict_rows(matrix)
        except RowRefused as refused:
            name = self.rows.features[refused.column].name
            assert isinstance(instances, list)
            found, place = instances[refused.row][name], f"{where}[{refused.row}].{name}"
            raise RequestInvalid(refused.expected, found, place) from None
        return {**{name: values.tolist() for name, values in outputs.items()}, **self.row_facts}

    @property
    @abstractmethod
    def questions(self) -> Mapping[str, str]:
        """Question -> one sentence that says what it answers; "predict" is always there."""

    @abstractmethod
    def answer(self, question: str, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """Answer one request. `now` is UTC-aware; the answer is JSON values only.

        Raises:
            RequestInvalid: says what was expected, what came, and where.
            NotFound: the request names something the model does not know.
        """


def _is_finite(value: object) -> bool:
    """False when a parameter, at any depth, is NaN or infinite: TOML allows both as numbers."""
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


class Workload(ABC):
    """See the module docstring for what a workload must and must never do."""

    name: ClassVar[str]
    streams: ClassVar[tuple[StreamSpec, ...]]
    Parameters: ClassVar[type[msgspec.Struct]]
    """The workload's parameters with their defaults; declare it with forbid_unknown_fields."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        try:
            self.parameters: Any = msgspec.convert(dict(parameters), self.Parameters)
        except msgspec.ValidationError as error:
            known = ", ".join(self.Parameters.__struct_fields__)
            raise SettingsInvalid(
                f"parameters of workload {self.name}: {error}. Known parameters: {known}."
            ) from None
        if not _is_finite(parameters):
            raise SettingsInvalid(
                f"parameters of workload {self.name}: expected numbers, found nan or inf in"
                f" {dict(parameters)}."
            )

    gate_defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Settings of [gate], as values, that fit this kind of data better than the general ones."""

    trigger_defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """The same for [triggers]; a setting of the user counts before either."""

    # -- what the records are ------------------------------------------------------------------

    slices_have_units: ClassVar[bool] = False
    """Columns are in another unit in each slice, so that only rows of one slice are alike."""

    measured: ClassVar[tuple[str, ...] | None] = None
    """Features that were measured, where others are computed from them and swing more; None: all.
    Only these are compared between the newest days and older ones."""

    @property
    def target_is_number(self) -> bool:
        """Whether greater and smaller mean something in the target: not for labels and ids."""
        return True

    def has_number_target(self, rows: TrainingSet) -> bool:
        """The same of these rows, where their values decide it."""
        del rows
        return self.target_is_number

    per_entity: ClassVar[bool] = False
    """One model per entity (device, shop) that the records name, discovered from the data."""

    def entity_of(self, stream: str, fields: Mapping[str, Any]) -> str | None:
        """The id of the entity a record belongs to; None where it belongs to all or to none."""
        del stream, fields
        return None

    def fields_of(self, stream: str) -> tuple[FieldSpec, ...]:
        """What is read from the records of a stream, as the parameters say."""
        return next(spec.fields for spec in self.streams if spec.name == stream)

    @property
    def read_fields(self) -> Mapping[str, tuple[FieldSpec, ...]]:
        """Stream -> what is read from its records."""
        return {spec.name: self.fields_of(spec.name) for spec in self.streams}

    def remarks(self, stream: str, records: Sequence[Mapping[str, Any]]) -> Sequence[str]:
        """What a person should know of mapped records, beyond why some are unusable."""
        del stream, records
        return ()

    @abstractmethod
    def reject_reason(self, stream: str, fields: Mapping[str, Any]) -> str | None:
        """None when the record can be learnt from; otherwise why not, in a few words."""

    def why_unusable(self, stream: str, fields: Mapping[str, Any]) -> str | None:
        """`reject_reason`, and a reason also of a record that is too odd for it: one such record
        must not stop its stream."""
        try:
            return self.reject_reason(stream, fields)
        except Exception as error:  # noqa: BLE001 - whatever it raises, the record is not used
            return f"the workload could not read it ({type(error).__name__})"

    reasons_left_out: ClassVar[tuple[str, ...]] = ()
    """How those reasons begin that say what a record is (an order that was cancelled), not that
    it is badly written: any number of such records is no fault of the data."""

    def is_left_out(self, reason: str) -> bool:
        """Whether records with this reason are left out on purpose."""
        return reason.startswith(self.reasons_left_out) if self.reasons_left_out else False

    # -- records sent to the API -----------------------------------------------------------------

    def window_of(self, stream: str) -> WindowSpec | None:
        """How much of each entity's newest samples answers need; None: they need none."""
        del stream
        return None

    def admit(self, stream: str, fields: Mapping[str, Any], now: datetime) -> Admitted | str:
        """How the feed keeps a record that `reject_reason` lets through, sent at `now`; or why
        it does not."""
        del now
        return Admitted(fields, entity=self.entity_of(stream, fields) or "")

    # -- what came true: retrain_service only ------------------------------------------------------

    @classmethod
    def judges_answers(cls) -> bool:
        """Whether answers of this workload say what the records will: it has `expectations`."""
        return cls.expectations is not Workload.expectations

    def expectations(
        self, question: str, request: Mapping[str, Any], answer: Mapping[str, Any], at_us: int
    ) -> Sequence[Expectation]:
        """What an answer said about what the records will say; pure, of this answer alone.

        at_us : when it was answered, microseconds since 1970, UTC.
        """
        del question, request, answer, at_us
        return ()

    def outcomes(
        self, stream: str, fields: Mapping[str, Any], updated_us: int
    ) -> Sequence[Outcome]:
        """What a record says came of it; pure, of this record alone.

        updated_us : when it was last changed, microseconds since 1970, UTC.
        """
        del stream, fields, updated_us
        return ()

    # -- training half: retrain_service only -----------------------------------------------------

    @abstractmethod
    def training_set(self, tables: Mapping[str, Table]) -> TrainingSet:
        """Turn frozen streams into rows. Same tables, same rows."""

    def features_of(self, rows: TrainingSet) -> tuple[FeatureSpec, ...]:
        """The columns of these rows, in order; differ from `features` where they are learnt."""
        del rows
        return self.features

    @property
    def own_code(self) -> str | None:
        """Import path of the user's own code that training runs; None: there is none.

        Only the configuration may name it: a request for one training must not.
        """
        return None

    def libraries(self) -> Mapping[str, str]:
        """Further code that an estimator is made of: name -> version, looked up each time.

        Kept beside the versions of the libraries: another version asks for a new training.
        """
        return {}

    @abstractmethod
    def split(self, rows: TrainingSet) -> tuple[TrainingSet, TrainingSet]:
        """Chronological: (train, holdout); every holdout day is later than every train day."""

    @abstractmethod
    def fit(self, train: TrainingSet, seed: int, progress: Progress) -> Any:
        """Fit and return the estimator (what joblib stores). Same rows and seed, same estimator."""

    @property
    def candidate_names(self) -> Sequence[str]:
        """What `fit_candidate` knows; `training.candidates` chooses among them.

        The first is cheap and sound: another takes its place only when it is surely better.
        """
        return ("default",)

    def candidates(self, train: TrainingSet) -> Sequence[str]:
        """Those worth a fit on these rows; the first is taken where none can be compared."""
        del train
        return self.candidate_names

    def search_space(self, name: str) -> Mapping[str, Choice]:
        """Options of a candidate that `training.tune` may search, none by default; `fit_candidate`
        then takes names that `with_options` made."""
        del name
        return {}

    can_be_averaged: ClassVar[bool] = False
    """Whether `fit_candidate` takes names that `mean_of` made."""

    def fit_candidate(self, name: str, train: TrainingSet, seed: int, progress: Progress) -> Any:
        """Fit one of `candidate_names`, as `fit` does; each answers through `score` and `open`."""
        del name
        return self.fit(train, seed, progress)

    def origins(self, train: TrainingSet) -> Sequence[tuple[TrainingSet, TrainingSet]]:
        """Rolling origin within the training part: (past, what came next), oldest first.

        No `past` holds anything of its `next`; none where the rows are too few to compare on.
        """
        return rolling_origins(train)

    def as_learnt_from(self, rows: TrainingSet, seen: TrainingSet) -> TrainingSet:
        """`rows` as they are for an estimator that was fitted on `seen`: coded by what these alone
        teach. The default: nothing is learnt beyond the estimator."""
        del seen
        return rows

    def fit_more(
        self, estimator: Any, new: TrainingSet, seed: int, progress: Progress
    ) -> Any | None:
        """Continue a fitted estimator on rows it has not seen, without changing it.

        Returns:
            A new estimator, or None where this estimator cannot be continued; the default
            continues whatever has `partial_fit`.
        """
        del seed
        if not hasattr(estimator, "partial_fit"):
            return None
        continued = copy.deepcopy(estimator)
        continued.partial_fit(new.features, new.target)
        progress(1.0, "fitting")
        return continued

    @abstractmethod
    def score(self, estimator: Any, holdout: TrainingSet) -> Score:
        """Score a candidate or the champion on a holdout."""

    @abstractmethod
    def score_baseline(self, holdout: TrainingSet) -> Score:
        """Score the workload's naive baseline on the same rows, in the same order."""

    can_be_cut: ClassVar[bool] = True
    """Whether fewer rows are a shorter history: not where a fit learns from its context."""

    serves_baseline: ClassVar[bool] = False
    """Whether `fit_baseline` gives what can be served."""

    def fit_baseline(self, train: TrainingSet) -> Any:
        """The naive baseline as an estimator like any other, with what it may know of `train`:
        its score is that of `score_baseline`, and it is stored, opened and asked as others are.

        It is served when it is surely better than what serves and what was fitted.
        """
        raise NotImplementedError

    @abstractmethod
    def state(self, rows: TrainingSet) -> Mapping[str, bytes]:
        """File name (`state.*`) -> bytes: what answers need beyond the estimator, as data."""

    def state_of_errors(self, unseen: TrainingSet, score: Score) -> Mapping[str, bytes]:
        """Further state files: what the errors of the judged estimator tell of answers to come.

        unseen : rows that it was not fitted on, `score` : its own on them.
        """
        del unseen, score
        return {}

    @abstractmethod
    def golden_requests(self, rows: TrainingSet) -> Sequence[GoldenRequest]:
        """A few requests that reach every question and every branch worth guarding."""

    # -- for comparing versions: nothing that is served rests on it --------------------------------

    def vocabulary_of(self, rows: TrainingSet) -> Mapping[int, Sequence[str]]:
        """Column -> the texts that its numbers 0, 1, … stand for, where they stand for texts."""
        del rows
        return {}

    def asked_lists(self, rows: TrainingSet) -> AskedLists | None:
        """What every version is asked; None where numbers for held-out rows tell more."""
        del rows
        return None

    # -- serving half: both daemons ----------------------------------------------------------------

    @property
    @abstractmethod
    def features(self) -> tuple[FeatureSpec, ...]:
        """The columns of `predict`, in order; where types are learnt, as the parameters say."""

    @property
    def predicts(self) -> str:
        """What its answers are, where parameters decide that; "" where the workload's name does.

        Versions that differ in it cannot be compared: their errors are of different things.
        """
        return ""

    def check_contract(self, found: Sequence[FeatureSpec]) -> None:
        """Whether this code and these parameters can open a version with the columns `found`.

        Raises:
            ContractMismatch: the message is a diff.
        """
        check_features(self.features, found)

    def with_state(self, form: Any, state: Mapping[str, bytes]) -> Any:
        """A version's compiled form as `score` takes it; the default takes it as it is."""
        del state
        return form

    @abstractmethod
    def open(self, estimator: Any, state: Mapping[str, bytes]) -> Answerer:
        """Make the answerer from an estimator and the version's state files."""
