"""The spare-parts workload from records to a stored version, as the trainer uses it."""

from __future__ import annotations

import io
import subprocess
import sys
from datetime import date, timedelta
from typing import Any

import joblib
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import LoadFailed, SettingsInvalid
from shared.workloads import open_workload
from shared.workloads.spare_parts.daily_totals import DATED_LATER
from shared.workloads.spare_parts.records import NO_DATE, NO_NAME, NO_PARTS, NOT_COMPLETE
from shared.workloads.spare_parts.workload import SpareParts
from tests.shared.workloads.garage import (
    FIRST_DAY,
    RecordingEstimator,
    demand,
    documents,
    forecast,
    no_progress,
    opened,
    rows_of,
    table,
)

# -- records to rows -------------------------------------------------------------------------------


def test_records_that_cannot_be_used_are_counted_by_reason() -> None:
    """A garage whose date field was renamed must be told so, not served an empty forecast."""
    lines = [{"name": "Oil filter", "quantity": 1}]
    returned = [{"name": "Battery", "quantity": -1}]
    workload = SpareParts({})

    rows = workload.training_set(
        {
            "appointments": table(
                [
                    {"status": "completed", "date": "2025-11-26", "spareParts": lines},
                    {"status": "incomplete", "date": "2025-11-26", "spareParts": lines},
                    {"date": "2025-11-26", "spareParts": lines},
                    {"status": "completed", "date": "soon", "spareParts": lines},
                    {"status": "completed", "date": "2025-11-26", "spareParts": None},
                    {"status": "completed", "date": "2051-11-26", "spareParts": lines},
                    {
                        "status": "completed",
                        "date": "2025-11-27",
                        "spareParts": [*lines, {"name": "Battery", "quantity": -1e9}],
                    },
                    {"status": "completed", "date": "2025-11-27", "spareParts": returned},
                ]
            ),
            "spare_parts": table([{"name": "Oil filter"}, {"sku": "OF-101"}], stream="spare_parts"),
        }
    )

    assert rows.rejected == {
        NOT_COMPLETE: 2,
        NO_DATE: 1,
        NO_PARTS: 1,
        DATED_LATER: 1,
        NO_NAME: 1,
        "part line with an impossible quantity, the rest of the appointment was used": 1,
    }
    assert rows.context.history.pieces.tolist() == [[1.0], [1.0]]


@pytest.mark.parametrize(
    ("dates", "days", "rejected"),
    [
        (["03/04/2025", "13/04/2025"], ["2025-04-03", "2025-04-13"], {}),
        (["03/04/2025", "04/13/2025"], ["2025-03-04", "2025-04-13"], {}),
        (["03/04/2025", "2025-04-13"], ["2025-04-13"], {"may be a day of March or of April": 1}),
    ],
)
def test_which_of_two_numbers_is_the_day_the_whole_column_says(
    dates: list[str], days: list[str], rejected: dict[str, int]
) -> None:
    """Read the other way round, demand lies in another month, and nobody notices."""
    workload = SpareParts({})
    lines = [{"name": "Oil filter", "quantity": 1}]
    documents = [{"status": "completed", "date": day, "spareParts": lines} for day in dates]

    rows = workload.training_set({"appointments": table(documents)})

    history = rows.context.history
    used = np.flatnonzero(history.pieces[:, 0]) + history.first_day
    assert [str(day) for day in used] == days
    assert list(rows.rejected.values()) == list(rejected.values())
    for said, reason in zip(rejected, rows.rejected, strict=True):
        assert said in reason
    assert all(workload.reject_reason("appointments", each) is None for each in documents)


def test_parts_that_came_back_lower_the_demand_of_their_day() -> None:
    """A line of a credit note has a negative quantity."""
    day = {"status": "completed", "date": "2025-11-26"}
    documents = [{**day, "spareParts": [{"name": "Oil filter", "quantity": n}]} for n in (5, -2, 1)]

    rows = SpareParts({}).training_set({"appointments": table(documents)})

    assert rows.context.history.pieces.tolist() == [[4.0]]
    assert rows.rejected == {}


def test_a_record_is_rejected_with_the_reason_that_training_counts() -> None:
    """The buffer asks about each record as it arrives; both must tell the same story."""
    workload = SpareParts({})
    odd: list[dict[str, Any]] = [
        {},
        {"status": "completed"},
        {"status": "completed", "date": "2025-11-26"},
        {
            "status": "completed",
            "date": "2025-11-26",
            "spareParts": [{"name": "x", "quantity": -1}],
        },
        {"status": "completed", "date": "2025-11-26", "spareParts": ["x"]},
    ]

    for fields in odd:
        reason = workload.reject_reason("appointments", fields)
        rejected = workload.training_set({"appointments": table([fields])}).rejected
        assert list(rejected) == ([] if reason is None else [reason])

    assert workload.reject_reason("spare_parts", {"sku": "1"}) == NO_NAME
    assert workload.reject_reason("spare_parts", {"name": "x"}) is None


