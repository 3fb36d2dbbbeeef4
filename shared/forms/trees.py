"""Serve forests and boosted trees by treelite, equal to scikit-learn also at thresholds.

Forests compare in single precision, as scikit-learn's do; HistGradientBoosting in double.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.errors import StorageUnavailable
from shared.forms.input_mask import A_NUMBER, InputMask
from shared.forms.preprocessing_plan import Plan
from shared.forms.treelite_library import Forest
from shared.versions.version_files import VersionFiles
from shared.workloads.rows import RowRefused

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """As stored.

    files : beside this file, one forest for each score or one for all.
    kind : what is asked of treelite. in_single_precision : see the module docstring.
    """

    admission: InputMask
    plan: Plan
    files: tuple[str, ...]
    kind: str
    in_single_precision: bool

    def open_form(self, files: VersionFiles) -> OpenTrees:
        return OpenTrees(self, files)


class OpenTrees:
    """The scorer; see `predictors.Scorer`."""

    def __init__(self, stored: Trees, files: VersionFiles) -> None:
        self._plan = None if stored.plan.is_identity else stored.plan
        self._admission = stored.admission
        self._has_refused_codes = bool(stored.admission.unknown.any())
        self._is_single = stored.in_single_precision
        # An isolation forest takes infinity; what is too large is infinite to it.
        self._refuses_too_large = self._is_single and bool(stored.admission.infinite.any())
        width = stored.plan.n_outputs
        self._forests = [_forest(files, name, width, stored.kind) for name in stored.files]
        self._ask_one = self._forests[0].ask_one
        self._source_of = stored.plan.source_of

    def scores(self, matrix: Floats) -> Floats:
        if self._has_refused_codes or not np.isfinite(matrix).all():
            self._admission.check(matrix)
        x = matrix if self._plan is None else self._plan.apply(matrix)
        if self._refuses_too_large:
            self._refuse_too_large(x)
        if len(x) == 1 and len(self._forests) == 1:
            return self._ask_one(x, in_single_precision=self._is_single)
        if self._is_single:
            x = x.astype(np.float32).astype(np.float64)
        x = np.ascontiguousarray(x)
        if len(self._forests) == 1:
            return self._forests[0].ask(x)
        return np.concatenate([forest.ask(x) for forest in self._forests], axis=1)

    def _refuse_too_large(self, x: Floats) -> None:
        """What is infinite in single precision, scikit-learn refuses."""
        if x.max() > _LARGEST or x.min() < -_LARGEST or np.isnan(x).any():
            is_wrong = np.abs(x) > _LARGEST
            if is_wrong.any():
                row, column = np.argwhere(is_wrong)[0].tolist()
                raise RowRefused(row, self._source_of(column), f"{A_NUMBER} below 3.4e38")


_LARGEST = float(np.finfo(np.float32).max)


def _forest(files: VersionFiles, name: str, width: int, kind: str) -> Forest:
    try:
        with files.compiled_copy(name) as path:
            return Forest(path, width, kind)
    except StorageUnavailable:
        # No room for a copy: from memory, where it takes three times its size.
        return Forest(files.compiled(name), width, kind)
