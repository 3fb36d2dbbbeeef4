"""The models of the comparison: ordinary scikit-learn pipelines over ten numbers and two texts.

Hotfit trains them through its tabular workload as anybody's own; the other servers get the same
fitted pipeline from a file. Needs only scikit-learn, NumPy and pandas, which all of them have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

NUMBERS = tuple(f"x{i}" for i in range(10))
TEXTS = {"site": ("north", "south", "east", "west"), "kind": ("a", "b", "c", "d", "e", "f")}
BARE = tuple(f"x{i}" for i in range(12))
TARGET = "y"


def columns_of(model: str) -> tuple[str, ...]:
    """The feature columns of a model: `bare` takes twelve numbers, the others two texts as well."""
    return BARE if model == "bare" else (*NUMBERS, *TEXTS)


def make_rows(model: str, n_rows: int, seed: int) -> list[dict[str, Any]]:
    """Rows with their target, the same for the same seed; a sensor is silent in one of 50."""
    import numpy as np

    random = np.random.default_rng(seed)
    x = random.normal(size=(n_rows, len(BARE)))
    site = random.integers(len(TEXTS["site"]), size=n_rows)
    kind = random.integers(len(TEXTS["kind"]), size=n_rows)
    y = x[:, 0] * 3 + np.sin(x[:, 1]) * 2 + x[:, 2] * x[:, 3] + site - 0.5 * kind
    y += random.normal(scale=0.3, size=n_rows)
    rows = []
    for i in range(n_rows):
        row: dict[str, Any] = {
            name: round(float(x[i, j]), 6)
            for j, name in enumerate(columns_of(model)[:12])
            if name.startswith("x")
        }
        if model != "bare":
            row["site"], row["kind"] = TEXTS["site"][site[i]], TEXTS["kind"][kind[i]]
        row[TARGET] = round(float(y[i]), 6)
        rows.append(row)
    return rows


def ridge() -> Any:
    """Scaled numbers and one-hot texts into a ridge regression."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), list(NUMBERS)),
            ("texts", OneHotEncoder(handle_unknown="ignore"), list(TEXTS)),
        ]
    )
    return make_pipeline(columns, Ridge())


def forest() -> Any:
    """A hundred trees, ordinal texts; one thread at prediction, which is fastest for one row."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.pipeline import make_pipeline

    return make_pipeline(
        _ordinal(), RandomForestRegressor(n_estimators=100, min_samples_leaf=5, random_state=0)
    )


def boosting() -> Any:
    """Histogram gradient boosting as it comes."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.pipeline import make_pipeline

    return make_pipeline(_ordinal(), HistGradientBoostingRegressor(random_state=0))


def bare() -> Any:
    """A ridge regression on twelve numbers: no columns, no frame."""
    from sklearn.linear_model import Ridge

    return Ridge()


def _ordinal() -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OrdinalEncoder

    texts = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return ColumnTransformer(
        [("numbers", "passthrough", list(NUMBERS)), ("texts", texts, list(TEXTS))]
    )


MODELS: dict[str, Callable[[], Any]] = {
    "ridge": ridge,
    "forest": forest,
    "boosting": boosting,
    "bare": bare,
}
