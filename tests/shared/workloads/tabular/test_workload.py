"""A tabular model: fitted, scored against others, stored, opened, asked."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from shared.errors import ContractMismatch, LoadFailed, RequestInvalid, SettingsInvalid
from shared.workloads.check import check_workload
from shared.workloads.contract import Answerer
from shared.workloads.losses import Loss
from shared.workloads.rows import FeatureSpec
from shared.workloads.tabular.model import TabularEstimator
from shared.workloads.tabular.parameters import ESTIMATORS
from shared.workloads.tabular.workload import Tabular
from shared.workloads.training import TrainingSet
from tests.shared.workloads.tabular.flats import PARAMETERS, flats, no_progress, tables

NOW = datetime(2026, 12, 1, tzinfo=UTC)
CLASSES: Mapping[str, Any] = {
    **PARAMETERS,
    "target": "is_dear",
    "task": "classification",
    "estimator": "logistic_regression",
    "target_unit": "",
}
FLAT = {"area": 60.0, "rooms": 3, "district": "centre", "furnished": False}


class Fitted:
    """A model of flats with its rows."""

    def __init__(self, parameters: Mapping[str, Any], n: int = 200, **changes: Any) -> None:
        self.workload = Tabular({**parameters, **changes})
        self.rows = self.workload.training_set(tables(flats(n)))
        self.train, self.holdout = self.workload.split(self.rows)
        self.estimator: TabularEstimator = self.workload.fit(self.train, 1, no_progress)

    @property
    def answerer(self) -> Answerer:
        return self.workload.open(self.estimator, self.workload.state(self.rows))

    def ask(self, *rows: dict[str, Any]) -> dict[str, Any]:
        return self.answerer.answer("predict", {"instances": list(rows)}, NOW)


@pytest.fixture(scope="module")
def rents() -> Fitted:
    return Fitted(PARAMETERS)


@pytest.fixture(scope="module")
def dear() -> Fitted:
    return Fitted(CLASSES)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        (name, task)
        for name, tasks in ESTIMATORS.items()
        for task in tasks
        if (name, task) not in {("ridge", "regression"), ("mlp", "regression")}
    ],
)
def test_every_name_keeps_the_contract_and_beats_the_baseline(name: str, task: str) -> None:
    """Numbers with gaps, bools and texts go into each of them, with nothing to prepare."""
    small = {"n_estimators": 15} if "forest" in name or name == "extra_trees" else {}
    base = PARAMETERS if task == "regression" else CLASSES
    workload = Tabular({**base, "estimator": name, "estimator_options": small})
    records = tables(flats(200))

    assert check_workload(workload, records) == []
    train, holdout = workload.split(workload.training_set(records))
    score = workload.score(workload.fit(train, 1, no_progress), holdout)
    assert score.loss.mean() < workload.score_baseline(holdout).loss.mean()


def test_a_regression_answers_numbers_in_the_unit_of_its_target(rents: Fitted) -> None:
    """An unknown district and a silent area are answered, too."""
    answer = rents.ask(FLAT, {**FLAT, "district": "new"}, {**FLAT, "area": None})

    assert answer["unit"] == "EUR"
    assert 1250 < answer["predictions"][0] < 1500, "900 + 8 EUR/m² times 60 m²"
    assert all(500 < number < 2000 for number in answer["predictions"])


def test_a_classification_answers_labels_with_the_probability_of_each(dear: Fitted) -> None:
    """Whoever decides by a threshold of their own needs more than the label."""
    answer = dear.ask({**FLAT, "area": 119}, {**FLAT, "area": 21, "district": "north"})

    assert answer["predictions"] == ["dear", "cheap"]
    assert answer["classes"] == ["cheap", "dear"]
    assert [round(sum(row), 9) for row in answer["probabilities"]] == [1.0, 1.0]
    assert answer["probabilities"][0][1] > 0.9


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**FLAT, "district": 3}, r"instances\[0\].district: expected a text or null, found 3"),
        ({**FLAT, "area": "60"}, r"instances\[0\].area: expected a number or null, found '60'"),
        ({"area": 60}, "missing"),
    ],
)
def test_a_row_that_is_none_is_refused_by_name(rents: Fitted, row: Any, said: str) -> None:
    """The client's developer reads what to change."""
    with pytest.raises(RequestInvalid, match=said):
        rents.ask(row)


def test_null_is_refused_where_it_is_said_to_be() -> None:
    """A price without an area may be worse than no price."""
    features = {"area": {"required": True}, "district": {"required": True}, "rooms": {}}
    model = Fitted(PARAMETERS, features=features)
    row = {"area": 60, "district": "hill", "rooms": None}

    assert len(model.ask(row)["predictions"]) == 1
    with pytest.raises(RequestInvalid, match="area: expected a finite number, found None"):
        model.ask({**row, "area": None})
    with pytest.raises(RequestInvalid, match="district: expected a text, found None"):
        model.ask({**row, "district": None})


