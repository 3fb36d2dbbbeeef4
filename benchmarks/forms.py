"""What serves, and how fast: the form of each kind of model, one row and a hundred.

`python -m benchmarks.forms` prints the table of docs/serving-forms.md; `--flat` also measures
the alternative that was not taken: forests as flat memory-mapped arrays walked by NumPy.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVR

from retrain_service.compiling.compile import compile_estimator
from shared.forms.open_form import open_compiled
from shared.versions.manifest import MODEL_NAME
from shared.versions.staged_files import StagedFiles
from shared.workloads.rows import FeatureSpec, RowContract
from shared.workloads.tabular.model import TabularEstimator

Floats = NDArray[np.float64]

NUMBERS = [f"number_{i}" for i in range(10)]
CODES = {"colour": ("red", "green", "blue", "black"), "site": ("north", "south", "east")}
CONTRACT = RowContract(
    (
        *(FeatureSpec(name, "float64", "none") for name in NUMBERS),
        *(FeatureSpec(name, "category", "none") for name in CODES),
    ),
    {name: {text: float(i) for i, text in enumerate(texts)} for name, texts in CODES.items()},
)
N_ROWS = 2000
ROUNDS = 7


def models() -> Iterator[tuple[str, Any, bool]]:
    """(name, last step, it takes classes)"""
    yield "ridge", Ridge(), False
    yield "logistic regression, 3 classes", LogisticRegression(max_iter=500), True
    yield "random forest, 100 trees", RandomForestRegressor(100, random_state=0), False
    yield "gradient boosting, 100 trees", GradientBoostingRegressor(random_state=0), False
    yield "HistGradientBoosting, 100 trees", HistGradientBoostingRegressor(random_state=0), False
    yield (
        "HistGradientBoosting, 3 classes",
        HistGradientBoostingClassifier(max_iter=50, random_state=0),
        True,
    )
    yield "SVR", SVR(), False
    yield "multilayer perceptron", MLPRegressor(max_iter=60, random_state=0), False
    yield "5 nearest neighbours", KNeighborsRegressor(), False
    yield "Gaussian process", GaussianProcessRegressor(alpha=1.0), False


def some_rows(rng: np.random.Generator) -> tuple[Floats, Floats]:
    rows = rng.normal(2.0, 3.0, size=(N_ROWS, 12))
    rows[:, 10] = rng.integers(0, 4, N_ROWS)
    rows[:, 11] = rng.integers(0, 3, N_ROWS)
    noise = rng.normal(size=N_ROWS)
    return rows, rows[:, 0] + rows[:, 1] * rows[:, 2] / 3 + rows[:, 10] + noise


def median_us(function: Callable[[], object], n_calls: int) -> float:
    """Best of several medians: another process on the machine must not decide."""
    best = float("inf")
    for _ in range(ROUNDS):
        took = []
        for _ in range(n_calls):
            started = time.perf_counter()
            function()
            took.append(time.perf_counter() - started)
        best = min(best, statistics.median(took))
    return best * 1e6


def measure(name: str, model: Any, takes_classes: bool) -> str:
    rows, target = some_rows(np.random.default_rng(0))
    labels = np.digitize(target, np.quantile(target, [0.3, 0.7]))
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), NUMBERS),
            ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), [*CODES]),
        ]
    )
    pipeline = make_pipeline(columns, model)
    estimator = TabularEstimator(pipeline, CONTRACT)
    pipeline.fit(estimator.frame(rows), labels if takes_classes else target)
    with tempfile.TemporaryDirectory() as place:
        staged = StagedFiles(Path(place))
        with staged.writing(MODEL_NAME) as file:
            joblib.dump(estimator, file)
        form = compile_estimator(estimator, rows, contract=CONTRACT, staged=staged)
        opened = open_compiled(staged.files)
        one, many = rows[:1].copy(), rows[:100].copy()
        figures = [
            median_us(lambda: estimator.predict(one), 5),
            median_us(lambda: opened.predict(one), 50),
            median_us(lambda: estimator.predict(many), 3),
            median_us(lambda: opened.predict(many), 10),
        ]
    shown = " | ".join(f"{figure:,.1f}" if figure < 10 else f"{figure:,.0f}" for figure in figures)
    return f"| {name} | {form.how} | {shown} | {form.max_abs_difference:.1g} |"


def flat_forest(forest: RandomForestRegressor, directory: Path) -> Callable[[Floats], Floats]:
    """Memory-mapped arrays of all nodes, walked level by level for all trees and rows at once."""
    trees = [member.tree_ for member in forest.estimators_]
    start = np.cumsum([0, *(tree.node_count for tree in trees)])
    own = np.arange(start[-1])
    inner = np.concatenate([tree.children_left >= 0 for tree in trees])
    parts = {
        "feature": np.maximum(np.concatenate([tree.feature for tree in trees]), 0),
        "threshold": np.concatenate([tree.threshold for tree in trees]),
        "value": np.concatenate([tree.value[:, 0, 0] for tree in trees]),
    }
    for side in ("children_left", "children_right"):
        moved = [getattr(tree, side) + at for tree, at in zip(trees, start, strict=False)]
        parts[side] = np.where(inner, np.concatenate(moved), own)
    for name, values in parts.items():
        np.save(directory / f"{name}.npy", values)
    found = {name: np.load(directory / f"{name}.npy", mmap_mode="r") for name in parts}
    depth = max(tree.max_depth for tree in trees)

    def predict(rows: Floats) -> Floats:
        x = rows.astype(np.float32)
        node = np.tile(start[:-1], (len(x), 1))
        lane = np.arange(len(x))[:, None]
        for _ in range(depth):
            is_left = x[lane, found["feature"][node]] <= found["threshold"][node]
            node = np.where(is_left, found["children_left"][node], found["children_right"][node])
        mean: Floats = found["value"][node].mean(axis=1)
        return mean

    return predict


def compare_flat() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20_000, 12))
    target = rows[:, 0] * 3 + np.sin(rows[:, 1] * 3) + rng.normal(size=len(rows))
    print("\n| forest | way | open, ms | 1 row, µs | 100 rows, µs |\n| - | - | -: | -: | -: |")
    for n_trees, leaf in ((100, 5), (100, 1)):
        forest = RandomForestRegressor(n_trees, min_samples_leaf=leaf, random_state=0)
        forest.fit(rows, target)
        with tempfile.TemporaryDirectory() as place:
            directory = Path(place)
            staged = StagedFiles(directory)
            with staged.writing(MODEL_NAME) as file:
                joblib.dump(forest, file)
            compile_estimator(forest, rows, contract=None, staged=staged)
            flat = flat_forest(forest, directory)
            size_mb = staged.entries[MODEL_NAME].size_bytes / 1e6
            started = time.perf_counter()
            opened = open_compiled(staged.files)
            open_ms = (time.perf_counter() - started) * 1e3
            for way, function, took in (
                ("treelite", opened.predict, open_ms),
                ("flat arrays", flat, 0.0),
            ):
                np.testing.assert_allclose(function(rows[:100]), forest.predict(rows[:100]))
                one = median_us(lambda function=function: function(rows[:1]), 20)  # type: ignore[misc]
                many = median_us(lambda function=function: function(rows[:100]), 5)  # type: ignore[misc]
                print(f"| {size_mb:.0f} MB | {way} | {took:.1f} | {one:,.0f} | {many:,.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flat", action="store_true")
    chosen = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warnings.simplefilter("ignore")
    print("| model | form | scikit-learn, 1 row | form, 1 row | 100 rows | 100 rows | difference |")
    print("| - | - | -: | -: | -: | -: | -: |")
    for name, model, takes_classes in models():
        print(measure(name, model, takes_classes), flush=True)
    if chosen.flat:
        compare_flat()


if __name__ == "__main__":
    main()