used = st.tuples(
    st.integers(0, 400),
    st.sampled_from(["Oil filter", "oil  FILTER", "Battery"]),
    st.integers(1, 9),
)


@settings(deadline=None, max_examples=40)
@given(entries=st.lists(used, min_size=1, max_size=30))
def test_no_piece_is_lost_or_doubled_and_no_day_is_missing(
    entries: list[tuple[int, str, int]],
) -> None:
    """Across year ends and both changes of the clock, a calendar day is one row."""
    interactions = [
        {
            "status": "completed",
            "timestamp": f"{FIRST_DAY + timedelta(days=number)}T11:00:00Z",
            "spareParts": [{"name": name, "quantity": pieces}],
        }
        for number, name, pieces in entries
    ]
    workload = SpareParts({"time_zone": "Europe/Berlin"})

    history = workload.training_set({"appointments": table(interactions)}).context.history

    numbers = [number for number, _, _ in entries]
    assert history.n_days == max(numbers) - min(numbers) + 1
    assert history.pieces.sum() == sum(pieces for _, _, pieces in entries)
    for number in numbers:
        total = sum(pieces for day, _, pieces in entries if day == number)
        assert history.pieces[number - min(numbers)].sum() == total


def test_a_part_has_the_catalogue_s_name_whatever_the_appointments_call_it() -> None:
    """The restock list is read next to the catalogue; the sku finds the name where none came."""
    workload = SpareParts({})
    interactions: list[dict[str, Any]] = [
        {"status": "completed", "date": "2025-11-25", "spareParts": [{"name": "OIL filter"}]},
        {"status": "completed", "date": "2025-11-26", "spareParts": [{"sku": "OF-101"}]},
        {"status": "completed", "date": "2025-11-26", "spareParts": ["wiper", "Wiper", "Wiper"]},
    ]
    catalogue = [{"name": "Oil Filter", "sku": "OF-101", "price": 9.9}]

    history = workload.training_set(
        {"appointments": table(interactions), "spare_parts": table(catalogue, stream="spare_parts")}
    ).context.history

    assert history.parts == ("Oil Filter", "Wiper")
    assert history.pieces.tolist() == [[1.0, 0.0], [1.0, 3.0]]


def test_training_looks_back_no_further_than_configured() -> None:
    """One visit that was dated 2003 by mistake must not add twenty years of zeros."""
    interactions = documents(demand(100))
    interactions.append({"status": "completed", "date": "2003-01-01", "spareParts": ["Part 00"]})

    history = (
        SpareParts({"history_days": 90})
        .training_set({"appointments": table(interactions)})
        .context.history
    )

    assert history.n_days == 90
    assert str(history.first_day) == str(FIRST_DAY + timedelta(days=10))


@settings(deadline=None, max_examples=30)
@given(
    known_days=st.integers(20, 110),
    later=st.lists(st.integers(0, 50), min_size=10, max_size=10),
    new_part=st.booleans(),
)
def test_the_past_never_depends_on_what_came_later(
    known_days: int, later: list[int], new_part: bool
) -> None:
    """A feature that saw its own future looks brilliant in the holdout and fails in service."""
    pieces = demand(120, n_parts=10)
    changed = pieces.copy()
    changed[known_days:] = later
    if new_part:
        changed = np.column_stack([changed, np.where(np.arange(120) < known_days, 0, 7.0)])
    known_until = np.datetime64(FIRST_DAY) + known_days - 1

    one, other = rows_of(pieces), rows_of(changed)

    for rows in (one, other):
        assert np.all(np.diff(rows.day.astype(int)) >= 0)
    before, after = one.day <= known_until, other.day <= known_until
    # Not bit by bit: a wider matrix is added up in another order.
    assert np.allclose(one.features[before], other.features[after], rtol=1e-10, atol=1e-12)
    assert np.array_equal(one.target[before], other.target[after])


def test_serving_asks_the_model_with_the_features_that_training_had() -> None:
    """Training and serving that compute features apart drift apart; here it is one function."""
    workload = SpareParts({})
    pieces = demand(200)
    rows = rows_of(pieces, workload)
    estimator = RecordingEstimator()
    answerer = workload.open(estimator, workload.state(rows))

    for number in (20, 90, 199):
        day = FIRST_DAY + timedelta(days=number)
        estimator.asked.clear()
        forecast(answerer, forecast_days=1, current_date=str(day))
        trained = rows.features[rows.day == np.datetime64(day)]
        assert np.allclose(estimator.asked[0], trained, rtol=1e-10, atol=1e-12)


