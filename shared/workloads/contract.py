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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import ContractMismatch, RequestInvalid, SettingsInvalid
from shared.feed.window import WindowSpec
from shared.records import Table
from shared.stored_types import reduced

Progress = Callable[[float, str], None]
"""Called with (fraction done 0..1, name of the stage); may raise to cancel."""


class FeatureSpec(msgspec.Struct, frozen=True):
    """One column that a model takes.

    low, high : the range seen or meant, in `unit`; None where unbounded. Outside it is allowed.
    """

    name: str
    dtype: Literal["float64", "int64", "bool", "category"]
    unit: str
    low: float | None = None
    high: float | None = None

    __reduce__ = reduced


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One stream of records that a workload reads.

    is_counted : its usable records count towards the `new_records` trigger.
    is_required : no training without it.
    """

    name: str
    purpose: str
    is_counted: bool = True
    is_required: bool = True


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Rows to learn from, oldest first.

    features : (n_rows, n_features) float64, columns as in the workload's FeatureSpecs.
    target : (n_rows,) float64, or what the workload learns from.
    day : (n_rows,) datetime64[D], the day each row belongs to; blocks for the bootstrap.
    slices : (n_rows,) of str, the part, device or class of each row, for tolerances per slice.
    context : what the workload needs beyond the rows (history, catalogue); opaque to the engine.
    rejected : reason -> number of records that could not be used.
    key : (n_rows,) what makes a row one of its kind (record id, device and minute), so that one
        that came twice is found; None where rows cannot come twice.
    """

    features: NDArray[np.float64]
    target: NDArray[Any]
    day: NDArray[np.datetime64]
    slices: NDArray[np.str_]
    context: Any = None
    rejected: Mapping[str, int] = field(default_factory=dict)
    key: NDArray[Any] | None = None

    @property
    def n_rows(self) -> int:
        return int(self.day.shape[0])

    @property
    def n_days(self) -> int:
        return int(np.unique(self.day).shape[0])

    def where(self, mask: NDArray[np.bool_]) -> TrainingSet:
        """The rows for which `mask` (n_rows,) is true; the context stays whole."""
        return replace(
            self,
            features=self.features[mask],
            target=self.target[mask],
            day=self.day[mask],
            slices=self.slices[mask],
            key=self.key[mask] if self.key is not None else None,
        )


@dataclass(frozen=True, slots=True)
class RowAnswers:
    """What was true and what was answered, row by row, for people to look at.

    actual, predicted : (n_rows,) in `unit`; of a classifier places in `labels`, NaN for another.
    chance : (n_rows,) of a classifier, the probability that it gave to what was true.
    has_slice_units : the unit is another one in each slice, so that no picture may mix them.
    """

    actual: NDArray[np.float64]
    predicted: NDArray[np.float64]
    unit: str
    labels: Sequence[str] = ()
    chance: NDArray[np.float64] | None = None
    has_slice_units: bool = False


@dataclass(frozen=True, slots=True)
class AskedLists:
    """Questions that are answered with lists of ids, for seeing how two versions differ.

    what : whose the questions are, in the plural: "customers". asked : their ids, `request` : of
    `predict`, about them in this order. names : id in an answer -> its name for people.
    """

    what: str
    asked: Sequence[str]
    request: Mapping[str, Any]
    names: Mapping[str, str]


_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Score:
    """How well something answered a holdout; lower loss is better in every workload.

    loss : (n_rows,) float64 >= 0, in `unit`, 0 is perfect (a recommender's may be 1 - hit);
        row i is the same row for every model scored on a holdout.
    day, slices : as in TrainingSet.
    metrics : named summary values, for people; a regressor gives at least "mae", "rmse", "r2".
    prediction : (n_rows,) float64, what was answered; None where answers are not numbers.
    rows : the same for looking at, where `prediction` beside the target does not say it.
    scale : the greatest of what is answered, in `unit`; it says which differences between losses
        are floating point's own. 0 where that cannot be said.
    """

    loss: NDArray[np.float64]
    day: NDArray[np.datetime64]
    slices: NDArray[np.str_]
    metrics: Mapping[str, float]
    unit: str
    prediction: NDArray[np.float64] | None = None
    rows: RowAnswers | None = None
    scale: float = 0.0


def resolution(score: Score, other: Score) -> float:
    """Mean losses of two models on the same rows that differ by no more are equal.

    Sums in another order, or another way to the same answer, leave a few units in the last place
    of what is answered: beside an error of none that looks like several times worse.
    """
    return _ROUNDING * max(score.scale, other.scale)


@dataclass(frozen=True, slots=True)
class Admitted:
    """A record that was sent to the API, as the feed keeps it.

    id : what makes it the same record when it comes again; None for the stream's id field.
    entity : whose it is; "" for nobody's.
    at, sample : its own time, UTC, and what the entity's rolling window keeps of it.
    """

    fields: Mapping[str, Any]
    id: str | None = None
    entity: str = ""
    at: datetime | None = None
    sample: Mapping[str, Any] | None = None


class GoldenRequest(msgspec.Struct, frozen=True):
    """A request whose answer is stored at training and repeated before a version serves."""

    question: str
    request: dict[str, Any]
    now: datetime


UNKNOWN_CATEGORY = -1.0
"""The code of a category value that the model does not know."""


