"""Make an estimator by its name, behind the preprocessing that it needs.

scikit-learn is imported when one is made, never before: only a training process makes one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from shared.errors import SettingsInvalid
from shared.workloads.losses import Loss
from shared.workloads.search_space import Choice, options_of
from shared.workloads.tabular.columns import Column
from shared.workloads.tabular.estimator_factory import make_own
from shared.workloads.tabular.evaluation import loss_of
from shared.workloads.tabular.parameters import ESTIMATORS, WHERE, TabularParameters

Maker = Callable[..., Any]

# -1 threads are as many as the run may have: the engine sets LOKY_MAX_CPU_COUNT.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "logistic_regression": {"max_iter": 1000},
    "random_forest": {"n_estimators": 100, "min_samples_leaf": 3, "n_jobs": -1},
    "extra_trees": {"n_estimators": 100, "min_samples_leaf": 3, "n_jobs": -1},
    "knn": {"n_neighbors": 10},
    "mlp": {"hidden_layer_sizes": (64, 32), "max_iter": 500, "early_stopping": True},
}
_NO_SEED = {"linear", "knn"}
_SCALED = {"linear", "ridge", "lasso", "elastic_net", "logistic_regression", "knn", "mlp"}
_NEEDS_NUMBERS = {"gradient_boosting"}
# Between what is usually worth trying; an option that the user has set is not searched.
_SPACES: Mapping[str, Mapping[str, Choice]] = {
    "ridge": {"alpha": Choice(low=1e-3, high=1e3, log=True)},
    "lasso": {"alpha": Choice(low=1e-4, high=10.0, log=True)},
    "elastic_net": {
        "alpha": Choice(low=1e-4, high=10.0, log=True),
        "l1_ratio": Choice(low=0.05, high=1.0),
    },
    "logistic_regression": {"C": Choice(low=1e-3, high=1e3, log=True)},
    "decision_tree": {
        "max_depth": Choice(low=2, high=20),
        "min_samples_leaf": Choice(low=1, high=100, log=True),
    },
    "random_forest": {
        "min_samples_leaf": Choice(low=1, high=30, log=True),
        "max_features": Choice(low=0.2, high=1.0),
    },
    "extra_trees": {
        "min_samples_leaf": Choice(low=1, high=30, log=True),
        "max_features": Choice(low=0.2, high=1.0),
    },
    "gradient_boosting": {
        "learning_rate": Choice(low=0.02, high=0.3, log=True),
        "n_estimators": Choice(low=50, high=500, log=True),
        "max_depth": Choice(low=2, high=6),
        "subsample": Choice(low=0.5, high=1.0),
    },
    "hist_gradient_boosting": {
        "learning_rate": Choice(low=0.02, high=0.3, log=True),
        "max_iter": Choice(low=50, high=500, log=True),
        "max_leaf_nodes": Choice(low=4, high=127, log=True),
        "min_samples_leaf": Choice(low=5, high=100, log=True),
        "l2_regularization": Choice(low=1e-3, high=30.0, log=True),
    },
    "knn": {
        "n_neighbors": Choice(low=1, high=60, log=True),
        "weights": Choice(among=["uniform", "distance"]),
    },
    "mlp": {
        "alpha": Choice(low=1e-6, high=0.1, log=True),
        "learning_rate_init": Choice(low=1e-4, high=1e-2, log=True),
    },
}
_PIECES_OF_SUMS, _PIECES_OF_TREES = 2000, 300
"""Columns that a text gives."""


def search_space_of(parameters: TabularParameters, name: str) -> Mapping[str, Choice]:
    """What may be searched of an estimator: what the user says of the configured one, else what is
    known of its name, without the options that are set."""
    is_own = name == parameters.estimator
    if is_own and parameters.search_space:
        return parameters.search_space
    fixed = parameters.estimator_options if is_own else {}
    known = _SPACES.get(name, {})
    return {option: choice for option, choice in known.items() if option not in fixed}


def make_mean(task: str, pipelines: Sequence[Any]) -> Any:
    """The mean of pipelines, of a classification that of their probabilities; not fitted yet."""
    from sklearn.ensemble import VotingClassifier, VotingRegressor

    parts = [(f"part_{i}", pipeline) for i, pipeline in enumerate(pipelines)]
    return (
        VotingRegressor(parts) if task == "regression" else VotingClassifier(parts, voting="soft")
    )


def candidate_parameters(parameters: TabularParameters, name: str) -> TabularParameters:
    """The parameters with a candidate's estimator and options in place of the configured ones.

    Raises:
        SettingsInvalid: no estimator has this name.
    """
    base, options = options_of(name)
    if base == "default":  # as workloads with one candidate call it
        base = parameters.estimator
    if base not in (parameters.estimator, *ESTIMATORS):
        raise SettingsInvalid(f"{WHERE}: no candidate {base!r}; known: {', '.join(ESTIMATORS)}.")
    fixed = parameters.estimator_options if base == parameters.estimator else {}
    return msgspec.structs.replace(
        parameters, estimator=base, estimator_options={**fixed, **options}
    )


def make_pipeline(parameters: TabularParameters, columns: Sequence[Column], seed: int) -> Any:
    """An estimator that was not fitted yet and takes a DataFrame of these columns.

    Whatever in it is left to chance gets the seed.

    Raises:
        SettingsInvalid: unknown options, or a factory that gives no estimator.
    """
    if parameters.is_own_code:
        pipeline = make_own(parameters.estimator, parameters.estimator_options, seed)
        _seed_all(pipeline, seed)
        return pipeline
    return _make_named(parameters, columns, seed)


def loss_of_estimator(parameters: TabularParameters) -> Loss:
    """What the configured estimator of a regression minimises.

    Raises:
        SettingsInvalid: as `make_pipeline`.
    """
    if parameters.is_own_code:
        return loss_of(make_own(parameters.estimator, parameters.estimator_options, 0))
    return loss_of(_estimator(msgspec.structs.replace(parameters, task="regression"), 0))


def make_baseline(task: str, columns: Sequence[Column]) -> Any:
    """The naive baseline, not fitted yet: a tree that may not split, behind the usual columns."""
    from sklearn.pipeline import Pipeline
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    if any(column.dtype == "text" for column in columns):
        from sklearn.dummy import DummyClassifier, DummyRegressor  # what has texts has no form

        return DummyRegressor() if task == "regression" else DummyClassifier(strategy="prior")
    never = {"min_impurity_decrease": 1e300, "random_state": 0}
    naive = (
        DecisionTreeRegressor(max_features=1, max_depth=1, **never)
        if task == "regression"
        else DecisionTreeClassifier(max_features=1, max_depth=1, **never)
    )
    name = "decision_tree"
    return Pipeline([("columns", _preprocessing(name, columns)), ("estimator", naive)])


def use_one_thread(pipeline: Any) -> None:
    """To answer a row, threads cost more than they save."""
    _set_where(pipeline, "n_jobs", lambda value: value is not None, 1)


def _seed_all(pipeline: Any, seed: int) -> None:
    _set_where(pipeline, "random_state", lambda value: value is None, seed)


def _set_where(pipeline: Any, ending: str, is_meant: Callable[[Any], bool], wanted: Any) -> None:
    if not (hasattr(pipeline, "get_params") and hasattr(pipeline, "set_params")):
        return
    found = {
        name: wanted
        for name, value in pipeline.get_params(deep=True).items()
        if name.rpartition("__")[2] == ending and is_meant(value)
    }
    if found:
        pipeline.set_params(**found)


def _make_named(parameters: TabularParameters, columns: Sequence[Column], seed: int) -> Any:
    from sklearn.pipeline import Pipeline

    before = _preprocessing(parameters.estimator, columns)
    return Pipeline([("columns", before), ("estimator", _estimator(parameters, seed))])


def _estimator(parameters: TabularParameters, seed: int) -> Any:
    name = parameters.estimator
    options = {**_DEFAULTS.get(name, {}), **parameters.estimator_options}
    if name not in _NO_SEED:
        options = {"random_state": seed, **options}
    try:
        return _maker(name, str(parameters.task))(**options)
    except TypeError as error:
        raise SettingsInvalid(f"{WHERE}: estimator_options of {name}: {error}.") from None


def _preprocessing(name: str, columns: Sequence[Column]) -> Any:
    """Numbers scaled or as they are; categories one by one for what adds up, else numbered; of
    texts how often pieces of words stand in them, which needs to know no language.

    Trees split a numbered category in two as often as they like, at the price of one column.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    numbers: Any = "passthrough"
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    if name in _SCALED:
        numbers = Pipeline([("impute", imputer), ("scale", StandardScaler())])
        categories: Any = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    else:
        if name in _NEEDS_NUMBERS:
            numbers = imputer
        categories = OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
        )
    told_apart = [column.name for column in columns if column.dtype == "category"]
    written = [column.name for column in columns if column.dtype == "text"]
    named = [column.name for column in columns if column.name not in {*told_apart, *written}]
    parts = [("numbers", numbers, named), ("categories", categories, told_apart)]
    n_pieces = _PIECES_OF_SUMS if name in _SCALED else _PIECES_OF_TREES
    of_texts = [(f"text {i}", _pieces(n_pieces), text) for i, text in enumerate(written)]
    found = [part for part in parts if part[2]]
    return ColumnTransformer([*found, *of_texts], sparse_threshold=0.0)


