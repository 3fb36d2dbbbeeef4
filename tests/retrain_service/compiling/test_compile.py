"""Every estimator, behind every preprocessing, answers compiled as it does in scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    ElasticNet,
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import LinearSVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from retrain_service.compiling.compile import compile_estimator
from retrain_service.compiling.lower_model import Model, lower_model
from retrain_service.compiling.lower_trees import thresholds
from shared.forms.open_form import open_compiled
from shared.versions.manifest import MODEL_NAME
from shared.versions.staged_files import StagedFiles
from shared.workloads.rows import UNKNOWN_CATEGORY, RowRefused
from tests.shared.forms.models import (
    NUMBERS,
    a_target,
    compiled,
    fitted,
    one_hot,
    ordinal,
    quietly,
    some_rows,
)

REGRESSORS: dict[str, tuple[Any, str]] = {
    "ridge": (make_pipeline(one_hot(), Ridge()), "numpy"),
    "least squares, min-max": (make_pipeline(one_hot(MinMaxScaler()), LinearRegression()), "numpy"),
    "lasso, clipped": (make_pipeline(one_hot(MinMaxScaler(clip=True)), Lasso(0.01)), "numpy"),
    "elastic net, robust": (make_pipeline(one_hot(RobustScaler()), ElasticNet(0.01)), "numpy"),
    "linear SVR, largest": (make_pipeline(one_hot(MaxAbsScaler()), LinearSVR()), "numpy"),
    "ridge, indicators": (
        make_pipeline(one_hot(SimpleImputer(add_indicator=True)), StandardScaler(), Ridge()),
        "numpy",
    ),
    "ridge, first category dropped": (
        make_pipeline(one_hot(handle_unknown="error", drop="first"), Ridge()),
        "numpy",
    ),
    "ridge, rare categories": (
        make_pipeline(one_hot(handle_unknown="infrequent_if_exist", min_frequency=60), Ridge()),
        "numpy",
    ),
    "ridge, square roots": (
        make_pipeline(one_hot(FunctionTransformer(np.square)), Ridge()),
        "numpy",
    ),
    "target in logarithms": (
        TransformedTargetRegressor(
            make_pipeline(one_hot(), Ridge()), func=np.log1p, inverse_func=np.expm1
        ),
        "numpy",
    ),
    "poisson": (make_pipeline(one_hot(), PoissonRegressor()), "numpy"),
    "forest": (make_pipeline(one_hot(), RandomForestRegressor(8, random_state=0)), "treelite"),
    "extra trees": (make_pipeline(ordinal(), ExtraTreesRegressor(8, random_state=0)), "treelite"),
    "one tree": (make_pipeline(ordinal(), DecisionTreeRegressor(random_state=0)), "treelite"),
    "boosting": (make_pipeline(one_hot(), GradientBoostingRegressor(n_estimators=15)), "treelite"),
    "histograms": (
        make_pipeline(
            ordinal(),
            HistGradientBoostingRegressor(max_iter=15, categorical_features=[5, 6]),
        ),
        "treelite",
    ),
    "histograms, poisson": (
        make_pipeline(one_hot(), HistGradientBoostingRegressor(loss="poisson", max_iter=15)),
        "treelite",
    ),
}

CLASSIFIERS: dict[str, tuple[Any, str]] = {
    "logistic": (make_pipeline(one_hot(), LogisticRegression()), "numpy"),
    "SGD": (make_pipeline(one_hot(), SGDClassifier(loss="log_loss", random_state=0)), "numpy"),
    "ridge": (make_pipeline(one_hot(), RidgeClassifier()), "numpy"),
    "forest": (make_pipeline(ordinal(), RandomForestClassifier(8, random_state=0)), "treelite"),
    "one tree": (make_pipeline(ordinal(), DecisionTreeClassifier(random_state=0)), "treelite"),
    "boosting": (make_pipeline(one_hot(), GradientBoostingClassifier(n_estimators=6)), "treelite"),
    "histograms": (
        make_pipeline(ordinal(), HistGradientBoostingClassifier(max_iter=8)),
        "treelite",
    ),
}


BOOSTED: dict[str, Callable[[], Any]] = {
    "XGBoost, counts": lambda: xgboost.XGBRegressor(n_estimators=12, objective="count:poisson"),
    "XGBoost, early stop": lambda: _StopsEarly(n_estimators=40, early_stopping_rounds=2),
    "XGBoost, dropped trees": lambda: xgboost.XGBRegressor(
        n_estimators=8, booster="dart", rate_drop=0.3
    ),
    "XGBoost, 2 classes": lambda: xgboost.XGBClassifier(n_estimators=8),
    "XGBoost, 3 classes": lambda: xgboost.XGBClassifier(n_estimators=8),
    "LightGBM": lambda: lightgbm.LGBMRegressor(n_estimators=12, verbose=-1),
    "LightGBM, gamma": lambda: lightgbm.LGBMRegressor(
        n_estimators=12, objective="gamma", verbose=-1
    ),
    "LightGBM, 3 classes": lambda: lightgbm.LGBMClassifier(n_estimators=8, verbose=-1),
    "LightGBM, one against all": lambda: lightgbm.LGBMClassifier(
        n_estimators=4, objective="multiclassova", num_class=3, verbose=-1
    ),
}


class _StopsEarly(xgboost.XGBRegressor):
    """Keeps more rounds than it asks."""

    def fit(self, rows: Any, target: Any) -> Any:
        return super().fit(rows, target, eval_set=[(-rows, target)], verbose=False)


@pytest.mark.parametrize("name", BOOSTED)
def test_models_of_xgboost_and_lightgbm_are_compiled(name: str, tmp_path: Path) -> None:
    """They are what most people bring. XGBoost adds up in single precision, LightGBM in double."""
    rows = some_rows(21, gaps=0.1)
    target: Any = np.abs(a_target(rows)) + 0.1
    if "classes" in name or "against" in name:
        n_classes = 2 if "2" in name else 3
        target = np.digitize(target, np.quantile(target, [0.4, 0.7][: n_classes - 1]))
    model = BOOSTED[name]()
    estimator = fitted(make_pipeline(ordinal(), model), rows, target)

    form, opened = compiled(estimator, rows, tmp_path)

    assert form.form == "treelite", form.refused
    fresh = some_rows(22, gaps=0.2)
    rtol, atol = (1e-5, 1e-6) if "XGB" in name else (1e-9, 1e-12)
    expected = quietly(estimator.predict, fresh)
    np.testing.assert_allclose(opened.predict(fresh.copy()), expected, rtol=rtol, atol=atol)
    if hasattr(opened, "predict_proba"):
        expected = quietly(estimator.predict_proba, fresh)
        np.testing.assert_allclose(
            opened.predict_proba(fresh.copy()), expected, rtol=rtol, atol=atol
        )


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_compiled_regressor_answers_as_scikit_learn_does(name: str, tmp_path: Path) -> None:
    """What was judged before promotion must be what serves, also for rows nobody judged."""
    pipeline, expected_form = REGRESSORS[name]
    target = np.abs(a_target(some_rows(1)))
    estimator = fitted(pipeline, some_rows(1), target)

    form, opened = compiled(estimator, some_rows(1), tmp_path)

    assert form.form == expected_form, form.refused
    fresh = some_rows(2)
    fresh[:30, 5:] = UNKNOWN_CATEGORY if "dropped" not in name else 0.0
    expected = quietly(estimator.predict, fresh)
    np.testing.assert_allclose(opened.predict(fresh.copy()), expected, rtol=1e-9, atol=1e-9)
    alone = [opened.predict(row[None].copy())[0] for row in fresh[:40]]
    np.testing.assert_allclose(alone, expected[:40], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_compiled_classifier_gives_the_same_classes_and_probabilities(
    name: str, n_classes: int, tmp_path: Path
) -> None:
    """Labels are texts here: what a client sees is the label, not its place."""
    pipeline, expected_form = CLASSIFIERS[name]
    rows = some_rows(3)
    borders = np.quantile(a_target(rows), [0.4, 0.7][: n_classes - 1])
    labels = np.array(["low", "middle", "high"], dtype=object)[np.digitize(a_target(rows), borders)]
    estimator = fitted(pipeline, rows, labels)

    form, opened = compiled(estimator, rows, tmp_path)

    assert form.form == expected_form, form.refused
    fresh = some_rows(4)
    assert opened.predict(fresh.copy()).tolist() == estimator.predict(fresh).tolist()
    assert opened.predict(fresh[:1].copy()).tolist() == estimator.predict(fresh[:1]).tolist()
    assert opened.classes_.tolist() == estimator.classes_.tolist()
    assert hasattr(opened, "predict_proba") == hasattr(estimator, "predict_proba")
    if hasattr(estimator, "predict_proba"):
        expected = estimator.predict_proba(fresh)
        np.testing.assert_allclose(opened.predict_proba(fresh.copy()), expected, atol=1e-9)


@pytest.mark.parametrize(
    "model",
    [
        Ridge(),
        RandomForestRegressor(5),
        MultiOutputRegressor(HistGradientBoostingRegressor(max_iter=5)),
    ],
)
def test_several_outputs_keep_their_columns(model: Any, tmp_path: Path) -> None:
    """A forecast of five horizons is one model with five outputs."""
    rows = some_rows(5)
    target = np.stack([a_target(rows), -(a_target(rows) ** 2)], axis=1)
    estimator = fitted(make_pipeline(one_hot(), model), rows, target)

    form, opened = compiled(estimator, rows, tmp_path)

    assert form.form in ("numpy", "treelite"), form.refused
    fresh = some_rows(6)
    np.testing.assert_allclose(opened.predict(fresh), quietly(estimator.predict, fresh), rtol=1e-9)


def test_a_model_without_preprocessing_is_one_product(tmp_path: Path) -> None:
    """The demand of spare parts is such a model, and is asked for every day of a forecast."""
    rows = some_rows(15)[:, :5]
    estimator = Ridge().fit(rows, rows @ np.arange(5.0))

    form, opened = compiled(estimator, rows, tmp_path)

    assert form.how == "numpy, folded", form.refused
    np.testing.assert_allclose(opened.predict(rows), estimator.predict(rows), rtol=1e-12)
    np.testing.assert_allclose(opened.predict(rows[:1]), estimator.predict(rows[:1]), rtol=1e-12)


def test_an_isolation_forest_finds_the_same_outliers(tmp_path: Path) -> None:
    """It has neither a target nor classes; its answers are 1 and -1."""
    rows = some_rows(7)[:, :5]
    estimator = IsolationForest(n_estimators=15, contamination=0.1, random_state=0).fit(rows)

    form, opened = compiled(estimator, rows, tmp_path)

    assert form.form == "treelite", form.refused
    assert opened.predict(rows).tolist() == estimator.predict(rows).tolist()


@pytest.mark.parametrize("is_hist", [False, True])
def test_values_at_and_beside_split_thresholds_go_the_same_way(
    is_hist: bool, tmp_path: Path
) -> None:
    """Single precision loses them: a forest compares in it, HistGradientBoosting must not."""
    rows = some_rows(8)[:, :5]
    model = (
        HistGradientBoostingRegressor(max_iter=10)
        if is_hist
        else RandomForestRegressor(10, random_state=0)
    ).fit(rows, rows[:, 0] * rows[:, 1])
    form, opened = compiled(model, rows, tmp_path)

    hostile: list[Any] = []
    for column, threshold in thresholds(model)[:300]:
        single = float(np.float32(threshold))
        for value in (threshold, single, np.nextafter(threshold, 9e9), np.nextafter(single, -9e9)):
            row = rows[len(hostile) % len(rows)].copy()
            row[column] = value
            hostile.append(row)

    assert form.form == "treelite", form.refused
    assert form.rows_checked is not None
    assert form.rows_checked > 700
    np.testing.assert_allclose(
        opened.predict(np.array(hostile)), model.predict(np.array(hostile)), rtol=1e-12
    )


def test_missing_values_are_filled_as_the_imputer_does_and_refused_where_nobody_does(
    tmp_path: Path,
) -> None:
    """scikit-learn raises for them; an answer in its place would be one that nobody judged."""
    rows = some_rows(9, gaps=0.1)
    filling = fitted(make_pipeline(one_hot(), Ridge()), rows, a_target(rows))
    whole = some_rows(9)
    strict = fitted(make_pipeline(one_hot(StandardScaler()), Ridge()), whole, a_target(whole))
    (tmp_path / "strict").mkdir()

    _, opened = compiled(filling, rows, tmp_path)
    _, refusing = compiled(strict, whole, tmp_path / "strict")

    np.testing.assert_allclose(opened.predict(rows), quietly(filling.predict, rows), rtol=1e-9)
    alone = [opened.predict(row[None].copy())[0] for row in rows]
    np.testing.assert_allclose(alone, quietly(filling.predict, rows), rtol=1e-9)
    for value in (np.nan, np.inf):
        wrong = whole[:3].copy()
        wrong[1, 3] = value
        for asked, row in ((wrong, 1), (wrong[1:2], 0)):
            with pytest.raises(RowRefused) as refused:
                refusing.predict(asked.copy())
            assert (refused.value.row, refused.value.column) == (row, 3)


def test_an_encoder_that_knows_no_unknown_category_refuses_it(tmp_path: Path) -> None:
    """handle_unknown="error" is a decision of whoever made the model."""
    rows = some_rows(10)
    for i, model in enumerate((Ridge(), RandomForestRegressor(4))):
        estimator = fitted(
            make_pipeline(one_hot(handle_unknown="error"), model), rows, a_target(rows)
        )
        (tmp_path / str(i)).mkdir()
        _, opened = compiled(estimator, rows, tmp_path / str(i))
        wrong = rows[:4].copy()
        wrong[2, 6] = UNKNOWN_CATEGORY

        for asked in (wrong, wrong[2:3]):
            with pytest.raises(RowRefused, match="a category that was seen in training"):
                opened.predict(asked.copy())


def test_numbers_that_an_encoder_takes_for_categories_are_looked_up(tmp_path: Path) -> None:
    """The hour of the day is one-hot in many pipelines."""
    hours = ColumnTransformer(
        [
            ("hour", OneHotEncoder(handle_unknown="ignore"), ["hour"]),
            ("rest", "passthrough", [name for name in NUMBERS if name != "hour"]),
        ]
    )
    rows = some_rows(11)
    estimator = fitted(make_pipeline(hours, Ridge()), rows, a_target(rows))

    form, opened = compiled(estimator, rows, tmp_path)

    rows[:5, 2] = [0.5, 99, -3, 7, 23]
    assert form.form == "numpy", form.refused
    np.testing.assert_allclose(opened.predict(rows), quietly(estimator.predict, rows), rtol=1e-9)
    one = opened.predict(rows[:1].copy())
    np.testing.assert_allclose(one, quietly(estimator.predict, rows[:1]), rtol=1e-9)


def test_a_form_that_is_not_equal_is_refused_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest says what differed, on which rows, by how much."""

    def wrong(model: Any) -> Any:
        found = lower_model(model)
        assert found.weights is not None
        weights, intercept = found.weights
        return Model(found.answers, (weights * 1.001, intercept))

    monkeypatch.setattr("retrain_service.compiling.compile.lower_model", wrong)
    monkeypatch.setattr("retrain_service.compiling.lower_onnx.is_installed", lambda: False)
    rows = some_rows(12)[:, :5]
    estimator = Ridge().fit(rows, rows @ np.arange(5.0))

    form, opened = compiled(estimator, rows, tmp_path)

    assert form.form == "scikit-learn"
    assert "rows differ by up to" in form.refused["numpy"]
    assert "onnxruntime" in form.refused["onnx"]
    opened.close()


