"""Test parity: whether a form answers like its estimator on probe rows, within a tolerance.

Training process only. Knows neither how a form was made nor how it is stored.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrain_service.compiling.probe_rows import ProbeRows
from shared.workloads.rows import RowRefused

Floats = NDArray[np.float64]

ONE_BY_ONE = 200
_UNDECIDED = 1e-6
"""Two classes whose probabilities are nearer than this may change places."""


class NotEqual(Exception):
    """A form answers differently; the sentence says on which rows, by how much, in how many."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """|form - scikit-learn| ≤ relative · |scikit-learn| + absolute, in the unit of the target."""

    relative: float
    absolute: float


@dataclass(frozen=True, slots=True)
class Reference:
    """What scikit-learn answers. is_refused : (n_rows,); answers are for the others, in order.

    probabilities : None where it has none. labels : of a classifier.
    """

    rows: ProbeRows
    is_refused: NDArray[np.bool_]
    predictions: NDArray[Any]
    probabilities: Floats | None
    is_classifier: bool

    def of_kind(self, extreme: bool) -> Reference:
        """The extreme rows alone, or all others."""
        chosen = (self.rows.kind == "extreme") == extreme
        taken = chosen[~self.is_refused]
        likely = self.probabilities
        return Reference(
            ProbeRows(self.rows.rows[chosen], self.rows.kind[chosen]),
            self.is_refused[chosen],
            self.predictions[taken],
            likely if likely is None else likely[taken],
            self.is_classifier,
        )


def reference_answers(estimator: Any, rows: ProbeRows, suspected: NDArray[np.bool_]) -> Reference:
    """Ask scikit-learn; of the others, rows that it refuses are found by halving.

    suspected : (n_rows,) rows that are probably refused; they are asked one by one.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        is_refused = np.zeros(len(rows.rows), dtype=np.bool_)
        one_by_one = np.flatnonzero(suspected)
        for sink in one_by_one.tolist():
            is_refused[sink] = any(_refused(estimator, rows.rows[sink : sink + 1], 0, 1))
        together = np.flatnonzero(~suspected)
        for start, stop in _refused(estimator, rows.rows[together], 0, len(together)):
            is_refused[together[start:stop]] = True
        taken = rows.rows[~is_refused]
        predictions = np.asarray(estimator.predict(taken))
        has_classes = hasattr(estimator, "classes_")
        probabilities = None
        if has_classes and hasattr(estimator, "predict_proba"):
            probabilities = np.asarray(estimator.predict_proba(taken), dtype=np.float64)
    return Reference(rows, is_refused, predictions, probabilities, has_classes)


def _refused(estimator: Any, rows: Floats, start: int, stop: int) -> Iterator[tuple[int, int]]:
    if start == stop:
        return
    try:
        estimator.predict(rows[start:stop])
    except (ValueError, TypeError):
        if stop - start == 1:
            yield start, stop
            return
        middle = (start + stop) // 2
        yield from _refused(estimator, rows, start, middle)
        yield from _refused(estimator, rows, middle, stop)


def tolerance_for(reference: Reference, relative: float) -> Tolerance:
    """The absolute part is as large a share of the usual answer."""
    if reference.is_classifier:
        return Tolerance(relative, relative)
    is_real = reference.rows.kind[~reference.is_refused] == "real"
    usual = np.abs(reference.predictions[is_real].astype(np.float64))
    return Tolerance(relative, relative * float(usual.max(initial=0.0)))


