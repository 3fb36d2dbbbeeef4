"""Lower fitted scikit-learn estimators to an ONNX graph. Training process only."""

from __future__ import annotations

import copy
import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrain_service.compiling.columns import NotLowered
from shared.forms.input_mask import InputMask
from shared.forms.onnx import GRAPH_NAME, OnnxForm
from shared.forms.preprocessing_plan import Plan
from shared.forms.process.form import Processed
from shared.forms.stored_form import class_labels
from shared.versions.staged_files import StagedFiles
from shared.versions.version_files import COMPILED_NAME

Floats = NDArray[np.float64]

_MAX_GRAPH_BYTES = 50_000_000  # a session of a large forest takes seconds to open and a GB


def is_installed() -> bool:
    return all(importlib.util.find_spec(name) for name in ("onnxruntime", "skl2onnx"))


def lower_onnx(
    model: Any,
    row: Floats,
    admission: InputMask,
    plan: Plan,
    instead: Processed,
    staged: StagedFiles,
    *,
    is_double: bool,
) -> OnnxForm:
    """Write the graph of what comes after the plan beside the form.

    row : (1, n_columns) that it takes.

    Raises:
        NotLowered: it cannot be converted.
    """
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    kind = DoubleTensorType if is_double else FloatTensorType
    classes = getattr(model, "classes_", None)
    if isinstance(classes, list):
        raise NotLowered("classes of several outputs are not lowered")
    labels = None if classes is None else class_labels(classes)
    is_flat = np.ndim(model.predict(plan.apply(row))) == 1
    options: dict[int, dict[str, Any]] = {}
    if labels is not None:
        model = _with_numbered_classes(model, len(labels))
        options = {id(model): {"zipmap": False}}
    try:
        graph = to_onnx(
            model, initial_types=[("x", kind([None, plan.n_outputs]))], options=options
        ).SerializeToString()
    except Exception as error:  # noqa: BLE001 - converters raise whatever they like
        raise NotLowered(f"skl2onnx: {str(error).splitlines()[0][:160]}") from None
    if len(graph) > _MAX_GRAPH_BYTES:
        raise NotLowered(f"the graph has {len(graph) / 1e6:.0f} MB; too slow to open")
    staged.write(f"{COMPILED_NAME}/{GRAPH_NAME}", graph)
    return OnnxForm(
        admission,
        plan,
        is_double,
        is_flat=is_flat,
        classes=labels,
        has_probabilities=labels is not None and hasattr(model, "predict_proba"),
        instead=instead,
    )


def _with_numbered_classes(model: Any, n_classes: int) -> Any:
    """The graph answers places in `classes_`; labels of any type are put back afterwards."""
    if hasattr(model, "steps"):
        raise NotLowered("a classifier behind steps that were not lowered is not converted")
    classes = np.asarray(model.classes_)
    if np.array_equal(classes, np.arange(n_classes)) and classes.dtype.kind in "iu":
        return model
    numbered = copy.copy(model)
    try:
        numbered.classes_ = np.arange(n_classes)
    except AttributeError:
        raise NotLowered("its classes are no attribute that can be numbered") from None
    return numbered
