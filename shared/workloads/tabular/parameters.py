"""The parameters of a tabular model: target, time, features, estimator; checked at the start.

Imports no estimator and no code of the user's: both daemons read this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from shared.errors import SettingsInvalid
from shared.workloads.search_space import Choice

WHERE = "parameters of workload tabular"
IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")

Task = Literal["regression", "classification"]

ESTIMATORS: Mapping[str, tuple[Task, ...]] = {
    "linear": ("regression",),
    "ridge": ("regression",),
    "lasso": ("regression",),
    "elastic_net": ("regression",),
    "logistic_regression": ("classification",),
    "decision_tree": ("regression", "classification"),
    "random_forest": ("regression", "classification"),
    "extra_trees": ("regression", "classification"),
    "gradient_boosting": ("regression", "classification"),
    "hist_gradient_boosting": ("regression", "classification"),
    "knn": ("regression", "classification"),
    "mlp": ("regression", "classification"),
}
"""Names of estimators, and the tasks that each can do."""


class ColumnSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What is said of a feature instead of learning it.

    required : whether null is refused; not said: named estimators take null everywhere, one of
        your own takes it where training rows had it.
    """

    type: Literal["float64", "int64", "bool", "category", "text"] | None = None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    required: bool | None = None


class TabularParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What a tabular model can be told.

    target : column to predict
    features : columns to predict from: names, or name = {type, unit, low, high, required}
    task : "regression" (a number) or "classification" (of labels); not said: by its values
    time : column of the row's own time; empty: rows have none, their order of change counts
    time_zone : IANA name; decides which day a time belongs to, and reads times without a zone
    estimator : a name from bring-your-own-model.md, or package.module:factory of your own
    estimator_options : keyword arguments of that estimator or factory
    search_space : options of that estimator that training.tune may search, in place of the known
        ones: name = {low, high, log} or {among}
    target_unit : unit of the target, shown with every answer and error
    interval : of a regression, with this probability the target lies between low and high
    loss : by what a regression is judged: "squared", "absolute", "poisson" or "gamma"; not said:
        by what the estimator minimises
    max_categories : most frequent texts of a category column that are told apart
    """

    target: str
    features: list[str] | dict[str, ColumnSettings]
    task: Task | None = None
    time: str = ""
    time_zone: str = "UTC"
    estimator: str = "hist_gradient_boosting"
    estimator_options: dict[str, Any] = {}
    search_space: dict[str, Choice] = {}
    target_unit: str = ""
    interval: Annotated[float, msgspec.Meta(ge=0.5, le=0.99)] = 0.8
    loss: Literal["squared", "absolute", "poisson", "gamma"] | None = None
    max_categories: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000

    @property
    def columns(self) -> dict[str, ColumnSettings]:
        """Every feature in order with what is said of it."""
        if isinstance(self.features, dict):
            return self.features
        return dict.fromkeys(self.features, ColumnSettings())

    @property
    def known_task(self) -> Task | None:
        """The task that is said, or the only one that the estimator can do; None: the target's
        values say it."""
        able = ESTIMATORS.get(self.estimator, ())
        return self.task or (able[0] if len(able) == 1 else None)

    @property
    def is_own_code(self) -> bool:
        """Whether the estimator comes from a factory instead of a name."""
        return ":" in self.estimator


def check(parameters: TabularParameters) -> ZoneInfo:
    """What no type says; gives the time zone.

    Raises:
        SettingsInvalid: the first thing that is wrong.
    """
    names = list(parameters.features)
    if not parameters.target.strip():
        raise SettingsInvalid(f"{WHERE}: target: expected the name of a column, found nothing.")
    if not names:
        raise SettingsInvalid(f"{WHERE}: features: expected at least one column, found none.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SettingsInvalid(f"{WHERE}: features: {twice} stand there more than once.")
    if parameters.target in names:
        raise SettingsInvalid(
            f"{WHERE}: features: {parameters.target!r} is the target; a model that is told the"
            " answer learns nothing. Take it out of the features."
        )
    if parameters.time and parameters.time in (parameters.target, *names):
        raise SettingsInvalid(
            f"{WHERE}: time: {parameters.time!r} is a feature or the target as well; a time is no"
            " feature as it stands. Make numbers of it (hour, age in days) in a column of their"
            " own."
        )
    if parameters.loss is not None and parameters.known_task == "classification":
        raise SettingsInvalid(
            f"{WHERE}: loss: a classification is judged by the Brier score of its probabilities;"
            f" loss = {parameters.loss!r} is of a regression."
        )
    for name, column in parameters.columns.items():
        _check_column(name, column)
    for name, choice in parameters.search_space.items():
        if choice.fault is not None:
            raise SettingsInvalid(f"{WHERE}: search_space.{name}: {choice.fault}.")
    _check_estimator(parameters)
    try:
        return ZoneInfo(parameters.time_zone)
    except (KeyError, ValueError, OSError):
        raise SettingsInvalid(
            f"{WHERE}: time_zone: expected an IANA name such as Europe/Berlin,"
            f" found {parameters.time_zone!r}."
        ) from None


def _check_column(name: str, column: ColumnSettings) -> None:
    if column.low is not None and column.high is not None and column.low > column.high:
        raise SettingsInvalid(
            f"{WHERE}: features.{name}: expected low <= high, found {column.low:g} and"
            f" {column.high:g}."
        )
    if column.type in ("category", "text") and (column.low is not None or column.high is not None):
        raise SettingsInvalid(
            f"{WHERE}: features.{name}: a {column.type} has neither low nor high."
        )


def _check_estimator(parameters: TabularParameters) -> None:
    name = parameters.estimator
    if parameters.is_own_code:
        if not IMPORT_PATH.fullmatch(name):
            raise SettingsInvalid(
                f"{WHERE}: estimator: expected package.module:factory, found {name!r}."
            )
        return
    able = sorted(each for each, can in ESTIMATORS.items() if parameters.task in (None, *can))
    if name not in able:
        known = f", which cannot do {parameters.task}" if name in ESTIMATORS else ""
        raise SettingsInvalid(
            f"{WHERE}: estimator: expected one of {', '.join(able)} or package.module:factory,"
            f" found {name!r}{known}."
        )