def _pieces(n_most: int) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        analyzer="char_wb", ngram_range=(1, 4), max_features=n_most, sublinear_tf=True
    )


def _maker(name: str, task: str) -> Maker:
    from sklearn import ensemble, linear_model, neighbors, neural_network, tree

    regression: Mapping[str, Maker] = {
        "linear": linear_model.LinearRegression,
        "ridge": linear_model.Ridge,
        "lasso": linear_model.Lasso,
        "elastic_net": linear_model.ElasticNet,
        "decision_tree": tree.DecisionTreeRegressor,
        "random_forest": ensemble.RandomForestRegressor,
        "extra_trees": ensemble.ExtraTreesRegressor,
        "gradient_boosting": ensemble.GradientBoostingRegressor,
        "hist_gradient_boosting": ensemble.HistGradientBoostingRegressor,
        "knn": neighbors.KNeighborsRegressor,
        "mlp": neural_network.MLPRegressor,
    }
    classification: Mapping[str, Maker] = {
        "logistic_regression": linear_model.LogisticRegression,
        "decision_tree": tree.DecisionTreeClassifier,
        "random_forest": ensemble.RandomForestClassifier,
        "extra_trees": ensemble.ExtraTreesClassifier,
        "gradient_boosting": ensemble.GradientBoostingClassifier,
        "hist_gradient_boosting": ensemble.HistGradientBoostingClassifier,
        "knn": neighbors.KNeighborsClassifier,
        "mlp": neural_network.MLPClassifier,
    }
    return (regression if task == "regression" else classification)[name]
