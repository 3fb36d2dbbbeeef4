"""Choose the fastest form of an estimator that is equal to it, and write it. Training process only.

Never raises because a form could not be made: then the next slower one is tried, at last
scikit-learn itself in a process of its own, and why is recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrain_service.compiling import lower_onnx
from retrain_service.compiling.attempt import EXACT, ROUNDED, Candidate, Check, FormTrial
from retrain_service.compiling.columns import Columns, NotLowered, as_plan, input_columns
from retrain_service.compiling.lower_model import Model, lower_model
from retrain_service.compiling.lower_preprocessing import lower, with_known_categories
from retrain_service.compiling.lower_trees import thresholds
from retrain_service.compiling.parity import reference_answers
from retrain_service.compiling.probe_inputs import NotObservable, observe
from retrain_service.compiling.probe_rows import MAX_REAL, ProbeRows, make_probe_rows
from shared.forms.input_mask import InputMask
from shared.forms.linear import Linear
from shared.forms.preprocessing_plan import Plan
from shared.forms.process.form import Processed
from shared.forms.process.unwrap import flat_steps, holds_trees, in_one_thread, rest_of, unwrap
from shared.forms.stored_form import LinearForm, ProcessForm, TreesForm
from shared.forms.trees import Trees
from shared.versions.manifest import COMPILED_NAME, IN_PROCESS, MODEL_NAME, ServingForm
from shared.versions.staged_files import StagedFiles
from shared.workloads.rows import RowContract

Floats = NDArray[np.float64]

_SEED = 20
_SLOW_US = 400.0
"""A graph slower than this is compared with scikit-learn's own code, which needs a process."""


@dataclass(frozen=True, slots=True)
class _Lowered:
    """An estimator taken apart. n_planned : how many of its steps the plan does."""

    plan: Plan
    admission: InputMask
    n_planned: int
    rest: Any
    coded: tuple[int, ...]


def compile_estimator(
    estimator: Any,
    probe: Floats | None,
    *,
    contract: RowContract | None,
    staged: StagedFiles,
    check: Check = lambda _form: None,
) -> ServingForm:
    """Write `compiled/` into a staged version whose model.joblib is there already.

    probe : (n_rows, n_features) real rows as the estimator gets them; None: it takes none.
    contract : which columns are category codes; None: none.
    check : asks an opened form the golden requests; says what is wrong, or None.

    Returns:
        What goes into the manifest. Without a form that passed, there is no `compiled/` and the
        form is IN_PROCESS: the API unpickles the estimator.

    Raises:
        StorageUnavailable: the disk is full or not writable.
    """
    refused: dict[str, str] = {}
    with in_one_thread(estimator):
        trial = FormTrial(staged, check, refused)
        found = trial.try_as_data(estimator)
        if found is None and hasattr(estimator, "predict"):
            found = _compile_rows(estimator, probe, contract, trial)
    if found is None:
        staged.remove(COMPILED_NAME)
        return ServingForm(IN_PROCESS, refused=refused)
    return found


