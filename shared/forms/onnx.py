"""Serve models by ONNX Runtime, one thread for each session. Both packages are an extra ("onnx").

Where onnxruntime is missing when a version is opened, scikit-learn serves in its own process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shared.forms.process.form import Processed

if TYPE_CHECKING:
    from shared.forms.input_mask import InputMask
    from shared.forms.preprocessing_plan import Plan
    from shared.versions.version_files import VersionFiles

Floats = NDArray[np.float64]

GRAPH_NAME = "model.onnx"


@dataclass(frozen=True, slots=True, eq=False)
class OnnxForm:
    """As stored.

    is_double : the graph takes float64, else float32. classes : None for a regressor.
    has_probabilities : the second output is (n_rows, n_classes). instead : what serves where
        onnxruntime is not installed.
    """

    admission: InputMask
    plan: Plan
    is_double: bool
    is_flat: bool
    classes: NDArray[Any] | None
    has_probabilities: bool
    instead: Processed

    def open_form(self, files: VersionFiles) -> Any:
        try:
            import onnxruntime
        except ImportError:
            return self.instead.open_form(files)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            files.compiled(GRAPH_NAME), options, providers=["CPUExecutionProvider"]
        )
        kind = _Classifier if self.has_probabilities else _Session
        return kind(self, session)


class _Session:
    """Like the estimator: `predict`, and `classes_` for a classifier. Any thread may ask."""

    def __init__(self, stored: OnnxForm, session: Any) -> None:
        self._stored = stored
        self._run = session.run
        self._input = session.get_inputs()[0].name
        self._outputs = [output.name for output in session.get_outputs()]
        self._dtype = np.float64 if stored.is_double else np.float32
        if stored.classes is not None:
            self.classes_ = stored.classes

    def predict(self, matrix: Floats) -> NDArray[Any]:
        found = np.asarray(self._asked(matrix, 0))
        if self._stored.classes is not None:
            return self._stored.classes.take(found.reshape(-1))
        found = found.astype(np.float64)
        return found.reshape(-1) if self._stored.is_flat else found

    def _asked(self, matrix: Floats, output: int) -> NDArray[Any]:
        self._stored.admission.check(matrix)
        x = self._stored.plan.apply(matrix).astype(self._dtype, copy=False)
        found: NDArray[Any] = self._run([self._outputs[output]], {self._input: x})[0]
        return found


class _Classifier(_Session):
    def predict_proba(self, matrix: Floats) -> Floats:
        return np.asarray(self._asked(matrix, 1), dtype=np.float64)
