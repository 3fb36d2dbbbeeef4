"""Make training rows from records: read cells, learn types and labels, order rows, set days.

Says of every record that cannot be used why. Knows no estimator and no request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.documents.texts import tidy
from shared.documents.time_columns import column_times, is_ambiguous
from shared.documents.times import read_time_us
from shared.errors import SettingsInvalid
from shared.records import Table, from_epoch_us
from shared.workloads.holdout import newest_days
from shared.workloads.rows import RowContract
from shared.workloads.tabular.cells import Cells
from shared.workloads.tabular.columns import (
    Column,
    Dtype,
    contract_of,
    finish_column,
    learn_numbers,
    learn_task,
    learn_type,
    learn_vocabulary,
    narrowed,
    read_column,
)
from shared.workloads.tabular.model import recode
from shared.workloads.tabular.parameters import WHERE, TabularParameters, Task
from shared.workloads.tabular.records import PLAIN, read_number, read_text, time_policy
from shared.workloads.tabular.rejections import no_number, unusable_cell, unusable_target
from shared.workloads.text_rows import TextTable
from shared.workloads.training import TrainingSet

Label = str | int | bool

N_BLOCKS = 40
"""Rows without a time of their own are cut into so many blocks, which stand for days."""

NO_TIME = "no time that can be read"
DATED_LATER = "dated later than the newest record"

_DAY_US = 86_400_000_000
_MOST_LABELS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class TrainingContext:
    """What travels beside the rows.

    task : as it is said, or as the target's values mean it.
    labels : of a classification, sorted; a target is an index into them.
    target, day : of all rows, oldest first: what the naive baseline knows.
    newest : when the newest record was written.
    """

    columns: tuple[Column, ...]
    contract: RowContract
    labels: tuple[Label, ...]
    target: NDArray[np.float64]
    day: NDArray[np.datetime64]
    newest: datetime
    task: Task


def read_rows(table: Table, parameters: TabularParameters, time_zone: ZoneInfo) -> TrainingSet:
    """All usable records, oldest first: by their own time, else by that of their last change.

    Returns:
        Rows whose context is a `TrainingContext`.

    Raises:
        SettingsInvalid: a column is in no record, or is no feature or target as it stands.
    """
    names = list(parameters.features)
    cells = Cells(table, [*names, parameters.target, *filter(None, [parameters.time])])
    task = parameters.known_task or learn_task(cells.of(parameters.target))
    parameters = msgspec.structs.replace(parameters, task=task)
    rejected, unclear = Counter[str](), Counter[str]()
    newest_us = max(table.updated_at_us, default=0)
    order, day = _order(cells, table, parameters, time_zone, newest_us, rejected, unclear)
    n_older = int((~newest_days(day)).sum())
    texts = TextTable()
    features, is_bad = _features(cells, order, n_older, parameters, texts, rejected)
    kept = np.flatnonzero(~is_bad)
    wanted = cells.of(parameters.target)
    labels, target, slices = _targets([wanted[order[i]] for i in kept], parameters)
    columns = tuple(
        finish_column(
            name,
            each.dtype,
            each.vocabulary,
            each.numbers[kept],
            override,
            takes_null=not parameters.is_own_code,
        )
        for (name, override), each in zip(parameters.columns.items(), features, strict=True)
    )
    context = TrainingContext(
        columns, contract_of(columns), labels, target, day[kept], from_epoch_us(newest_us), task
    )
    matrix = np.empty((kept.size, len(names)))
    for j, each in enumerate(features):
        matrix[:, j] = each.numbers[kept]
    with_texts = texts.matrix(matrix, context.contract.text_columns)
    return TrainingSet(
        with_texts, target, day[kept], slices, context, dict(rejected), dict(unclear)
    )


def as_learnt_from(
    rows: TrainingSet, seen: TrainingSet, parameters: TabularParameters
) -> TrainingSet:
    """`rows`, coded by what `seen` alone teaches: ranges and vocabularies; other texts of a
    category are unknown. Both share a context."""
    context: TrainingContext = seen.context
    columns = tuple(
        narrowed(column, np.asarray(seen.features[:, j]), override)
        for j, (column, override) in enumerate(
            zip(context.columns, parameters.columns.values(), strict=True)
        )
    )
    contract = contract_of(columns)
    context = replace(context, columns=columns, contract=contract)
    return replace(
        rows, features=recode(rows.features, rows.context.contract, contract), context=context
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Feature:
    """A column that was read: (n_rows,) numbers, NaN also where a cell cannot be read."""

    dtype: Dtype
    vocabulary: list[str]
    numbers: NDArray[np.float64]


def _features(
    cells: Cells,
    order: Sequence[int],
    n_older: int,
    parameters: TabularParameters,
    texts: TextTable,
    rejected: Counter[str],
) -> tuple[list[_Feature], NDArray[np.bool_]]:
    """Every feature in order, and (n_rows,) which rows hold a cell that cannot be read; each such
    row is counted once, under the first of its columns.

    Types are those of the first `n_older` rows, which a judged model learns from: it meets the
    others as it will meet those of clients.
    """
    found = []
    is_bad = np.zeros(len(order), dtype=np.bool_)
    for name, override in parameters.columns.items():
        column = cells.take(name)
        values = [column[i] for i in order]
        del column
        dtype = learn_type(name, values[:n_older], override)
        vocabulary: list[str] = []
        if dtype == "category":
            vocabulary = learn_vocabulary(values, parameters.max_categories)
        holds_texts = dtype in ("category", "text")
        policy = PLAIN if holds_texts else learn_numbers(name, values)
        numbers, is_unreadable = read_column(dtype, vocabulary, values, policy, texts)
        for i in np.flatnonzero(is_unreadable & ~is_bad):
            rejected[unusable_cell(name, values[i], dtype) or no_number(name)] += 1
        is_bad |= is_unreadable
        found.append(_Feature(dtype, vocabulary, numbers))
    return found, is_bad


def _targets(
    values: Sequence[Any], parameters: TabularParameters
) -> tuple[tuple[Label, ...], NDArray[np.float64], NDArray[np.str_]]:
    """The labels there are, and (n_rows,) targets and slices: each label is a slice."""
    if parameters.task == "regression":
        policy = learn_numbers(parameters.target, values, "target")
        target = np.array([read_number(value, policy) for value in values], dtype=np.float64)
        return (), target, np.full(len(values), "all", dtype=np.str_)
    labels = _labels(values, parameters)
    places = {str(read_text(label)): i for i, label in enumerate(labels)}
    texts = [tidy(str(read_text(value))) for value in values]
    target = np.array([places[text] for text in texts], dtype=np.float64)
    return labels, target, np.array(texts, dtype=np.str_)


def _order(
    cells: Cells,
    table: Table,
    parameters: TabularParameters,
    time_zone: ZoneInfo,
    newest_us: int,
    rejected: Counter[str],
    unclear: Counter[str],
) -> tuple[list[int], NDArray[np.datetime64]]:
    """Numbers of the records with a target and a time, oldest first, and the day of each."""
    kept: list[int] = []
    at_us: list[int] = []
    times = cells.take(parameters.time) if parameters.time else table.updated_at_us
    written = column_times(times if parameters.time else (), time_policy(time_zone))
    for i, (value, time) in enumerate(zip(cells.of(parameters.target), times, strict=True)):
        reason = unusable_target(value, parameters)
        found_us = time if not parameters.time else read_time_us(time, written.policy)
        if reason is None and found_us is None:
            reason = NO_TIME
            if written.problem and is_ambiguous(time, written.policy):
                reason = f"{parameters.time}: {written.problem}"
                unclear[reason] += 1
        elif reason is None and found_us is not None and found_us > newest_us + _DAY_US:
            reason = DATED_LATER
        if reason is not None or found_us is None:
            rejected[reason or NO_TIME] += 1
        else:
            kept.append(i)
            at_us.append(found_us)
    order = np.argsort(np.array(at_us, dtype=np.int64), kind="stable")
    ordered = [kept[i] for i in order]
    if not parameters.time:
        return ordered, _blocks(len(ordered), at_us)
    days = [from_epoch_us(at_us[i]).astimezone(time_zone).date() for i in order]
    return ordered, np.array(days, dtype="datetime64[D]")


def _blocks(n_rows: int, at_us: Sequence[int]) -> NDArray[np.datetime64]:
    """A day for each row of a data set without times: blocks of equal size, the newest of them on
    the day of the newest change.

    Rows that are added later move older rows into earlier blocks only, so what a version was
    trained on never comes into the newest fifth of a later one.
    """
    if not n_rows:
        return np.array([], dtype="datetime64[D]")
    newest = np.datetime64(from_epoch_us(max(at_us)).date(), "D")
    n_blocks = min(N_BLOCKS, n_rows)
    block = np.arange(n_rows) * n_blocks // n_rows
    return np.asarray(newest - (n_blocks - 1 - block).astype("timedelta64[D]"))


def _labels(values: Sequence[Any], parameters: TabularParameters) -> tuple[Label, ...]:
    """What there is to choose from, sorted: all bools, all whole numbers, or texts.

    Raises:
        SettingsInvalid: so many that it is a number to predict, not a label.
    """
    texts = {tidy(str(read_text(value))) for value in values}
    n_rows = len(values)
    if len(texts) > _MOST_LABELS or (n_rows >= 50 and len(texts) * 2 > n_rows):
        raise SettingsInvalid(
            f"{WHERE}: target: {parameters.target} holds {len(texts):,} different values in"
            f" {n_rows:,} rows, too many for a classification; is the task a regression?"
        )
    types = {float if isinstance(value, float) else type(value) for value in values}
    if types <= {bool}:
        return tuple(sorted({bool(value) for value in values}))
    if types <= {int, float}:
        return tuple(sorted({int(value) for value in values}))
    return tuple(sorted(texts))
