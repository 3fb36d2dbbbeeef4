"""The solar power workload from readings to a stored version, as the trainer uses it."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import joblib
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import LoadFailed, NotFound, RequestInvalid, SettingsInvalid
from shared.workloads import PER_ENTITY, open_workload
from shared.workloads.contract import Answerer
from shared.workloads.solar_power.rows import COLUMN, FEATURES, local_clock_us, target_index
from shared.workloads.solar_power.workload import SolarPower
from shared.workloads.training import TrainingSet
from tests.shared.workloads.roof import (
    COLOMBO,
    START,
    days_of_sun,
    no_progress,
    reading,
    rows_of,
    table,
)

NOW = datetime(2026, 11, 16, 19, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def week() -> TrainingSet:
    return rows_of(days_of_sun(7))


@pytest.fixture(scope="module")
def answerer(week: TrainingSet) -> Answerer:
    workload = SolarPower(COLOMBO)
    estimator = workload.fit(workload.split(week)[0], 0, no_progress)
    return workload.open(estimator, workload.state(week))


# -- readings to rows ------------------------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(
    gaps_s=st.lists(st.integers(1, 900), min_size=1, max_size=60),
    horizon_s=st.integers(60, 1800),
    tolerance_s=st.integers(0, 59),
)
def test_the_target_is_the_nearest_reading_as_a_search_row_by_row_finds_it(
    gaps_s: list[int], horizon_s: int, tolerance_s: int
) -> None:
    """The as-of join is fast; that it is right is shown by the slow way."""
    time_us = np.cumsum(np.array(gaps_s, dtype=np.int64)) * 1_000_000

    found = target_index(time_us, horizon_s * 1_000_000, tolerance_s * 1_000_000)

    for i, at_us in enumerate(time_us.tolist()):
        off_us = [abs(int(each) - at_us - horizon_s * 1_000_000) for each in time_us]
        nearest = off_us.index(min(off_us))
        assert found[i] == (nearest if min(off_us) <= tolerance_s * 1_000_000 else -1)


def test_the_cost_of_a_reading_does_not_grow_with_their_number() -> None:
    """A row-by-row search takes twenty seconds, which five hundred devices make three hours."""
    documents, workload = days_of_sun(7, every_min=1)[:10_000], SolarPower(COLOMBO)

    def took_s(n: int) -> float:  # of the processor: what else the machine does is not counted
        readings, found = table(documents[:n]), []
        for _ in range(3):
            began = time.process_time()
            assert workload.training_set({"readings": readings}).n_rows == n - 15
            found.append(time.process_time() - began)
        return min(found)

    assert took_s(10_000) < 15 * took_s(2_000)


@settings(deadline=None, max_examples=40)
@given(known=st.integers(5, 110), power=st.lists(st.floats(0, 400), min_size=10, max_size=10))
def test_the_past_never_depends_on_what_came_later(known: int, power: list[float]) -> None:
    """A feature that saw its own future looks brilliant in the holdout and fails in service."""
    readings = days_of_sun(1)[:120]
    changed = [dict(each) for each in readings]
    for i in range(known, 120):
        changed[i] |= {"power": power[i % 10], "lux": power[i % 7], "temperature": power[i % 3]}
    until = known - 3  # whose reading 15 minutes later is still known

    one, other = rows_of(readings), rows_of(changed)

    assert np.array_equal(one.features[:known], other.features[:known])
    assert np.array_equal(one.target[:until], other.target[:until])


def test_serving_makes_the_row_that_training_had_from_the_last_five_readings() -> None:
    """Training and serving that compute features apart drift apart; here it is one function."""
    documents = days_of_sun(2)
    workload = SolarPower(COLOMBO)
    rows = workload.training_set({"readings": table(documents)})
    asked: list[np.ndarray[Any, np.dtype[np.float64]]] = []

    class Recording:
        def predict(self, x: Any) -> Any:
            asked.append(x.copy())
            return np.zeros(len(x))

    answerer = workload.open(Recording(), workload.state(rows))
    for i in (4, 100, 301, rows.n_rows - 1):
        answerer.answer("predict", {"readings": documents[i - 4 : i + 1]}, NOW)
        assert np.array_equal(asked.pop()[0], rows.features[i]), i


def test_a_gap_in_the_readings_is_no_change_and_begins_the_means_anew() -> None:
    """After a night without network the first value would else look like a jump."""
    late = START + timedelta(hours=3)
    rows = rows_of(
        [
            *(reading(START + timedelta(minutes=5 * i), 10.0) for i in range(5)),
            *(reading(late + timedelta(minutes=5 * i), 100.0 + i) for i in range(6)),
        ]
    )

    first_after = rows.features[rows.features[:, COLUMN["hour"]] == 3][0]

    assert first_after[COLUMN["power_change"]] == 0.0
    assert first_after[COLUMN["power_mean_5"]] == 100.0


def test_features_are_those_of_the_reading_and_the_local_clock() -> None:
    """Named columns in the right order, or a model learns the humidity as the time of day."""
    at = datetime(2026, 11, 21, 6, 40, tzinfo=UTC)  # a Saturday, 12:10 in Colombo
    rows = rows_of(
        [
            reading(at + timedelta(minutes=5 * i), 100.0 + 10 * i * i, lux=1000.0 * i)
            for i in range(8)
        ]
    )

    found = dict(zip(COLUMN, rows.features[4].tolist(), strict=True))

    assert found == {
        "hour": 12,
        "minute": 30,
        "day_of_week": 5,
        "servo_angle": 90,
        "temperature": 29.5,
        "humidity": 70.0,
        "lux": 4000.0,
        "voltage": 17.5,
        "current": round(260 / 17.5, 3),
        "power": 260.0,
        "fan_on": 1,
        "power_change": 70.0,
        "lux_change": 1000.0,
        "power_mean_5": (100 + 110 + 140 + 190 + 260) / 5,
        "lux_mean_5": 2000.0,
    }
    assert rows.target[4] == 590.0


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["America/Denver", "Australia/Lord_Howe", "Asia/Colombo", "Africa/Casablanca"]),
    st.integers(1_700_000_000, 1_850_000_000),
)
def test_the_local_clock_is_the_zones_on_every_day_of_the_year(zone: str, at_s: int) -> None:
    """Both changes of the clock included, also where they are half an hour."""
    times_us = (at_s + np.arange(200) * 1_801).astype(np.int64) * 1_000_000

    clock_us = local_clock_us(times_us, ZoneInfo(zone))

    for time_us, found_us in zip(times_us.tolist(), clock_us.tolist(), strict=True):
        local = datetime.fromtimestamp(time_us / 1e6, ZoneInfo(zone)).replace(tzinfo=UTC)
        assert found_us == round(local.timestamp()) * 1_000_000


def test_a_change_of_the_clock_loses_no_reading_and_tears_no_target() -> None:
    """Fifteen minutes are fifteen minutes, whatever the clock on the wall does meanwhile."""
    for change in (datetime(2026, 3, 8, 9, tzinfo=UTC), datetime(2026, 11, 1, 8, tzinfo=UTC)):
        begin = change - timedelta(hours=2)
        documents = [reading(begin + timedelta(minutes=5 * i), float(i)) for i in range(49)]

        rows = rows_of(documents, {"time_zone": "America/Denver"})

        assert rows.n_rows == 49 - 3
        assert (rows.target - rows.features[:, COLUMN["power"]] == 3).all()


def test_only_the_newest_days_are_learnt_from() -> None:
    """The panel of last month had another angle, dirt and season."""
    rows = rows_of(days_of_sun(10), {**COLOMBO, "history_days": 4})

    assert rows.n_days == 4
    assert str(rows.day.max()) == "2026-11-19"


def test_no_train_row_was_answered_on_a_holdout_day(week: TrainingSet) -> None:
    """A reading at five to midnight is answered the next day, so it belongs to that day."""
    train, holdout = SolarPower(COLOMBO).split(week)

    assert (train.n_days, holdout.n_days) == (4, 3)
    assert train.day.max() < holdout.day.min()
    assert train.n_rows + holdout.n_rows == week.n_rows
    first = dict(zip(COLUMN, holdout.features[0].tolist(), strict=True))
    assert (first["hour"], first["minute"]) == (23, 45)


def test_a_device_without_a_sensor_is_learnt_from_all_the_same() -> None:
    """Not every roof has a servo; a column without any value counts as 0, there and here."""
    documents = [{**each, "servo_angle": None, "humidity": "-"} for each in days_of_sun(3)]
    workload = SolarPower(COLOMBO)
    rows = workload.training_set({"readings": table(documents)})

    estimator = workload.fit(workload.split(rows)[0], 0, no_progress)
    answerer = workload.open(estimator, workload.state(rows))

    assert not np.isnan(rows.features).any()
    assert rows.context.serving_state.silent == ("servo_angle", "humidity")
    one = answerer.answer("predict", {"readings": documents[140:145]}, NOW)
    same = [{**each, "servo_angle": 70, "humidity": 55} for each in documents[140:145]]
    assert answerer.answer("predict", {"readings": same}, NOW) == one


def test_no_usable_record_gives_no_rows_instead_of_an_error() -> None:
    """A fresh database is normal; the gate says "not enough data", not a traceback."""
    workload = SolarPower(COLOMBO)
    for documents in ([], [{"status": "online"}], [reading(START, 1.0)]):
        rows = workload.training_set({"readings": table(documents)})
        train, holdout = workload.split(rows)

        assert (rows.n_rows, train.n_rows, holdout.n_rows) == (0, 0, 0)
        assert rows.features.shape == (0, len(FEATURES))
        assert workload.score_baseline(holdout).metrics == {}


def test_a_model_is_per_device_and_an_id_may_be_a_number() -> None:
    """Devices are discovered from the records; both daemons agree on what is one."""
    workload = SolarPower({})

    assert workload.per_entity
    assert "solar_power" in PER_ENTITY
    assert workload.entity_of("readings", {"device_id": 17}) == "17"
    assert workload.entity_of("readings", {"device_id": " Dach Süd "}) == "Dach Süd"
    assert workload.entity_of("readings", {}) is None


# -- the model -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "estimator", ["random_forest", "extra_trees", "hist_gradient_boosting", "ridge"]
)
def test_every_estimator_beats_persistence_and_bears_silent_sensors(
    estimator: str, week: TrainingSet
) -> None:
    """The gate refuses a model that "it stays as it is" can match."""
    workload = SolarPower({**COLOMBO, "estimator": estimator})
    train, holdout = workload.split(week)
    patchy = train.features.copy()
    patchy[::7, COLUMN["lux"]] = np.nan

    score = workload.score(workload.fit(train, 0, no_progress), holdout)
    blind = workload.fit(replace(train, features=patchy), 0, no_progress)

    assert score.metrics["mae"] < 0.95 * workload.score_baseline(holdout).metrics["mae"]
    assert 0 < score.metrics["r2"] < 1
    assert score.metrics["rmse"] > score.metrics["mae"]
    holes = holdout.features.copy()
    holes[:, COLUMN["temperature"]] = np.nan
    assert np.isfinite(workload.score(blind, replace(holdout, features=holes)).loss).all()


def test_same_rows_and_seed_give_the_same_model(week: TrainingSet) -> None:
    """A run that cannot be repeated cannot be explained."""
    for estimator in ("auto", "random_forest"):
        workload = SolarPower({**COLOMBO, "estimator": estimator})
        for name in workload.candidate_names[:1]:
            one, other = (workload.fit_candidate(name, week, 7, no_progress) for _ in range(2))

            assert np.array_equal(one.predict(week.features), other.predict(week.features))
    assert one.n_jobs == 1


def test_a_forecast_is_below_zero_only_where_the_power_is(week: TrainingSet) -> None:
    """No panel consumes power in the evening; an inverter may at night."""

    class Falling:
        def predict(self, x: Any) -> Any:
            return np.full(len(x), -30.0)

    rows = week.features[:2].copy()
    rows[:, COLUMN["power"]] = [5.0, -2.0]

    first_two = week.where(np.arange(week.n_rows) < 2)
    score = SolarPower(COLOMBO).score(Falling(), replace(first_two, features=rows))

    assert score.rows is not None
    assert score.rows.predicted.tolist() == [0.0, -2.0]


# -- store and load --------------------------------------------------------------------------------


def test_a_stored_and_loaded_version_answers_every_golden_request_alike(week: TrainingSet) -> None:
    """The trainer's answers are what a version must repeat before it may serve."""
    workload = SolarPower(COLOMBO)
    estimator = workload.fit(workload.split(week)[0], 0, no_progress)
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)

    trained = workload.open(estimator, workload.state(week))
    loaded = workload.open(joblib.load(file), workload.state(week))

    goldens = workload.golden_requests(week)
    asked = {name for golden in goldens for name in golden.request}
    assert asked == {"instances", "readings"}
    for golden in goldens:
        sent = msgspec.json.decode(msgspec.json.encode(golden.request))
        answer = trained.answer(golden.question, golden.request, golden.now)
        assert loaded.answer(golden.question, sent, golden.now) == answer
        assert msgspec.json.decode(msgspec.json.encode(answer)) == answer


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"state.json": b"not json"},
        {"state.json": b'{"format": 2, "device": "a", "silent": []}'},
        {"state.json": b'{"format": 1, "device": "a", "silent": ["wind"]}'},
    ],
)
def test_a_broken_state_is_refused_when_it_is_opened(broken: dict[str, bytes]) -> None:
    """Found before the swap the old version keeps serving; found later, clients get errors."""
    with pytest.raises(LoadFailed):
        SolarPower({}).open(object(), broken)