@dataclass(frozen=True, slots=True)
class RowContract:
    """How the rows of `predict` become a matrix, the same for every protocol.

    features : the columns, in order.
    codes : for each feature of dtype "category": value -> code 0, 1, …; any other value becomes
        UNKNOWN_CATEGORY, null becomes NaN, as it does in every column.
    """

    features: tuple[FeatureSpec, ...]
    codes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    __reduce__ = reduced


class RowRefused(Exception):
    """A row holds a value that the model cannot take.

    Args:
        row, column: where in the matrix, from 0.
        expected: what it takes there, as a phrase: "a finite number".
    """

    def __init__(self, row: int, column: int, expected: str) -> None:
        super().__init__(f"row {row}, column {column}: expected {expected}")
        self.row, self.column, self.expected = row, column, expected


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

    # -- what the records are ------------------------------------------------------------------

    per_entity: ClassVar[bool] = False
    """One model per entity (device, shop) that the records name, discovered from the data."""

    def entity_of(self, stream: str, fields: Mapping[str, Any]) -> str | None:
        """The id of the entity a record belongs to; None where it belongs to all or to none."""
        del stream, fields
        return None

    @abstractmethod
    def reject_reason(self, stream: str, fields: Mapping[str, Any]) -> str | None:
        """None when the record can be learnt from; otherwise why not, in a few words."""

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

    # -- training half: retrain_service only -----------------------------------------------------

    @abstractmethod
    def training_set(self, tables: Mapping[str, Table]) -> TrainingSet:
        """Turn frozen streams into rows. Same tables, same rows."""

    def features_of(self, rows: TrainingSet) -> tuple[FeatureSpec, ...]:
        """The columns of these rows, in order; differ from `features` where they are learnt."""
        del rows
        return self.features

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

    @abstractmethod
    def state(self, rows: TrainingSet) -> Mapping[str, bytes]:
        """File name (`state.*`) -> bytes: what answers need beyond the estimator, as data."""

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


def check_features(expected: Sequence[FeatureSpec], found: Sequence[FeatureSpec]) -> None:
    """Compare two feature contracts.

    Raises:
        ContractMismatch: the message is a diff by name, then by dtype and order.
    """
    expected_names = [spec.name for spec in expected]
    found_names = [spec.name for spec in found]
    missing = [name for name in expected_names if name not in found_names]
    unexpected = [name for name in found_names if name not in expected_names]
    if missing or unexpected:
        raise ContractMismatch(f"features differ: missing {missing}, unexpected {unexpected}")
    if expected_names != found_names:
        raise ContractMismatch(
            f"features differ in order: expected {expected_names}, found {found_names}"
        )
    for one, other in zip(expected, found, strict=True):
        if one.dtype != other.dtype:
            raise ContractMismatch(
                f"features differ: {one.name} is {other.dtype}, expected {one.dtype}"
            )


def rows_to_matrix(
    instances: object, contract: RowContract, where: str = "instances"
) -> NDArray[np.float64]:
    """Decode the rows of a `predict` request as the contract says.

    Returns:
        (n_instances, n_features) float64, columns in the order of the features.

    Raises:
        RequestInvalid: not a list of objects, no row, a field missing or unknown, a value that
            is no number where one is meant, or no text where a category is.
    """
    if not isinstance(instances, list) or not instances:
        raise RequestInvalid("a list of at least one object, one per row", instances, where)
    names = [spec.name for spec in contract.features]
    codes = [contract.codes.get(name) for name in names]
    matrix = np.empty((len(instances), len(names)), dtype=np.float64)
    for i, row in enumerate(instances):
        if not isinstance(row, Mapping):
            raise RequestInvalid("an object with one field per feature", row, f"{where}[{i}]")
        missing = [name for name in names if name not in row]
        unexpected = [name for name in row if name not in names]
        if missing or unexpected:
            raise RequestInvalid(
                f"the fields {names}",
                {"missing": missing, "unexpected": unexpected},
                f"{where}[{i}]",
            )
        for j, (name, known) in enumerate(zip(names, codes, strict=True)):
            matrix[i, j] = _as_number(row[name], known, f"{where}[{i}].{name}")
    return matrix


def _as_number(value: object, codes: Mapping[str, float] | None, where: str) -> float:
    if value is None:
        return math.nan
    if codes is not None:
        if isinstance(value, str):
            return codes.get(value, UNKNOWN_CATEGORY)
        raise RequestInvalid("a text or null", value, where)
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:  # JSON has whole numbers of any length
            expected = "a number that fits 64-bit floating point"
            raise RequestInvalid(
                expected, f"a whole number of {int(value).bit_length()} bits", where
            ) from None
    raise RequestInvalid("a number or null", value, where)


def is_all_finite(matrix: NDArray[np.float64]) -> bool:
    """Whether no cell is NaN or infinite; for one row the cheapest way there is."""
    return b"\0" not in np.isfinite(matrix).tobytes()


def refuse_not_finite(matrix: NDArray[np.float64], columns: Sequence[int] | None = None) -> None:
    """Refuse rows with infinity anywhere, or NaN in one of `columns` (None: in any).

    Raises:
        RowRefused: names the first such value.
    """
    if is_all_finite(matrix):
        return
    is_wrong = ~np.isfinite(matrix)
    if columns is not None:
        may_be_nan = np.ones(matrix.shape[1], dtype=np.bool_)
        may_be_nan[list(columns)] = False
        is_wrong &= ~(np.isnan(matrix) & may_be_nan)
    for row, column in np.argwhere(is_wrong):
        raise RowRefused(int(row), int(column), "a finite number")
