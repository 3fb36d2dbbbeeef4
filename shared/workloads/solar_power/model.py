"""Make the estimators of solar power with their default options.

scikit-learn is imported when one is made, never before: only a training process makes one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.errors import SettingsInvalid

# -1 threads are as many as the run may have: the engine sets LOKY_MAX_CPU_COUNT.
_FOREST = {"n_estimators": 100, "min_samples_leaf": 5, "max_features": 0.5, "n_jobs": -1}
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "random_forest": _FOREST,
    "extra_trees": _FOREST,
    "hist_gradient_boosting": {"max_iter": 100, "learning_rate": 0.08, "min_samples_leaf": 20},
    "ridge": {"alpha": 1.0},
}


def make_estimator(name: str, options: Mapping[str, Any], seed: int) -> Any:
    """A new estimator that takes NaN for a silent sensor; same data and seed, same fit.

    Raises:
        SettingsInvalid: it does not know one of the options.
    """
    wanted = {**_OPTIONS[name], "random_state": seed, **options}
    try:
        return _make(name, wanted)
    except TypeError as error:
        raise SettingsInvalid(
            f"parameters of workload solar_power: estimator_options of {name}: {error}."
        ) from None


def _make(name: str, options: Mapping[str, Any]) -> Any:
    if name == "random_forest":
        from sklearn.ensemble import RandomForestRegressor

        return RandomForestRegressor(**options)
    if name == "extra_trees":
        from sklearn.ensemble import ExtraTreesRegressor

        return ExtraTreesRegressor(**options)
    if name == "hist_gradient_boosting":
        from sklearn.ensemble import HistGradientBoostingRegressor

        return HistGradientBoostingRegressor(**options)
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        StandardScaler(),
        Ridge(**options),
    )
