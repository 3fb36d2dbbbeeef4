"""Fitted pipelines on columns of numbers and categories, as the tabular workload stores them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from retrain_service.compiling.compile import compile_estimator
from shared.forms.open_form import open_compiled
from shared.versions.manifest import MODEL_NAME, ServingForm
from shared.versions.staged_files import StagedFiles
from shared.workloads.rows import FeatureSpec, RowContract
from shared.workloads.tabular.model import TabularEstimator

Floats = NDArray[np.float64]

NUMBERS = ["depth", "width", "hour", "speed", "mass"]
CODES = {"colour": ("red", "green", "blue", "black"), "site": ("north", "south", "east")}
CONTRACT = RowContract(
    (
        *(FeatureSpec(name, "float64", "none") for name in NUMBERS),
        *(FeatureSpec(name, "category", "none") for name in CODES),
    ),
    {name: {text: float(i) for i, text in enumerate(texts)} for name, texts in CODES.items()},
)
N_ROWS = 220


def some_rows(seed: int, *, gaps: float = 0.0) -> Floats:
    """(N_ROWS, 7) coded rows; whole numbers in `hour`, a share of missing values anywhere."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(3.0, 4.0, size=(N_ROWS, len(NUMBERS) + len(CODES)))
    rows[:, 2] = rng.integers(0, 24, N_ROWS)
    for i, texts in enumerate(CODES.values()):
        rows[:, len(NUMBERS) + i] = rng.integers(0, len(texts), N_ROWS)
    rows[rng.random(rows.shape) < gaps] = np.nan
    return rows


def a_target(rows: Floats) -> Floats:
    known = np.nan_to_num(rows)
    found: Floats = 2 * known[:, 0] + known[:, 1] * known[:, 3] / 4 + 3 * known[:, 5]
    return found


def one_hot(numbers: Any = None, **options: Any) -> ColumnTransformer:
    """Imputed and scaled numbers, one-hot categories."""
    numbers = numbers or make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    encoder = OneHotEncoder(**{"handle_unknown": "ignore", **options})
    return ColumnTransformer([("numbers", numbers, NUMBERS), ("categories", encoder, list(CODES))])


def ordinal(**options: Any) -> ColumnTransformer:
    """Numbers as they are, categories as codes."""
    encoder = OrdinalEncoder(
        **{"handle_unknown": "use_encoded_value", "unknown_value": -1, **options}
    )
    return ColumnTransformer(
        [("numbers", "passthrough", NUMBERS), ("categories", encoder, list(CODES))]
    )


def fitted(pipeline: Any, rows: Floats, target: NDArray[Any]) -> TabularEstimator:
    estimator = TabularEstimator(pipeline, CONTRACT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline.fit(estimator.frame(rows), target)
    return estimator


def compiled(estimator: Any, rows: Floats, directory: Path) -> tuple[ServingForm, Any]:
    """(what the manifest will say, the opened form)"""
    staged = StagedFiles(directory)
    with staged.writing(MODEL_NAME) as file:
        joblib.dump(estimator, file)
    form = compile_estimator(estimator, rows, contract=CONTRACT, staged=staged)
    return form, open_compiled(staged.files)


def quietly(function: Any, rows: Floats) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(function(rows))