# -- answers ---------------------------------------------------------------------------------------


def test_readings_are_answered_with_the_power_and_its_time(answerer: Answerer) -> None:
    """What a client has are readings; means and differences are made here."""
    noon = START + timedelta(days=6, hours=12)
    sent = [reading(noon + timedelta(minutes=5 * i), 200.0) for i in range(5)]

    answer = answerer.answer("predict", {"readings": sent}, noon + timedelta(minutes=21))

    power_w = answer["forecast"].pop("power_w")
    assert 60 < power_w < 300
    assert answer["forecast"].pop("low_w") <= power_w <= answer["forecast"].pop("high_w")
    assert answer == {
        "forecast": {
            "timestamp": "2026-11-16T07:05:00Z",
            "reading_timestamp": "2026-11-16T06:50:00Z",
            "reading_age_s": 60.0,
            "n_readings": 5,
            "not_used": {},
        },
        "unit": "W",
        "horizon_min": 15.0,
        "device_id": "inverter-1",
    }


def test_readings_may_come_odd_unordered_and_without_status(answerer: Answerer) -> None:
    """The answer is that of the same readings said properly."""
    noon = START + timedelta(days=6, hours=12)
    proper = [reading(noon + timedelta(minutes=5 * i), 200.0 + i) for i in range(5)]
    odd: list[dict[str, Any]] = [
        {**each, "power": f"{each['power']} W", "fan_status": True, "extra": "x"} for each in proper
    ]
    for each in odd:
        del each["status"]
    odd[0]["timestamp"] = round((noon).timestamp() * 1000)
    broken = reading(noon, 1.0, status="offline")

    answer = answerer.answer("predict", {"readings": [broken, *reversed(odd)]}, NOW)

    assert answer["forecast"].pop("not_used") == {"status is not online": 1}
    same = answerer.answer("predict", {"readings": proper}, NOW)
    assert same["forecast"].pop("not_used") == {}
    assert answer == same