def test_versions_with_other_texts_are_compared_by_text_not_by_code(rents: Fitted) -> None:
    """A new district moves the codes of all that follow; the champion must not pay for that."""
    more = [{**flat, "district": "a new one"} for flat in flats(20, seed=5)]
    later = rents.workload.training_set(tables([*more, *flats(200)]))
    same = later.where(later.features[:, 2] != 0)

    before = rents.workload.score(rents.estimator, rents.rows)
    after = rents.workload.score(rents.estimator, same)

    assert not np.array_equal(rents.rows.features[:, 2], same.features[:, 2])
    np.testing.assert_allclose(np.sort(before.loss), np.sort(after.loss))


def test_a_champion_that_does_not_know_a_class_is_scored_all_the_same(dear: Fitted) -> None:
    """A new label must not leave the gates without a champion."""
    documents = [{**flat, "is_dear": "free"} for flat in flats(3, seed=9)] + flats(200)
    later = dear.workload.training_set(tables(documents))

    score = dear.workload.score(dear.estimator, later)

    is_new = later.slices == "free"
    assert is_new.sum() == 3
    assert (score.loss[is_new] > 1).all(), "certain of something else"
    assert score.loss[~is_new].mean() < 0.3
    assert set(score.metrics) == {"brier", "accuracy", "f1", "log_loss", "roc_auc"}


def test_metrics_of_a_classifier_are_those_of_scikit_learn(dear: Fitted) -> None:
    """Computed here so that a label the model does not know has a place; equal where all do."""
    from sklearn import metrics

    score = dear.workload.score(dear.estimator, dear.holdout)
    truth = dear.holdout.slices
    answered = dear.estimator.predict(dear.holdout.features)
    probabilities = dear.estimator.predict_proba(dear.holdout.features)

    expected = {
        "brier": 2 * metrics.brier_score_loss(truth == "dear", probabilities[:, 1]),
        "accuracy": metrics.accuracy_score(truth, answered),
        "f1": metrics.f1_score(truth, answered, average="macro"),
        "log_loss": metrics.log_loss(truth, probabilities),
        "roc_auc": metrics.roc_auc_score(truth == "dear", probabilities[:, 1]),
    }
    assert score.metrics == pytest.approx(expected)


def test_the_baseline_knows_only_what_is_older_than_the_holdout(rents: Fitted) -> None:
    """The mean of the future would be a guess that nobody could have made."""
    scored = rents.workload.score_baseline(rents.holdout)

    assert scored.prediction is not None
    np.testing.assert_allclose(scored.prediction, rents.train.target.mean())


def test_one_class_alone_cannot_be_learnt() -> None:
    """Nobody has left yet: the run says so instead of serving a model that always says no."""
    documents = [{**flat, "is_dear": "cheap"} for flat in flats(100)]
    workload = Tabular(CLASSES)
    train, _ = workload.split(workload.training_set(tables(documents)))

    with pytest.raises(SettingsInvalid, match="holds only 'cheap' in all 63 rows"):
        workload.fit(train, 0, no_progress)


def test_an_option_that_the_estimator_does_not_know_is_named() -> None:
    """A typo in the configuration."""
    workload = Tabular({**PARAMETERS, "estimator_options": {"alhpa": 1}})
    rows = workload.training_set(tables(flats(100)))

    with pytest.raises(SettingsInvalid, match=r"estimator_options of ridge: .*alhpa"):
        workload.fit(rows, 0, no_progress)


def test_the_contract_of_a_version_is_what_was_learnt(rents: Fitted) -> None:
    """The configuration names columns; what they hold is in the version, and may be any."""
    found = rents.workload.features_of(rents.train)

    assert [(spec.name, spec.dtype) for spec in found] == [
        ("area", "float64"),
        ("rooms", "int64"),
        ("district", "category"),
        ("furnished", "bool"),
    ]
    rents.workload.check_contract(found)
    said = Tabular({**PARAMETERS, "features": {"rooms": {"type": "float64"}, "area": {}}})
    turned = (FeatureSpec("area", "int64", ""), FeatureSpec("rooms", "float64", ""))
    said.check_contract(turned)
    with pytest.raises(ContractMismatch, match="rooms is int64, expected float64"):
        said.check_contract((FeatureSpec("area", "int64", ""), FeatureSpec("rooms", "int64", "")))
    with pytest.raises(ContractMismatch, match="unexpected"):
        said.check_contract(found)


def test_a_state_of_another_format_is_refused(rents: Fitted) -> None:
    """A release must not answer from what it misreads."""
    state = rents.workload.state(rents.rows)["state.json"].replace(b'"format":1', b'"format":9')

    with pytest.raises(LoadFailed, match="expected format 1, found 9"):
        rents.workload.open(rents.estimator, {"state.json": state})
    with pytest.raises(LoadFailed, match=r"missing state\.json"):
        rents.workload.open(rents.estimator, {})