def compare(form: Any, reference: Reference, tolerance: Tolerance, one_by_one: int) -> float:
    """The greatest absolute difference, of numbers or of probabilities.

    one_by_one : so many rows are also asked alone, for one row takes another way.

    Raises:
        NotEqual: an answer differs by more than the tolerance, or a refusal differs.
    """
    rows, taken = reference.rows.rows, ~reference.is_refused
    _compare_refusals(form, reference)
    worst = 0.0
    every = max(1, int(taken.sum()) // max(one_by_one, 1))
    for places in (np.flatnonzero(taken), *np.flatnonzero(taken)[::every, None]):
        chosen = np.searchsorted(np.flatnonzero(taken), places)
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                answers = _answers(form, rows[places].copy(), reference)
        except RowRefused as refused:
            kind = reference.rows.kind[places[refused.row]]
            raise NotEqual(f"a {kind} row is refused that scikit-learn takes: {refused}") from None
        worst = max(worst, _difference(answers, reference, places, chosen, tolerance))
    return worst


def _compare_refusals(form: Any, reference: Reference) -> None:
    """Alone and behind a row that is taken, for one row takes another way than several."""
    rows, taken = reference.rows.rows, np.flatnonzero(~reference.is_refused)[:1]
    operations = [form.predict]
    if reference.probabilities is not None:
        operations.append(form.predict_proba)
    for sink in np.flatnonzero(reference.is_refused):
        for matrix in (rows[[sink]], rows[[*taken, sink]]):
            for operation in operations:
                _must_refuse_last(operation, matrix, reference.rows.kind[sink])


def _must_refuse_last(operation: Callable[[Floats], Any], matrix: Floats, kind: str) -> None:
    last = len(matrix) - 1
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            operation(matrix.copy())
    except RowRefused as refused:
        if refused.row != last:
            raise NotEqual(f"row {refused.row} is refused in place of row {last}") from None
    else:
        raise NotEqual(f"a {kind} row is answered that scikit-learn refuses")


def _answers(form: Any, rows: Floats, reference: Reference) -> tuple[NDArray[Any], Floats | None]:
    predictions = np.asarray(form.predict(rows))
    if reference.probabilities is None:
        return predictions, None
    return predictions, np.asarray(form.predict_proba(rows))


def _difference(
    answers: tuple[NDArray[Any], Floats | None],
    reference: Reference,
    places: NDArray[np.intp],
    chosen: NDArray[np.intp],
    tolerance: Tolerance,
) -> float:
    predictions, probabilities = answers
    expected = reference.predictions[chosen]
    if predictions.shape != expected.shape:
        raise NotEqual(f"answers have the shape {predictions.shape}, not {expected.shape}")
    kinds = reference.rows.kind[places]
    if not reference.is_classifier:
        return _numbers(predictions, expected.astype(np.float64), kinds, tolerance)
    is_other = predictions != expected
    worst = 0.0
    if probabilities is not None:
        assert reference.probabilities is not None
        likely = reference.probabilities[chosen]
        worst = _numbers(probabilities, likely, kinds, tolerance)
        best = np.sort(likely, axis=1)[:, -2:]
        is_other &= best[:, -1] - best[:, 0] > _UNDECIDED
    if is_other.any():
        raise NotEqual(
            f"{_named(kinds[is_other])} rows get another class in {int(is_other.sum())} of"
            f" {len(is_other)} rows"
        )
    return worst


def _numbers(
    found: NDArray[Any], expected: Floats, kinds: NDArray[np.str_], tolerance: Tolerance
) -> float:
    with np.errstate(all="ignore"):
        difference = np.abs(found - expected)
        difference[(found == expected) | (np.isnan(found) & np.isnan(expected))] = 0.0
        allowed = tolerance.relative * np.abs(expected) + tolerance.absolute
        is_wrong = np.asarray(~(difference <= allowed))
    is_wrong_row = np.asarray(is_wrong.reshape(len(is_wrong), -1).any(axis=1))
    if is_wrong_row.any():
        worst = float(difference[is_wrong].max())
        raise NotEqual(
            f"{_named(kinds[is_wrong_row])} rows differ by up to {worst:.2g} in"
            f" {int(is_wrong_row.sum())} of {len(is_wrong_row)} rows"
        )
    # Far outside the data only the relative difference means anything.
    near = difference[kinds != "far"]
    return float(near.max(initial=0.0))


def _named(kinds: NDArray[np.str_]) -> str:
    return " and ".join(sorted(set(kinds.tolist())))