def _compile_rows(
    estimator: Any, probe: Floats | None, contract: RowContract | None, trial: FormTrial
) -> ServingForm | None:
    contract = getattr(estimator, "contract", contract)
    n_columns = getattr(estimator, "n_features_in_", None)
    if n_columns is None and contract is not None:
        n_columns = len(contract.features)
    if probe is None or not len(probe) or (n_columns and probe.shape[1] != n_columns):
        trial.refused["numpy"] = "there are no rows to compare on"
        return None
    every = max(1, len(probe) // MAX_REAL)
    chosen = probe[::-1][::every][:MAX_REAL][::-1]
    real = np.array(chosen, dtype=np.float64, order="C", subok=True)  # with its texts
    coded = _coded(estimator, contract)
    only_real = ProbeRows(real, np.full(len(real), "real"))
    candidates: list[Candidate] = []
    rows, suspected = only_real, _is_odd(real)
    try:
        lowered = _take_apart(estimator, contract, real, coded)
        model = _model_of(lowered, trial.refused)
        splits = thresholds(lowered.rest)
        n_codes = _n_codes(contract)
        rows = make_probe_rows(real, lowered.plan, lowered.admission, splits, n_codes, _SEED)
        suspected = np.asarray(lowered.admission.refused(rows.rows).any(axis=1))
        candidates = list(_candidates(lowered, rows.rows[:1], model, trial.refused))
    except (NotLowered, NotObservable) as reason:
        trial.refused["numpy"] = str(reason)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - a form is a gain, never a reason to fail a run
        trial.refused["numpy"] = f"taking it apart failed: {error!r}"
        rows, candidates = only_real, []
        suspected = _is_odd(real)
    try:
        reference = reference_answers(estimator, rows, suspected)
    except Exception as error:  # noqa: BLE001
        trial.refused["scikit-learn"] = f"it does not answer the rows: {error!r}"
        return None
    slow: tuple[Candidate, ServingForm] | None = None
    for candidate in candidates:
        found = trial.of(candidate, reference)
        if found is None:
            continue
        if slow is not None and _us(slow[1]) < 2 * _us(found):
            return trial.of(slow[0], reference) or found
        if candidate.form != "onnx" or _us(found) < _SLOW_US:
            return found
        trial.refused[candidate.label] = f"equal, but {_us(found):.0f} µs for a row"
        slow = (candidate, found) if slow is None or _us(found) < _us(slow[1]) else slow
    if slow is not None:
        return trial.of(slow[0], reference)
    # The estimator itself: that it can be asked through pipes is all there is to see.
    whole = Processed(MODEL_NAME, 0, None, None, coded)
    last = Candidate("scikit-learn", "scikit-learn", EXACT, lambda _: ProcessForm(whole), 5)
    return trial.of(last, reference_answers(estimator, only_real, _is_odd(real)))


def _is_odd(rows: Floats) -> NDArray[np.bool_]:
    """(n_rows,) which hold something missing or infinite."""
    return np.asarray(~np.isfinite(rows).all(axis=1))


def _us(form: ServingForm) -> float:
    return form.latency_us or 0.0


def _coded(estimator: Any, contract: RowContract | None) -> tuple[int, ...]:
    if contract is None or unwrap(estimator) is estimator:
        return ()
    return tuple(i for i, spec in enumerate(contract.features) if spec.name in contract.codes)


def _n_codes(contract: RowContract | None) -> dict[int, int]:
    if contract is None:
        return {}
    return {i: len(contract.codes.get(spec.name, ())) for i, spec in enumerate(contract.features)}


def _take_apart(
    estimator: Any, contract: RowContract | None, real: Floats, coded: tuple[int, ...]
) -> _Lowered:
    """As many of the leading steps as have a plan; the model is never one of them."""
    inner = unwrap(estimator)
    if contract is not None and contract.text_columns:
        texts = [contract.features[j].name for j in contract.text_columns]
        raise NotLowered(f"{texts} are texts, which only the estimator itself takes")
    names = [spec.name for spec in contract.features] if contract is not None else []
    if len(names) != real.shape[1]:
        names = [f"column {i}" for i in range(real.shape[1])]
    columns: Columns = input_columns(contract, real.shape[1], is_decoded=inner is not estimator)
    steps = flat_steps(inner)
    n_planned = 0
    plan, reason = None, None
    for i, step in enumerate(steps):
        try:
            if i == len(steps) - 1:
                columns = with_known_categories(step, columns)
            plan, n_planned = as_plan(columns, real.shape[1]), i
        except NotLowered as refusal:
            reason = refusal
        if i == len(steps) - 1:
            break
        try:
            columns = lower(step, columns, names)
        except NotLowered as refusal:
            reason = refusal
            break
    if plan is None:
        raise reason or NotLowered("nothing of it has a plan")
    wants_frame = bool(coded) or hasattr(steps[0], "transformers_")  # texts, or columns by name
    if reason is not None and n_planned == 0 and inner is not estimator and wants_frame:
        raise reason
    admission = observe(estimator.predict, real, coded, plan)
    return _Lowered(plan, admission, n_planned, rest_of(inner, n_planned), coded)


def _model_of(lowered: _Lowered, refused: dict[str, str]) -> Model | None:
    try:
        return lower_model(lowered.rest)
    except NotLowered as reason:
        refused["numpy, treelite"] = str(reason)
    return None


def _candidates(
    lowered: _Lowered, row: Floats, model: Model | None, refused: dict[str, str]
) -> Iterator[Candidate]:
    """Fastest first."""
    admission, plan = lowered.admission, lowered.plan
    if model is not None and model.weights is not None:
        linear = Linear(admission, plan, *model.weights)
        answers = model.answers
        if linear.is_foldable():
            folded = LinearForm(linear, answers, is_folded=True)
            yield Candidate("numpy", "numpy, folded", EXACT, lambda _: folded)
        plain = LinearForm(linear, answers, is_folded=False)
        yield Candidate("numpy", "numpy", EXACT, lambda _: plain)
    elif model is not None:

        def write_trees(staged: StagedFiles) -> TreesForm:
            assert model is not None
            trees = Trees(
                admission, plan, model.write(staged), model.kind, model.in_single_precision
            )
            return TreesForm(trees, model.answers)

        tolerance = ROUNDED if model.is_rounded else EXACT
        yield Candidate("treelite", "treelite", tolerance, write_trees)
    process = Processed(MODEL_NAME, lowered.n_planned, admission, plan, lowered.coded)
    if holds_trees(lowered.rest):
        refused["onnx"] = "it rounds split thresholds to single precision"
    elif lower_onnx.is_installed():
        for label, is_double in (("onnx, double", True), ("onnx", False)):

            def write_graph(staged: StagedFiles, is_double: bool = is_double) -> Any:
                return lower_onnx.lower_onnx(
                    lowered.rest, row, admission, plan, process, staged, is_double=is_double
                )

            tolerance = EXACT if is_double else ROUNDED
            yield Candidate("onnx", label, tolerance, write_graph)
    else:
        refused["onnx"] = 'not installed: the extra "onnx" brings onnxruntime and skl2onnx'
    label = "scikit-learn, last steps"
    yield Candidate("scikit-learn", label, EXACT, lambda _: ProcessForm(process), 5)
