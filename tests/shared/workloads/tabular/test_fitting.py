"""Columns are called as people call them, and each estimator is fitted all the same."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shared.errors import SettingsInvalid
from shared.workloads.tabular.fitting import fit_any_names
from shared.workloads.tabular.workload import Tabular
from tests.shared.workloads.tabular.flats import PARAMETERS, flats, no_progress, table

FRAME = pd.DataFrame(
    np.random.default_rng(1).normal(size=(80, 3)), columns=["net <€> [1]", 'a:{"b"}', "a b"]
)
TARGET = FRAME.sum(axis=1).to_numpy()
XGB = xgboost.XGBRegressor(n_estimators=3)
LGBM = lightgbm.LGBMRegressor(n_estimators=3, verbose=-1)
BY_NAME = ColumnTransformer(
    [("scaled", StandardScaler(), ["net <€> [1]"])],
    remainder="passthrough",
    verbose_feature_names_out=False,
).set_output(transform="pandas")


@pytest.mark.parametrize("model", [XGB, LGBM], ids=["XGBoost", "LightGBM"])
@pytest.mark.parametrize(
    "around",
    [
        lambda model: model,
        lambda model: make_pipeline(BY_NAME, model),
        lambda model: GridSearchCV(
            make_pipeline(BY_NAME, model), {f"{type(model).__name__.lower()}__max_depth": [2]}
        ),
    ],
    ids=["alone", "in a pipeline", "in a search"],
)
def test_any_name_of_a_column_will_do(model: Any, around: Any) -> None:
    """XGBoost refuses [ and <, LightGBM what JSON is written with: both mid-training."""
    fitted = fit_any_names(around(model), lambda each: each.fit(FRAME, TARGET))

    assert fitted.predict(FRAME).shape == (80,)


def test_what_is_wrong_otherwise_is_told_as_it_was() -> None:
    with pytest.raises(ValueError, match="NaN"):
        fit_any_names(Ridge(), lambda each: each.fit(FRAME * np.nan, TARGET))


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("rent", ["ridge", 'ridge{"alpha":1000.0}', "ridge + knn"]),
        ("is_dear", ["logistic_regression", 'logistic_regression{"C":0.001}']),
        ("is_dear", ["decision_tree", "decision_tree + logistic_regression"]),
    ],
)
def test_the_name_of_a_candidate_says_how_it_is_fitted(target: str, names: list[str]) -> None:
    """A refit has nothing but the name; what it fits has to be what was judged."""
    workload = Tabular({**PARAMETERS, "target": target, "estimator": names[0]})
    train, holdout = workload.split(workload.training_set({"records": table(flats(300))}))
    default = workload.fit(train, 0, no_progress)

    for name in names:
        fitted = workload.fit_candidate(name, train, 0, no_progress)
        asked = "predict" if target == "rent" else "predict_proba"
        answers = [getattr(each, asked)(holdout.features) for each in (fitted, default)]
        assert np.array_equal(*answers) is (name == names[0])
        assert np.isfinite(workload.score(fitted, holdout).loss).all()
    with pytest.raises(SettingsInvalid, match="no candidate 'nonsense'"):
        workload.fit_candidate("nonsense", train, 0, no_progress)