def test_what_has_no_plan_behind_a_plan_goes_to_onnx_runtime(tmp_path: Path) -> None:
    """Where the extra is installed and its answers are equal."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("skl2onnx")
    rows = some_rows(13)
    network = MLPRegressor(hidden_layer_sizes=(8,), max_iter=30, random_state=0)
    estimator = fitted(make_pipeline(one_hot(), network), rows, a_target(rows))

    form, opened = compiled(estimator, rows, tmp_path)

    assert form.form == "onnx", form.refused
    assert form.tolerance_relative is not None
    fresh = some_rows(14)
    np.testing.assert_allclose(
        opened.predict(fresh), quietly(estimator.predict, fresh), rtol=1e-5, atol=1e-4
    )


def test_a_forest_opens_where_there_is_no_room_for_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full or missing folder for temporary files must not stop a model from being served."""
    rows = np.random.default_rng(0).normal(size=(60, 5))
    forest = RandomForestRegressor(5, random_state=0).fit(rows, rows[:, 0])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "not there"))
    staged = StagedFiles(tmp_path)
    with staged.writing(MODEL_NAME) as file:
        joblib.dump(forest, file)

    form = compile_estimator(forest, rows, contract=None, staged=staged)

    assert form.form == "treelite", form.refused
    np.testing.assert_allclose(open_compiled(staged.files).predict(rows), forest.predict(rows))
