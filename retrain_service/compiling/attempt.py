"""Try one candidate form: write it, open it as the API would, compare, keep it or give the reason.

Training process only. Knows no kind of form; a candidate writes itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrain_service.compiling.columns import NotLowered
from retrain_service.compiling.parity import (
    ONE_BY_ONE,
    NotEqual,
    Reference,
    Tolerance,
    compare,
    tolerance_for,
)
from shared.errors import StorageUnavailable
from shared.forms import data_tree
from shared.forms.open_form import open_compiled
from shared.forms.stored_form import DataForm
from shared.versions.manifest import COMPILED_NAME, ServingForm
from shared.versions.staged_files import StagedFiles

Check = Callable[[Any], str | None]

EXACT, ROUNDED = 1e-9, 1e-5
"""Relative tolerances: of forms that compute in double precision, and of those in single."""

_LATENCY_ROUNDS, _LATENCY_WITHIN_S = 200, 0.3


@dataclass(frozen=True, slots=True)
class Candidate:
    """One form to try. write : makes what is stored, and writes its files."""

    form: str
    label: str
    tolerance: float
    write: Callable[[StagedFiles], Any]
    one_by_one: int = ONE_BY_ONE


class FormTrial:
    """Writes forms to the same place, one after the other, and keeps the first that is equal."""

    def __init__(self, staged: StagedFiles, check: Check, refused: dict[str, str]) -> None:
        self._staged = staged
        self._check = check
        self.refused = refused

    def try_as_data(self, estimator: Any) -> ServingForm | None:
        """An estimator that is data of ours needs no other form."""
        candidate = Candidate("numpy", "data", EXACT, lambda _: DataForm(estimator))
        predictor = self._opened(candidate)
        if predictor is None:
            self.refused.pop("data", None)  # an estimator of scikit-learn is none, which is no news
            return None
        found = ServingForm("numpy", refused=dict(self.refused))
        return found if self._passes_check(candidate, predictor[0]) else None

    def of(self, candidate: Candidate, reference: Reference) -> ServingForm | None:
        found = self._opened(candidate)
        if found is None:
            return None
        (predictor,) = found
        tolerance = tolerance_for(reference, candidate.tolerance)
        try:
            usual = reference.of_kind(extreme=False)
            worst = compare(predictor, usual, tolerance, candidate.one_by_one)
            latency_us = _latency_us(predictor, reference)
        except NotEqual as reason:
            self.refused[candidate.label] = str(reason)
            return None
        except Exception as error:  # noqa: BLE001
            self.refused[candidate.label] = f"asking it failed: {error!r}"
            return None
        if not self._passes_check(candidate, predictor):
            return None
        return ServingForm(
            candidate.form,
            max_abs_difference=worst,
            latency_us=round(latency_us, 2),
            refused=dict(self.refused),
            tolerance_relative=tolerance.relative,
            tolerance_absolute=tolerance.absolute,
            rows_checked=len(reference.is_refused),
            how=candidate.label,
            differs=_difference_of_extremes(predictor, reference, tolerance),
        )

    def _opened(self, candidate: Candidate) -> tuple[Any] | None:
        self._staged.remove(COMPILED_NAME)
        try:
            data_tree.write_tree(self._staged, candidate.write(self._staged))
            return (open_compiled(self._staged.files),)
        except StorageUnavailable:
            raise
        except OSError as error:
            if error.errno is not None and error.filename is not None:
                raise  # the disk; what a library of a form lacks names no file of ours
            self.refused[candidate.label] = f"it cannot be used here: {error}"
        except (NotLowered, data_tree.NotData) as reason:
            self.refused[candidate.label] = str(reason)
        except Exception as error:  # noqa: BLE001
            self.refused[candidate.label] = f"making it failed: {error!r}"
        return None

    def _passes_check(self, candidate: Candidate, predictor: Any) -> bool:
        try:
            reason = self._check(predictor)
        except Exception as error:  # noqa: BLE001
            reason = f"asking the golden requests failed: {error!r}"
        if reason is not None:
            self.refused[candidate.label] = reason
        return reason is None


def _difference_of_extremes(
    predictor: Any, reference: Reference, tolerance: Tolerance
) -> str | None:
    """How it differs on numbers that hardly any client sends, such as 1e20: worth a sentence, but
    no reason for a slower form."""
    try:
        compare(predictor, reference.of_kind(extreme=True), tolerance, one_by_one=1)
    except Exception as reason:  # noqa: BLE001
        return str(reason)
    return None


def _latency_us(predictor: Any, reference: Reference) -> float:
    """Median of one real row, in µs."""
    taken = ~reference.is_refused & (reference.rows.kind == "real")
    rows = reference.rows.rows[taken]
    took_s: list[float] = []
    began = time.perf_counter()
    for i in range(_LATENCY_ROUNDS):
        row = rows[i % len(rows)][None].copy()
        started = time.perf_counter()
        predictor.predict(row)
        took_s.append(time.perf_counter() - started)
        if time.perf_counter() - began > _LATENCY_WITHIN_S:
            break
    return float(np.median(took_s)) * 1e6
