"""Check that a workload keeps its contract, on records of its own; for tests and its authors.

Says every breach as a sentence and raises none of its own. Trains, so only where that is allowed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from shared.errors import RequestInvalid
from shared.records import Table
from shared.workloads.contract import Answerer, Workload
from shared.workloads.training import GoldenRequest, TrainingSet


def check_workload(workload: Workload, tables: Mapping[str, Table], seed: int = 1) -> list[str]:
    """Every breach of the contract in `base` that these records show; empty when it holds.

    tables : enough records of every stream to train, split and score.
    """
    return list(_breaches(workload, tables, seed))


def _breaches(workload: Workload, tables: Mapping[str, Table], seed: int) -> Iterator[str]:
    rows, again = workload.training_set(tables), workload.training_set(tables)
    if not _same_rows(rows, again):
        yield "the same tables gave different rows"
    columns = workload.features_of(rows)
    if rows.features.shape != (rows.n_rows, len(columns)):
        yield f"features are {rows.features.shape}, {len(columns)} columns are declared"
    if [spec.name for spec in columns] != [spec.name for spec in workload.features]:
        yield "the columns of the rows have other names than those declared"
    if len({rows.n_rows, len(rows.target), len(rows.slices)}) != 1:
        yield "features, target, day and slices differ in length"
    train, holdout = workload.split(rows)
    if not (train.n_rows and holdout.n_rows):
        yield f"the split gave {train.n_rows} rows to learn from and {holdout.n_rows} to judge by"
        return
    if train.day.max() >= holdout.day.min():
        yield "a row to judge by is not later than every row to learn from"
    estimator = workload.fit(train, seed, lambda _fraction, _stage: None)
    if not _same_bytes(workload.score(estimator, holdout), workload.score(estimator, holdout)):
        yield "scoring the same estimator twice gave different losses"
    yield from _score_breaches(workload, estimator, holdout)
    yield from _answer_breaches(workload, estimator, rows)


def _score_breaches(workload: Workload, estimator: Any, holdout: TrainingSet) -> Iterator[str]:
    scores = {
        "candidate": workload.score(estimator, holdout),
        "baseline": workload.score_baseline(holdout),
    }
    for name, score in scores.items():
        if score.loss.shape != scores["baseline"].loss.shape:
            yield f"{name}: row i of the loss is not the same row for everybody"
        if not np.isfinite(score.loss).all():
            yield f"{name}: a loss is not finite"
        if not score.unit:
            yield f"{name}: the loss has no unit"


def _answer_breaches(workload: Workload, estimator: Any, rows: TrainingSet) -> Iterator[str]:
    state = workload.state(rows)
    if state != workload.state(rows):
        yield "the same rows gave a different state"
    for name in state:
        if not name.startswith("state."):
            yield f"state file {name!r}: its name must begin with 'state.'"
    import joblib  # heavy, and no serving process needs it for this

    stored = io.BytesIO()
    joblib.dump(estimator, stored)
    stored.seek(0)
    before = workload.open(estimator, state)
    after = workload.open(joblib.load(stored), state)
    goldens = workload.golden_requests(rows)
    if "predict" not in before.questions:
        yield "there is no question 'predict'"
    unasked = set(before.questions) - {golden.question for golden in goldens}
    if unasked:
        yield f"no golden request asks {sorted(unasked)}"
    for golden in goldens:
        if _answer(before, golden) != _answer(after, golden):
            yield f"{golden.question}: the answer changed through storing and loading"
        if golden.question == "predict":
            yield from _field_breaches(after, golden)


def _field_breaches(answerer: Answerer, golden: GoldenRequest) -> Iterator[str]:
    """A missing or extra field must be refused with a message that names it."""
    instances = golden.request.get("instances")
    if not instances:
        return
    name = next(iter(instances[0]))
    for changed, word in (
        ({key: value for key, value in instances[0].items() if key != name}, name),
        ({**instances[0], "surprise": 1}, "surprise"),
    ):
        try:
            answerer.answer("predict", {**golden.request, "instances": [changed]}, golden.now)
        except RequestInvalid as refusal:
            if word not in f"{refusal} {refusal.expected}":
                yield f"predict: the refusal does not name the field {word!r}: {refusal}"
        else:
            yield f"predict: a row that differs by the field {word!r} was answered"


def _answer(answerer: Answerer, golden: GoldenRequest) -> bytes:
    return msgspec.json.encode(answerer.answer(golden.question, golden.request, golden.now))


def _same_rows(one: TrainingSet, other: TrainingSet) -> bool:
    return bool(
        np.array_equal(one.features, other.features, equal_nan=True)
        and np.array_equal(one.target, other.target)
        and np.array_equal(one.day, other.day)
        and np.array_equal(one.slices, other.slices)
    )


def _same_bytes(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one.loss, other.loss))
