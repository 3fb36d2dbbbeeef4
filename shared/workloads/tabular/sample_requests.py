"""Make requests as clients send them: for a first try of an estimator, and for golden answers.

Knows no protocol; asks an estimator only to see whether it answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shared.errors import SettingsInvalid
from shared.workloads.rows import UNKNOWN_CATEGORY
from shared.workloads.tabular.columns import Column
from shared.workloads.tabular.model import UNKNOWN_TEXT, TabularEstimator
from shared.workloads.tabular.parameters import WHERE, TabularParameters
from shared.workloads.tabular.rows import TrainingContext
from shared.workloads.text_rows import texts_in
from shared.workloads.training import GoldenRequest, TrainingSet

_N_GOLDEN_ROWS = 20
_MOST_GOLDEN_NULLS = 10


def golden_requests(rows: TrainingSet) -> Sequence[GoldenRequest]:
    """Rows from all times, then one with unknown categories, and nulls where they may be."""
    context: TrainingContext = rows.context
    columns = context.columns
    chosen = np.linspace(0, rows.n_rows - 1, min(_N_GOLDEN_ROWS, rows.n_rows)).astype(int)
    texts = texts_in(rows.features)
    usual = [
        {
            column.name: _as_json(column, number, texts)
            for column, number in zip(columns, row, strict=True)
        }
        for row in rows.features[chosen].tolist()
    ]
    last = usual[-1]
    unknown = {
        **last,
        **{each.name: UNKNOWN_TEXT for each in columns if each.dtype in ("category", "text")},
    }
    nullable = [column.name for column in columns if not column.is_required]
    without = [{**last, name: None} for name in nullable[:_MOST_GOLDEN_NULLS]]
    nothing = {**last, **dict.fromkeys(nullable)}
    asked = ([*usual, unknown, *without, nothing], [last])
    return [
        GoldenRequest("predict", {"instances": instances}, context.newest) for instances in asked
    ]


def _as_json(
    column: Column, number: float, texts: Sequence[str]
) -> str | float | int | bool | None:
    """A coded value as a client writes it."""
    if number != number:
        return None
    if column.dtype == "text":
        return texts[int(number)]
    if column.dtype == "category":
        return column.vocabulary[int(number)] if number >= 0 else UNKNOWN_TEXT
    if column.dtype == "bool":
        return bool(number)
    return int(number) if column.dtype == "int64" else number


def try_out(estimator: TabularEstimator, train: TrainingSet, parameters: TabularParameters) -> None:
    """Ask what a client may ask: a category never seen, and null where it may be.

    Raises:
        SettingsInvalid: the estimator cannot answer, or answers what is no answer.
    """
    context: TrainingContext = train.context
    name = parameters.estimator
    usual = train.features[:1]
    asked = {"a row that it was fitted on": usual}
    for j, column in enumerate(context.columns):
        odd = usual.copy()
        if column.dtype == "text":
            odd[0, j] = -1.0  # of which there is no text: an empty one
            asked[f"an empty {column.name}"] = odd.copy()
        elif column.dtype == "category":
            odd[0, j] = UNKNOWN_CATEGORY
            what = f"a {column.name} that it has not seen (OneHotEncoder: handle_unknown)"
            asked[what] = odd.copy()
        if not column.is_required:
            odd[0, j] = np.nan
            asked[f"a row without {column.name} (features: required = true refuses it)"] = odd
    for what, row in asked.items():
        try:
            found = estimator.predict(row)
        except Exception as error:
            raise SettingsInvalid(
                f"{WHERE}: estimator {name} cannot answer {what}: {type(error).__name__}: {error}"
            ) from error
        if found.shape != (1,):
            raise SettingsInvalid(
                f"{WHERE}: estimator {name}: expected one answer a row, found an answer of"
                f" shape {found.shape} to one row."
            )
    if (parameters.task == "classification") != hasattr(estimator, "classes_"):
        found_task = "regressor" if parameters.task == "classification" else "classifier"
        raise SettingsInvalid(
            f"{WHERE}: estimator: {name} gives a {found_task}, the task is {parameters.task}."
        )
