"""What parity lets pass is served instead of the estimator: every way to differ must be seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline

from retrain_service.compiling.parity import NotEqual, Tolerance, compare, reference_answers
from retrain_service.compiling.probe_rows import ProbeRows
from shared.forms.input_mask import InputMask
from shared.workloads.rows import RowRefused
from tests.shared.forms.models import a_target, compiled, fitted, one_hot, some_rows

Floats = NDArray[np.float64]

REAL = some_rows(31)[:40, :3]
ROWS = ProbeRows(
    np.vstack([REAL, [[np.nan, 1.0, 2.0], [1.0, np.inf, 2.0]]]),
    np.array(["real"] * len(REAL) + ["missing"] * 2),
)
CLOSE = Tolerance(1e-9, 1e-9)
LINEAR = Ridge().fit(REAL, REAL @ np.arange(3.0))
CLASSES = LogisticRegression().fit(REAL, REAL[:, 0] > 3)


class AForm:
    """Answers as the estimator does, and refuses the first row that `is_refused` names."""

    def __init__(self, estimator: Any, is_refused: Callable[[Floats], NDArray[np.bool_]]) -> None:
        self.estimator, self.is_refused = estimator, is_refused

    def predict(self, matrix: Floats) -> Any:
        return self._asked(self.estimator.predict, matrix)

    def predict_proba(self, matrix: Floats) -> Any:
        return self._asked(self.estimator.predict_proba, matrix)

    def _asked(self, ask: Callable[[Floats], Any], matrix: Floats) -> Any:
        found = self.is_refused(matrix)
        if found.any():
            raise RowRefused(int(np.argmax(found)), 0, "a finite number")
        return ask(np.nan_to_num(matrix))


class AnsweringProbabilities(AForm):
    """Refuses what it should, but not where probabilities are asked for."""

    def predict_proba(self, matrix: Floats) -> Any:
        return self.estimator.predict_proba(np.nan_to_num(matrix))


def not_finite(matrix: Floats) -> NDArray[np.bool_]:
    return np.asarray(~np.isfinite(matrix).all(axis=1))


def missing(matrix: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.isnan(matrix).any(axis=1))


def nothing(matrix: Floats) -> NDArray[np.bool_]:
    return np.zeros(len(matrix), dtype=np.bool_)


def alone(matrix: Floats) -> NDArray[np.bool_]:
    return not_finite(matrix) & (len(matrix) == 1)


def together(matrix: Floats) -> NDArray[np.bool_]:
    return not_finite(matrix) & (len(matrix) > 1)


def the_first(matrix: Floats) -> NDArray[np.bool_]:
    found = nothing(matrix)
    found[0] = not_finite(matrix).any()
    return found


def too_much(matrix: Floats) -> NDArray[np.bool_]:
    return np.asarray(not_finite(matrix) | (matrix[:, 0] == REAL[7, 0]))


DIFFERENT: Mapping[str, tuple[AForm, str]] = {
    "refuses nothing": (AForm(LINEAR, nothing), "answered that scikit-learn refuses"),
    "takes what is infinite": (AForm(LINEAR, missing), "answered that scikit-learn refuses"),
    "refuses single rows only": (AForm(LINEAR, alone), "answered that scikit-learn refuses"),
    "refuses batches only": (AForm(LINEAR, together), "answered that scikit-learn refuses"),
    "blames another row": (AForm(LINEAR, the_first), "row 0 is refused in place of row 1"),
    "refuses a real row": (AForm(LINEAR, too_much), "a real row is refused"),
    "gives probabilities for what is refused": (
        AnsweringProbabilities(CLASSES, not_finite),
        "answered that scikit-learn refuses",
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_form_that_refuses_other_rows_than_the_estimator_is_not_equal(name: str) -> None:
    form, reason = DIFFERENT[name]
    reference = reference_answers(form.estimator, ROWS, not_finite(ROWS.rows))
    assert reference.is_refused.tolist() == [False] * len(REAL) + [True] * 2

    with pytest.raises(NotEqual, match=reason):
        compare(form, reference, CLOSE, 5)


@pytest.mark.parametrize("estimator", [LINEAR, CLASSES])
def test_a_form_that_refuses_the_same_rows_is_equal(estimator: Any) -> None:
    reference = reference_answers(estimator, ROWS, not_finite(ROWS.rows))

    assert compare(AForm(estimator, not_finite), reference, CLOSE, 5) < 1e-12


def test_a_form_that_takes_what_the_estimator_refuses_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with how refusals were observed: another form serves, and why is said."""

    def check_nothing(_self: InputMask, _matrix: Floats) -> None:
        return

    monkeypatch.setattr(InputMask, "check", check_nothing)
    monkeypatch.setattr("retrain_service.compiling.lower_onnx.is_installed", lambda: False)
    rows = some_rows(32)
    pipeline = make_pipeline(one_hot(handle_unknown="error"), Ridge())

    form, opened = compiled(fitted(pipeline, rows, a_target(rows)), rows, tmp_path)

    assert form.form == "scikit-learn"
    assert any("that scikit-learn refuses" in reason for reason in form.refused.values())
    opened.close()