def test_the_holdout_is_the_newest_fifth_of_the_calendar() -> None:
    """A random split would let the model peek at the days around each test day."""
    workload = SpareParts({})
    rows = rows_of(demand(100), workload)

    train, holdout = workload.split(rows)

    assert holdout.n_days == 20
    assert train.day.max() < holdout.day.min()
    assert train.n_rows + holdout.n_rows == rows.n_rows


def test_a_closed_day_does_not_lower_what_is_expected_of_the_open_ones() -> None:
    """Two weeks of summer holiday would otherwise halve the order for the weeks after."""
    holiday = slice(90, 104)
    pieces = demand(104)
    pieces[holiday] = 0
    first_day_back = str(FIRST_DAY + timedelta(days=104))
    before = demand(104)[62:90].sum() / 4

    week = forecast(opened(pieces), current_date=first_day_back)["total_restock_demand"]

    assert sum(week.values()) == pytest.approx(before, rel=0.12)


def test_day_of_week_and_weekend_are_those_of_the_calendar() -> None:
    """Off by one, Saturday's half day would be ordered for Friday."""
    workload = SpareParts({})
    rows = rows_of(np.full((28, 1), 3.0), workload)
    names = [spec.name for spec in workload.features]
    weekdays = [name for name in names if name.startswith("level_if_") and "weekend" not in name]

    for x, day in zip(rows.features, rows.day.tolist(), strict=True):
        row = dict(zip(names, x, strict=True))
        assert {name: row[name] for name in weekdays if row[name]} == {
            f"level_if_{day:%A}".lower(): pytest.approx(3.0)
        }
        assert (row["level_if_weekend"] > 0) == (day.weekday() >= 5)
        assert (row["yesterday"], row["mean_7_days"]) == (3.0, pytest.approx(3.0))


def test_a_part_is_learnt_from_the_day_after_its_first_use() -> None:
    """Before that nobody could have known it; zeros for it would only flatter the error."""
    pieces = demand(40, n_parts=2) + 1
    pieces[:30, 1] = 0

    rows = rows_of(pieces)

    late = rows.day[rows.slices == "Part 01"]
    assert str(late.min()) == str(FIRST_DAY + timedelta(days=31))


def test_the_weekly_day_off_is_forecast_as_such() -> None:
    """Zeros on each Sunday are no gap in the data but the garage's opening hours."""
    days = forecast(opened(demand(120)), forecast_days=14, current_date="2025-05-06")[
        "daily_breakdown"
    ]

    sundays = [day["total_usage"] for day in days if date.fromisoformat(day["date"]).weekday() == 6]
    workdays = [day["total_usage"] for day in days if date.fromisoformat(day["date"]).weekday() < 5]
    assert max(sundays) < 0.15 * min(workdays)


def test_a_new_part_is_forecast_within_days_of_its_first_use() -> None:
    """All parts share one model, so a part needs no history of its own to be understood."""
    pieces = np.column_stack([demand(120), np.zeros(120)])
    pieces[114:, -1] = 4

    answer = forecast(opened(pieces), current_date="2025-05-06")

    assert 8 <= answer["total_restock_demand"]["Part 15"] <= 30


# -- the model -------------------------------------------------------------------------------------


def test_eighteen_months_of_a_garage_beat_the_naive_baseline() -> None:
    """The gate refuses a model that the weighted mean of the same weekdays can match."""
    workload = SpareParts({})
    train, holdout = workload.split(rows_of(demand(540), workload))

    score = workload.score(workload.fit(train, 0, no_progress), holdout)

    assert score.metrics["mae"] < workload.score_baseline(holdout).metrics["mae"]
    assert score.metrics["rmse"] < workload.score_baseline(holdout).metrics["rmse"]
    assert 0 < score.metrics["r2"] < 1
    assert score.loss.shape == holdout.target.shape


def test_sixty_days_are_enough_not_to_be_worse_than_the_naive_baseline() -> None:
    """The first model of a new garage decides whether it is ever trusted; single ones vary."""
    workload = SpareParts({})
    ratios = []
    for seed in range(12):
        train, holdout = workload.split(rows_of(demand(60, seed=seed), workload))
        score = workload.score(workload.fit(train, 0, no_progress), holdout)
        ratios.append(score.metrics["mae"] / workload.score_baseline(holdout).metrics["mae"])

    assert np.mean(ratios) < 1.0
    assert max(ratios) < 1.1