def test_feature_rows_and_readings_can_be_asked_together(
    answerer: Answerer, week: TrainingSet
) -> None:
    """One request, one version."""
    row = dict(zip(COLUMN, week.features[800].tolist(), strict=True))

    answer = answerer.answer(
        "predict",
        {"instances": [row, {**row, "lux": None}], "readings": [reading(START, 0.0)]},
        NOW,
    )

    assert len(answer["predictions"]) == 2
    assert answer["forecast"]["power_w"] == pytest.approx(0.0, abs=5.0)


@pytest.mark.parametrize(
    ("request_", "where", "said"),
    [
        ({}, "request", "instances (feature rows), readings (raw readings) or both"),
        ({"rows": []}, "request", "'unexpected': ['rows']"),
        ({"instances": [{"hour": 1}]}, "instances[0]", "'missing': ['minute',"),
        ({"readings": []}, "readings", "a list of 1 to 1000 readings"),
        ({"readings": "all"}, "readings", "a list of 1 to 1000 readings"),
        ({"readings": [3]}, "readings[0]", "an object with the fields of a reading"),
        ({"readings": [{"power": 1.0}]}, "readings", "no timestamp that can be read"),
        (
            {"readings": [{"device_id": "inverter-2", "power": 1}]},
            "readings[0].device_id",
            "a reading of inverter-1, whose model this is",
        ),
    ],
)
def test_a_request_that_cannot_be_answered_says_what_was_expected_and_where(
    answerer: Answerer, request_: dict[str, Any], where: str, said: str
) -> None:
    """The client's developer reads this once and knows."""
    with pytest.raises(RequestInvalid) as refused:
        answerer.answer("predict", request_, NOW)

    assert refused.value.where == where
    assert said in str(refused.value)


