"""What may be trained on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from retrain_service.promotion.decide import (
    InsufficientData,
    Promote,
    Reject,
    Verdict,
    check_data,
    reason,
)
from shared.settings.per_model import GateSettings
from shared.workloads.rows import FeatureSpec
from shared.workloads.training import TrainingSet

FEATURES = (
    FeatureSpec("power", "float64", "W"),
    FeatureSpec("weekday", "int64", "day"),
    FeatureSpec("open", "bool", "none"),
)
FIRST_DAY = np.datetime64("2026-01-01", "D")
N_ROWS = 100
NOW = datetime(2026, 1, 25, 12, tzinfo=UTC)  # the newest row is of 20 January


def rows(**changes: Any) -> TrainingSet:
    day = FIRST_DAY + np.arange(N_ROWS) // 5
    values = np.arange(float(N_ROWS))
    fields: dict[str, Any] = {
        "features": np.stack([values, values % 7, values % 2], axis=1),
        "target": values * 2,
        "day": day,
        "slices": np.full(N_ROWS, "a"),
        **changes,
    }
    return TrainingSet(**fields)


def column(index: int, **values: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    features = rows().features.copy()
    for at, value in values.items():
        features[int(at.removeprefix("row")), index] = value
    return features


def checked(
    given: TrainingSet, n_records: int = 200, **settings: Any
) -> tuple[TrainingSet, Verdict]:
    policy = GateSettings.model_validate(settings)
    return check_data(given, policy, features=FEATURES, n_records=n_records, now=NOW)


def target_with(n_missing: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    target = rows().target.copy()
    target[:n_missing] = np.nan
    return target


KEY = np.arange(N_ROWS)


@pytest.mark.parametrize(
    ("given", "settings", "verdict", "gate"),
    [
        (rows(), {}, Promote, "data_freshness"),
        (rows(features=rows().features[:, :2]), {}, Reject, "data_schema"),
        (rows(slices=np.full(N_ROWS - 1, "a")), {}, Reject, "data_schema"),
        (rows(features=rows().features.astype(str)), {}, Reject, "data_schema"),
        (rows(features=np.full((N_ROWS, 3), np.nan)), {}, Reject, "data_schema"),
        (rows(day=np.arange(N_ROWS)), {}, Reject, "data_schema"),
        (rows(target=target_with(10)), {}, Promote, "data_freshness"),
        (rows(target=target_with(11)), {}, Reject, "data_labels"),
        (rows(target=target_with(11)), {"max_bad_rows": 0.2}, Promote, "data_freshness"),
        (rows(key=KEY), {}, Promote, "data_freshness"),
        (rows(key=KEY // 2), {}, Reject, "data_duplicates"),
        (rows(rejected={"no date": 190}), {}, Promote, "data_freshness"),
        (rows(rejected={"no date": 191}), {}, Reject, "data_rejected"),
        (rows(), {"min_rows": 101}, InsufficientData, "data_amount"),
        (rows(), {"min_days": 21}, InsufficientData, "data_amount"),
        (rows(target=target_with(8)), {"min_rows": 95}, InsufficientData, "data_amount"),
        (rows(), {"max_data_age_days": 5}, Promote, "data_freshness"),
        (rows(), {"max_data_age_days": 4}, Reject, "data_freshness"),
    ],
)
def test_which_gate_blocks_training(
    given: TrainingSet, settings: dict[str, Any], verdict: type, gate: str
) -> None:
    """A model of bad data is worse than yesterday's model."""
    _, decided = checked(given, **settings)

    assert type(decided) is verdict
    assert decided.gates[-1].gate == gate
    assert all(found.sentence for found in decided.gates)


@pytest.mark.parametrize(
    ("given", "n_left", "reason_"),
    [
        (rows(target=target_with(3)), 97, {"no label": 3}),
        (rows(features=column(0, row4=np.inf)), 99, {"power is infinite": 1}),
        (rows(features=column(0, row4=np.nan)), 100, {}),  # a silent sensor is no bad row
        (rows(features=column(1, row4=2.5)), 99, {"weekday is no whole number": 1}),
        (rows(features=column(2, row4=2)), 99, {"open is neither 0 nor 1": 1}),
        (rows(day=np.where(KEY == 4, np.datetime64("NaT"), rows().day)), 99, {"no day": 1}),
        (rows(key=np.where(KEY == 4, 3, KEY)), 99, {"the same row came before": 1}),
        (
            rows(target=target_with(2), features=column(1, row1=0.5, row9=0.5)),
            97,
            {"no label": 2, "weekday is no whole number": 1},
        ),
        (
            rows(target=np.array([None, *range(N_ROWS - 1)], dtype=object)),
            99,
            {"no label": 1},
        ),
        (rows(target=np.stack([target_with(1), rows().target], axis=1)), 99, {"no label": 1}),
    ],
)
def test_bad_rows_are_left_out_and_counted_by_reason(
    given: TrainingSet, n_left: int, reason_: dict[str, int]
) -> None:
    """A few bad rows among many good ones are no reason to stop, and none to learn from."""
    usable, decided = checked(given)

    assert isinstance(decided, Promote)
    assert usable.n_rows == n_left
    assert usable.rejected == reason_
    assert usable.features.shape[0] == usable.target.shape[0] == usable.slices.shape[0] == n_left


def test_of_rows_that_came_twice_the_newest_is_kept() -> None:
    """The second one is the correction."""
    usable, _ = checked(rows(key=np.where(KEY == 4, 3, KEY)))

    assert rows().target[3] not in usable.target
    assert rows().target[4] in usable.target


def test_what_the_workload_left_out_and_what_the_gate_left_out_are_counted_together() -> None:
    """A person looks in one place for what became of the records."""
    usable, _ = checked(rows(target=target_with(2), rejected={"no date": 3, "no label": 1}))

    assert usable.rejected == {"no date": 3, "no label": 3}


def test_good_rows_are_the_same_rows_afterwards() -> None:
    """The usual case costs no copy and changes nothing."""
    given = rows(rejected={"no date": 3})

    assert checked(given)[0] is given


def test_too_few_rows_are_called_that_before_their_shares_are_judged() -> None:
    """One bad row of three is 33 %, and says nothing but that there are three."""
    few = rows(target=target_with(60), rejected={"no date": 60}).where(KEY < 49)

    _, decided = checked(few)

    assert isinstance(decided, InsufficientData)
    assert reason(decided) == (
        "not enough data: 0 rows over 0 days, needs 50 rows and 14 days;"
        " 109 records could not be used (60 no date, 49 no label)."
    )


def test_no_row_at_all_is_not_enough_data() -> None:
    """The first minutes of every installation."""
    none = rows().where(np.zeros(N_ROWS, dtype=np.bool_))

    _, decided = checked(none, n_records=0)

    assert isinstance(decided, InsufficientData)


def test_old_data_without_a_limit_is_said_and_allowed() -> None:
    """A closed season and an imported history are no faults."""
    usable, decided = check_data(
        rows(), GateSettings(), features=FEATURES, n_records=100, now=NOW + timedelta(days=700)
    )

    assert isinstance(decided, Promote)
    assert usable.n_rows == N_ROWS
    assert "705 days ago" in decided.gates[-1].sentence
