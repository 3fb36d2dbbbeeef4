"""Bounds around a regression's answers, learnt from the errors of rows that it had not seen.

Split conformal prediction (Lei et al., Distribution-free predictive inference for regression,
JASA 2018), by how great the answer is. Knows no estimator and no workload.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import LoadFailed

Floats = NDArray[np.float64]

FILE = "state.bounds.json"
_ROWS_OF_CLASS = 60
_MOST_CLASSES = 8
_FORMAT = 1


class ErrorBounds(msgspec.Struct, frozen=True):
    """Between which numbers the truth lies with the probability `interval`.

    centres : rising, the mean answer of each class of answers. below, above : for each, how far
        the bounds lie from the answer, both >= 0; between two centres they go over into each
        other, for a step would turn the last digit of an answer into another bound.
    lowest : no truth ever lay below it; None where nothing is known.
    n_learnt_from : rows.
    """

    interval: float
    centres: list[float]
    below: list[float]
    above: list[float]
    lowest: float | None = None
    n_learnt_from: int = 0
    format: int = _FORMAT

    @classmethod
    def learn(
        cls, predicted: Floats, actual: Floats, interval: float, *, is_positive: bool = False
    ) -> ErrorBounds | None:
        """None where no row tells.

        predicted, actual : (n_rows,), of rows that the estimator was not fitted on.
        is_positive : whether the target is never below 0.
        """
        is_known = np.isfinite(predicted) & np.isfinite(actual)
        predicted, actual = predicted[is_known], actual[is_known]
        n = len(predicted)
        if not n:
            return None
        order = np.argsort(predicted, kind="stable")
        n_classes = min(max(n // _ROWS_OF_CLASS, 1), _MOST_CLASSES)
        classes = {
            float(predicted[these].mean()): _offsets((actual - predicted)[these], interval)
            for these in np.array_split(order, n_classes)
        }
        centres = sorted(classes)
        return cls(
            interval,
            centres,
            [classes[centre][0] for centre in centres],
            [classes[centre][1] for centre in centres],
            0.0 if is_positive else None,
            n,
        )

    def around(self, predictions: Floats) -> tuple[Floats, Floats]:
        """(n_rows,) low and high."""
        if predictions.size == 1:
            one = self._around_one(predictions.item())
            return np.array([one[0]]), np.array([one[1]])
        low = predictions - np.interp(predictions, self.centres, self.below)
        high = predictions + np.interp(predictions, self.centres, self.above)
        if self.lowest is not None:
            # What answers less than ever was is not above its own lower bound.
            low = np.maximum(low, np.minimum(predictions, self.lowest))
        return low, high

    def _around_one(self, answer: float) -> tuple[float, float]:
        """As `around` for one answer, to the last digit, in a quarter of the time."""
        centres, below, above = self.centres, self.below, self.above
        after = bisect_right(centres, answer)
        at = min(max(after - 1, 0), len(centres) - 1)
        under, over = below[at], above[at]
        if 0 < after < len(centres):
            width, beyond = centres[after] - centres[at], answer - centres[at]
            under += (below[after] - under) / width * beyond
            over += (above[after] - over) / width * beyond
        low = answer - under
        if self.lowest is not None and low < self.lowest:
            low = min(answer, self.lowest)
        return low, answer + over

    def save(self) -> dict[str, bytes]:
        """File name -> bytes; the same bounds give the same bytes."""
        return {FILE: msgspec.json.encode(self)}

    @classmethod
    def read(cls, state: Mapping[str, bytes]) -> ErrorBounds | None:
        """The reverse of `save`; None of a version that has none.

        Raises:
            LoadFailed: not readable, of another format, or lists of different length.
        """
        if FILE not in state:
            return None
        try:
            found = msgspec.json.decode(state[FILE], type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LoadFailed(f"{FILE} cannot be read: {error}.") from None
        lengths = {len(found.centres), len(found.below), len(found.above)}
        if found.format != _FORMAT or len(lengths) != 1 or not found.centres:
            raise LoadFailed(
                f"{FILE}: expected format {_FORMAT} and lists of one length, found format"
                f" {found.format} and lengths {sorted(lengths)}."
            )
        return found


def _offsets(error: Floats, interval: float) -> tuple[float, float]:
    """How far below and above the answers the truth lies, both >= 0.

    The ranks count one row more than there is: the one that will be asked. Where so few rows
    cannot hold the probability, the greatest error is taken.
    """
    ordered, tail = np.sort(error), (1 - interval) / 2
    if _from_above(ordered, 1 - tail) < 0:  # answers are too great throughout
        return max(-_from_below(ordered, 1 - interval), 0.0), 0.0
    if _from_below(ordered, tail) > 0:
        return 0.0, max(_from_above(ordered, interval), 0.0)
    return -_from_below(ordered, tail), _from_above(ordered, 1 - tail)


def _from_below(ordered: Floats, share: float) -> float:
    n = len(ordered)
    return float(ordered[max(int(np.floor((n + 1) * share + 1e-9)), 1) - 1])


def _from_above(ordered: Floats, share: float) -> float:
    n = len(ordered)
    return float(ordered[min(int(np.ceil((n + 1) * share - 1e-9)), n) - 1])
