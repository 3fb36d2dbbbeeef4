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

from shared.workloads.tabular.plain_names import fit_any_names

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
