"""Estimators of the user's own: found, called, refused with a reason, and told apart by version."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.errors import SettingsInvalid
from shared.workloads.tabular.estimator_factory import make_own, own_version
from shared.workloads.tabular.workload import Tabular
from tests.shared.workloads.tabular.flats import PARAMETERS, flats, no_progress, tables

CODE = """
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

def ridge(alpha=1.0, seed=None, unknown="ignore"):
    columns = make_column_transformer(
        ("passthrough", ["rooms", "furnished"]),
        (OneHotEncoder(handle_unknown=unknown), ["district"]),
    )
    return make_pipeline(columns, Ridge(alpha=alpha, random_state=seed))

def numbers_only():
    return make_pipeline(Ridge())

def classifier():
    return make_pipeline(make_column_transformer(("passthrough", ["rooms"])), LogisticRegression())

def a_class():
    return Ridge

def nothing():
    pass

def broken():
    return 1 / 0

VALUE = 3
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path with the package `own_models`."""
    folder = tmp_path / "own_models"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "pipelines.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.startswith("own_models")]:
        del sys.modules[name]


def train(estimator: str, **parameters: Any) -> Any:
    workload = Tabular(
        {**PARAMETERS, "estimator": f"own_models.pipelines:{estimator}"} | parameters
    )
    rows = workload.training_set(tables(flats(120)))
    return workload.fit(workload.split(rows)[0], 7, no_progress)


def test_a_factory_is_called_with_its_options_and_the_seed(package: Path) -> None:
    """The same rows and seed give the same estimator, also of one's own."""
    fitted = train("ridge", estimator_options={"alpha": 0.25})

    ridge = fitted.pipeline[-1]
    assert (ridge.alpha, ridge.random_state) == (0.25, 7)


def test_an_estimator_class_is_a_factory_too() -> None:
    """Whoever wants one that has no name here need not write a line."""
    lasso = make_own("sklearn.linear_model:Lasso", {"alpha": 0.5}, 3)

    assert (lasso.alpha, lasso.random_state) == (0.5, 3)


@pytest.mark.parametrize(
    ("estimator", "parameters", "said"),
    [
        ("missing", {}, "missing is not there in own_models.pipelines"),
        ("VALUE", {}, "VALUE is not callable"),
        ("a_class", {}, "found the class Ridge; call it"),
        ("nothing", {}, "found None; is a return missing"),
        ("broken", {}, "failed: ZeroDivisionError: division by zero"),
        ("ridge", {"estimator_options": {"beta": 1}}, r"called with \['beta', 'seed'\] failed"),
        ("numbers_only", {}, "cannot be fitted to these rows: ValueError"),
        ("ridge", {"estimator_options": {"unknown": "error"}}, "a district that it has not seen"),
        ("classifier", {"task": "regression"}, "cannot be fitted|gives a classifier"),
        ("ridge", {"task": "classification", "target": "is_dear"}, "cannot be fitted|regressor"),
    ],
)
def test_what_is_no_estimator_is_refused_with_a_reason(
    package: Path, estimator: str, parameters: dict[str, Any], said: str
) -> None:
    """The mistakes of the first day, each as a sentence in the run instead of a traceback."""
    with pytest.raises(SettingsInvalid, match=said):
        train(estimator, **parameters)


def test_a_package_that_is_not_there_says_where_it_was_looked_for() -> None:
    """Most often PYTHONPATH is set in a terminal and not for the daemons."""
    workload = Tabular({**PARAMETERS, "estimator": "no_such_package.module:make"})
    rows = workload.training_set(tables(flats(120)))

    with pytest.raises(SettingsInvalid, match=r"cannot be imported.*PYTHONPATH"):
        workload.fit(rows, 0, no_progress)
    assert workload.libraries() == {}


def test_changed_code_is_another_version_and_looking_runs_none_of_it(package: Path) -> None:
    """The environment trigger retrains when the code of a factory changes, as for a library."""
    before = own_version("own_models.pipelines:ridge")
    (package / "helpers.py").write_text("raise SystemExit('this must not be run')")
    after = own_version("own_models.pipelines:ridge")

    assert before.keys() == after.keys() == {"own_models"}
    assert before != after
    assert before["own_models"].startswith("0.0+"), "one generation: no change of contract"
    assert "own_models" not in sys.modules


def test_an_installed_package_has_the_version_of_its_distribution() -> None:
    """Its files need not be read: the installer knows."""
    assert own_version("joblib.parallel:Parallel").keys() == {"joblib"}
    assert not own_version("joblib.parallel:Parallel")["joblib"].startswith("0.0+")