def test_the_frame_of_a_pipeline_is_what_the_documentation_says(rents: Fitted) -> None:
    """Whoever writes a pipeline relies on names, types and how a gap looks."""
    frame = rents.estimator.frame(np.array([[np.nan, 2, 1, 1], [50.0, 3, -1, np.nan]]))

    assert list(frame.columns) == ["area", "rooms", "district", "furnished"]
    assert [str(dtype) for dtype in frame.dtypes] == ["float64", "float64", "object", "float64"]
    assert frame["district"].tolist() == ["harbour", "\ufffdunknown"]
    assert frame["area"].isna().tolist() == [True, False]


def test_the_api_needs_neither_pandas_nor_scikit_learn_to_answer() -> None:
    """They cost every worker a second and a hundred megabytes."""
    code = """
import sys
from shared.workloads import open_workload
open_workload("tabular", {"target": "y", "features": ["x"], "estimator": "own.code:make"})
heavy = {"pandas", "sklearn", "scipy", "joblib", "own"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_rows_of_a_day_are_never_on_both_sides(rents: Fitted) -> None:
    """They go wrong together; a model that has seen the morning knows the evening."""

    def days(rows: TrainingSet) -> set[str]:
        return {str(day) for day in rows.day}

    assert not days(rents.train) & days(rents.holdout)
    assert 0.15 < rents.holdout.n_rows / rents.rows.n_rows < 0.25


def _with_errors(fitted: Fitted) -> Answerer:
    score = fitted.workload.score(fitted.estimator, fitted.holdout)
    errors = fitted.workload.state_of_errors(fitted.holdout, score)
    state = {**fitted.workload.state(fitted.rows), **errors}
    return fitted.workload.open(fitted.estimator, state)


def test_a_regression_answers_with_bounds_and_says_how_sure_they_are(
    rents: Fitted, dear: Fitted
) -> None:
    """A rent without a range invites to trust it to the cent; labels have probabilities."""
    answer = _with_errors(rents).answer("predict", {"instances": [FLAT, FLAT]}, NOW)

    assert answer["interval"] == 0.8
    assert answer["low"][0] < answer["predictions"][0] < answer["high"][0]
    assert 50 < answer["high"][0] - answer["low"][0] < 200, "noise of 30 EUR: 77 wide"
    assert _with_errors(dear).answer("predict", {"instances": [FLAT]}, NOW).keys() == {
        "predictions",
        "probabilities",
        "classes",
    }
    assert "low" not in rents.ask(FLAT), "a version of an earlier release has learnt none"


@pytest.mark.parametrize(
    ("estimator", "options", "expected"),
    [
        ("ridge", {}, Loss("squared")),
        ("hist_gradient_boosting", {}, Loss("squared")),
        ("hist_gradient_boosting", {"loss": "absolute_error"}, Loss("absolute")),
        ("hist_gradient_boosting", {"loss": "quantile", "quantile": 0.9}, Loss("quantile", 0.9)),
        ("gradient_boosting", {"loss": "huber"}, Loss("absolute")),
        ("random_forest", {"criterion": "poisson"}, Loss("poisson")),
        ("hist_gradient_boosting", {"loss": "gamma"}, Loss("gamma")),
        ("sklearn.svm:SVR", {}, Loss("absolute")),
        ("sklearn.linear_model:PoissonRegressor", {}, Loss("poisson")),
        ("sklearn.linear_model:TweedieRegressor", {"power": 2}, Loss("gamma")),
        ("sklearn.linear_model:QuantileRegressor", {"quantile": 0.25}, Loss("quantile", 0.25)),
    ],
)
def test_answers_are_judged_by_the_loss_that_is_fitted(
    estimator: str, options: dict[str, Any], expected: Loss
) -> None:
    """A mean that is judged by a loss of the median loses to a worse model."""
    workload = Tabular({**PARAMETERS, "estimator": estimator, "estimator_options": options})

    assert workload._loss == expected
    assert Tabular({**PARAMETERS, "loss": "absolute"})._loss == Loss("absolute")
    with pytest.raises(SettingsInvalid, match="loss: a classification"):
        Tabular({**CLASSES, "loss": "absolute"})


@pytest.mark.parametrize("name", ["squared", "absolute", "quantile", "poisson", "gamma"])
def test_a_loss_prefers_what_minimises_it(name: Any) -> None:
    """Zero for what is right, and of all constants the least for its own."""
    loss, dice = Loss(name, 0.9 if name == "quantile" else 0.5), np.random.default_rng(0)
    target = dice.exponential(10.0, 2000) + 0.1
    best = loss.best_constant(target)

    def of(constant: float) -> float:
        return float(loss.of_rows(np.full(2000, constant), target).mean())

    assert loss.of_rows(target, target).max() < 1e-12
    assert of(best) < min(of(best * 0.9), of(best * 1.1), of(-1.0))