def test_same_rows_and_seed_give_the_same_model() -> None:
    """A run that cannot be repeated cannot be explained."""
    workload = SpareParts({})
    train, _ = workload.split(rows_of(demand(120), workload))

    one, other = (workload.fit(train, 7, no_progress) for _ in range(2))

    assert one == other


def test_no_usable_record_gives_no_rows_instead_of_an_error() -> None:
    """A fresh database is normal; the gate says "not enough data", not a traceback."""
    workload = SpareParts({})
    for interactions in ([], [{"status": "open"}], documents(demand(10))):
        rows = workload.training_set({"appointments": table(interactions)})
        train, holdout = workload.split(rows)

        assert (rows.n_rows, train.n_rows, holdout.n_rows) == (0, 0, 0)
        assert rows.features.shape == (0, len(workload.features))
        assert workload.score_baseline(holdout).metrics == {}


def test_a_day_without_any_demand_anywhere_is_not_divided_by() -> None:
    """R² is undefined where nothing varies; NaN in a gate lets anything through."""
    workload = SpareParts({})
    pieces = np.zeros((60, 2))
    pieces[:20] = 1
    train, holdout = workload.split(rows_of(pieces, workload))

    score = workload.score(workload.fit(train, 0, no_progress), holdout)

    assert set(score.metrics) == {"mae", "rmse", "mae_7_days", "bias_7_days"}
    assert np.isfinite(list(score.metrics.values())).all()


# -- store and load --------------------------------------------------------------------------------


def test_a_stored_and_loaded_version_answers_every_golden_request_alike() -> None:
    """The trainer's answers are what a version must repeat before it may serve."""
    workload = SpareParts({"time_zone": "Europe/Berlin"})
    rows = rows_of(demand(450), workload)
    estimator = workload.fit(workload.split(rows)[0], 0, no_progress)
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)

    trained = workload.open(estimator, workload.state(rows))
    loaded = workload.open(joblib.load(file), workload.state(rows))

    goldens = workload.golden_requests(rows)
    assert {golden.question for golden in goldens} == set(loaded.questions)
    for golden in goldens:
        sent = msgspec.json.decode(msgspec.json.encode(golden.request))
        answer = trained.answer(golden.question, golden.request, golden.now)
        assert loaded.answer(golden.question, sent, golden.now) == answer
        assert msgspec.json.decode(msgspec.json.encode(answer)) == answer


def test_the_state_is_data_and_the_same_rows_give_the_same_bytes() -> None:
    """Its digest is signed, and the serving process must never unpickle anything for it."""
    workload = SpareParts({})

    one, other = (workload.state(rows_of(demand(60), workload)) for _ in range(2))

    assert one == other
    assert set(one) == {"state.json", "state.npz"}
    with np.load(io.BytesIO(one["state.npz"]), allow_pickle=False) as arrays:
        assert arrays["pieces"].shape == (60, 15)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda state: state.pop("state.npz"), "missing ['state.npz']"),
        (lambda state: state.update({"state.json": b"{"}), "cannot be read"),
        (lambda state: state.update({"state.npz": b"PK"}), "cannot be read"),
        (
            lambda state: state.update(
                {"state.json": state["state.json"].replace(b'"format":1', b'"format":9')}
            ),
            "found (9, 15, 15)",
        ),
    ],
)
def test_a_damaged_state_is_refused_at_loading_with_a_sentence(damage: Any, said: str) -> None:
    """What fails at loading leaves the old version serving; what fails later fails a client."""
    workload = SpareParts({})
    state = dict(workload.state(rows_of(demand(60), workload)))
    damage(state)

    with pytest.raises(LoadFailed) as raised:
        workload.open(RecordingEstimator(), state)

    assert said in str(raised.value)


def test_the_serving_half_needs_neither_pandas_nor_scikit_learn() -> None:
    """They cost a serving worker a second of start-up and a hundred megabytes."""
    code = (
        "import sys, shared.workloads.spare_parts.workload; "
        "print(sorted({'pandas', 'sklearn', 'scipy', 'joblib'} & set(sys.modules)))"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"time_zone": "Mars/Olympus"}, "IANA name"),
        ({"time_zone": ""}, "IANA name"),
        ({"timezone": "UTC"}, "Known parameters: time_zone"),
        ({"history_days": 3}, "history_days"),
    ],
)
def test_a_wrong_parameter_is_a_sentence_for_whoever_configures(
    parameters: dict[str, Any], said: str
) -> None:
    """It is found at start-up, not at the first training at midnight."""
    with pytest.raises(SettingsInvalid, match=said):
        open_workload("spare_parts", parameters)