def test_a_row_without_its_power_is_refused(answerer: Answerer, week: TrainingSet) -> None:
    """The forecast is a change of it."""
    row = dict(zip(COLUMN, week.features[0].tolist(), strict=True))

    with pytest.raises(RequestInvalid, match=r"instances\[1\]\.power: expected a finite number"):
        answerer.answer("predict", {"instances": [row, {**row, "power": None}]}, NOW)
    with pytest.raises(NotFound):
        answerer.answer("tomorrow", {}, NOW)


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"time_zone": "Colombo"}, "an IANA name such as Asia/Colombo"),
        ({"horizon_min": 0}, "horizon_min"),
        ({"horizon_min": 1, "tolerance_s": 60}, "less than the horizon"),
        ({"history_days": 1}, "history_days"),
        ({"estimator": "forest"}, "estimator"),
        ({"horizont": 15}, "Known parameters: time_zone, horizon_min"),
    ],
)
def test_wrong_parameters_are_named_at_the_start(parameters: dict[str, Any], said: str) -> None:
    """Not at half past six in the evening, when the first training is due."""
    with pytest.raises(SettingsInvalid, match=said):
        open_workload("solar_power", parameters)


def test_an_option_that_the_estimator_does_not_know_is_a_setting_to_correct(
    week: TrainingSet,
) -> None:
    """Known only to scikit-learn, so it is said when the first run fits."""
    workload = SolarPower({"estimator_options": {"trees": 7}})

    with pytest.raises(SettingsInvalid, match=r"estimator_options of random_forest: .*trees"):
        workload.fit(week, 0, no_progress)


def test_serving_needs_neither_pandas_nor_scikit_learn() -> None:
    """The serving process pays for every import in memory and in time to the first answer."""
    code = (
        "import sys; from shared.workloads import open_workload; open_workload('solar_power', {});"
        " print([m for m in ('pandas', 'sklearn', 'scipy', 'joblib') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
