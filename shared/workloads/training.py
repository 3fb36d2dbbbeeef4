"""Values that a workload's training returns: training set, scores, golden requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.documents.field_specs import FieldSpec

Progress = Callable[[float, str], None]
"""Called with (fraction done 0..1, name of the stage); may raise to cancel."""


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One stream of records that a workload reads.

    is_counted : its usable records count towards the `new_records` trigger.
    is_required : no training without it.
    fields : what is read from its records; a workload whose parameters name fields gives them by
        `Workload.fields_of`.
    """

    name: str
    purpose: str
    is_counted: bool = True
    is_required: bool = True
    fields: tuple[FieldSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Rows to learn from, oldest first.

    features : (n_rows, n_features) float64, columns as in the workload's FeatureSpecs.
    target : (n_rows,) float64, or what the workload learns from.
    day : (n_rows,) datetime64[D], the day each row belongs to; blocks for the bootstrap.
    slices : (n_rows,) of str, the part, device or class of each row, for tolerances per slice.
    context : what the workload needs beyond the rows (history, catalogue); opaque to the engine.
    rejected : reason -> number of records that could not be used.
    unclear : how a column is written that nobody can tell -> number of records that depend on it;
        they are not used, and a person has to say.
    key : (n_rows,) what makes a row one of its kind (record id, device and minute), so that one
        that came twice is found; None where rows cannot come twice.
    """

    features: NDArray[np.float64]
    target: NDArray[Any]
    day: NDArray[np.datetime64]
    slices: NDArray[np.str_]
    context: Any = None
    rejected: Mapping[str, int] = field(default_factory=dict)
    unclear: Mapping[str, int] = field(default_factory=dict)
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


N_ORIGINS = 3
_FEWEST_DAYS, _FEWEST_ROWS = 12, 60
_SHORTEST_DAYS, _LONGEST_DAYS = 2, 28


def rolling_origins(train: TrainingSet) -> list[tuple[TrainingSet, TrainingSet]]:
    """(past, what came next), three times; the three together are the newest half at most.

    By days: a row belongs to the day on which its target was known. None below 12 days or 60
    rows, where the best of several would be the luckiest.
    """
    days = np.unique(train.day)
    if days.size < _FEWEST_DAYS or train.n_rows < _FEWEST_ROWS:
        return []
    n_next = min(max(days.size // (2 * N_ORIGINS), _SHORTEST_DAYS), _LONGEST_DAYS)
    bounds = [*days[-N_ORIGINS * n_next :: n_next], days[-1] + np.timedelta64(1, "D")]
    return [
        (train.where(train.day < first), train.where((train.day >= first) & (train.day < end)))
        for first, end in pairwise(bounds)
    ]


@dataclass(frozen=True, slots=True)
class RowAnswers:
    """What was true and what was answered, row by row, for people to look at.

    actual, predicted : (n_rows,) in `unit`; of a classifier places in `labels`, NaN for another.
    probability : (n_rows,) of a classifier, the probability that it gave to what was true.
    has_slice_units : the unit is another one in each slice, so that no picture may mix them.
    """

    actual: NDArray[np.float64]
    predicted: NDArray[np.float64]
    unit: str
    labels: Sequence[str] = ()
    probability: NDArray[np.float64] | None = None
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


@dataclass(frozen=True, slots=True)
class Score:
    """How well something answered a holdout; lower loss is better in every workload.

    loss : (n_rows,) float64 >= 0, 0 is perfect (a recommender's may be 1 - hit); row i is the
        same row for every model scored on a holdout. It is the loss that the estimator is fitted
        by, of what answers are used for: a mean is judged by squares, a median by absolute
        errors, a forecast that is used for a week by sums of a week. So rows need not be those
        of the holdout; `rows` then says what to look at.
    day, slices : as in TrainingSet, of each loss.
    metrics : named summary values, for people; a regressor gives at least "mae", "rmse", "r2".
    prediction : (n_rows,) float64, what was answered; None where answers are not numbers.
    rows : the same for looking at, where `prediction` beside the target does not say it.
    scale : the greatest of what is answered, in `unit`; it says which differences between errors
        are floating point's own. 0 where that cannot be said.
    order : the error is the order-th root of the mean loss, so that it is in `unit` and 10 % more
        means the same whichever loss it is: 1 for absolute errors and shares, 2 for squares.
    span_days : how many days a loss is about, `day` being one of them; losses of sums that
        overlap are not independent, and are resampled in blocks of about this length.
    is_unknown : (n_rows,) whether the row holds a category that the model does not know; None
        where there are no categories.
    """

    loss: NDArray[np.float64]
    day: NDArray[np.datetime64]
    slices: NDArray[np.str_]
    metrics: Mapping[str, float]
    unit: str
    prediction: NDArray[np.float64] | None = None
    rows: RowAnswers | None = None
    scale: float = 0.0
    order: int = 1
    span_days: int = 1
    is_unknown: NDArray[np.bool_] | None = None

    @property
    def error(self) -> float:
        """The error of all rows together, in `unit`; 0 of none."""
        return float(self.loss.mean()) ** (1 / self.order) if self.loss.size else 0.0


def row_answers(holdout: TrainingSet, score: Score) -> RowAnswers | None:
    """What a score says of each row; None where answers or truths are no single numbers."""
    found = score.rows
    if found is None:
        is_one_number = holdout.target.ndim == 1 and holdout.target.dtype.kind in "biuf"
        if score.prediction is None or not is_one_number:
            return None
        found = RowAnswers(holdout.target, score.prediction, score.unit)
    return found if len(found.predicted) == holdout.n_rows else None


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
