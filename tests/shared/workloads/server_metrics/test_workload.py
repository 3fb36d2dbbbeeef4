"""The server metrics contract: odd rows, honest features, never worse than persistence."""

from __future__ import annotations

import io
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import joblib
import msgspec
import numpy as np
import pytest

from shared.errors import LoadFailed, NotFound, RequestInvalid, SettingsInvalid
from shared.forms import data_tree
from shared.records import Table, to_epoch_us
from shared.workloads import open_workload
from shared.workloads.server_metrics.columns import read_columns
from shared.workloads.server_metrics.features import FEATURES, METRIC, feature_rows, newest_hours
from shared.workloads.server_metrics.model import FleetForecaster, MetricModel
from shared.workloads.server_metrics.records import Sample, SampleReader
from shared.workloads.server_metrics.risk import alert_level, metric_risk, steady_trends
from shared.workloads.server_metrics.workload import STREAM, ServerMetrics
from shared.workloads.training import Admitted, TrainingSet
from tests.support.daemons import ROOT

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
METRICS = ("cpu", "memory", "disk", "load")
READER = SampleReader(METRICS, frozenset(METRICS[:3]))
Curve = Callable[[np.ndarray[Any, Any], np.random.Generator], np.ndarray[Any, Any]]


def quiet(_share: float, _stage: str) -> None:
    pass


def table(rows: list[tuple[datetime, dict[str, Any]]]) -> Table:
    return Table(
        STREAM,
        [str(n) for n in range(len(rows))],
        [to_epoch_us(at) for at, _ in rows],
        [msgspec.json.encode(fields) for _, fields in rows],
    )


def series(days: int = 4, step_s: int = 60, **curves: Curve) -> Table:
    """One server; each metric as a function of the minute."""
    n = days * 86_400 // step_s
    minutes = np.arange(n) * step_s / 60
    columns = {
        name: curve(minutes, np.random.default_rng(7)).tolist() for name, curve in curves.items()
    }
    begin = NOW - timedelta(days=days)
    rows = []
    for i in range(n):
        at = begin + timedelta(seconds=i * step_s)
        values = {name: column[i] for name, column in columns.items()}
        rows.append((at, {"server": "web-1", "timestamp": at.isoformat(), **values}))
    return table(rows)


def returning(minutes: np.ndarray[Any, Any], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Noise around a level: the next minute is nearer to the mean than this one."""
    return 50 + 10 * np.sin(minutes / 200) + rng.normal(0, 5, len(minutes))


def shifting(minutes: np.ndarray[Any, Any], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """A level that jumps and stays, as memory does: nothing can be known but where it is."""
    return 40 + np.cumsum(rng.choice([0.0, -1.0, 1.0], len(minutes), p=[0.9, 0.05, 0.05])) % 50


@pytest.fixture(scope="module")
def workload() -> ServerMetrics:
    return ServerMetrics({"metrics": ["cpu", "memory"]})


@pytest.fixture(scope="module")
def rows(workload: ServerMetrics) -> TrainingSet:
    return workload.training_set({STREAM: series(cpu=returning, memory=shifting)})


@pytest.fixture(scope="module")
def estimator(workload: ServerMetrics, rows: TrainingSet) -> FleetForecaster:
    return workload.fit(workload.split(rows)[0], 0, quiet)


# -- rows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "values"),
    [
        ({"server": "a", "cpu": 12.5, "memory": 40}, {"cpu": 12.5, "memory": 40.0}),
        ({"server": "a", "cpu_percent": "12.5 %", "mem": "40,5"}, {"cpu": 12.5, "memory": 40.5}),
        ({"server": "a", "metrics": {"cpuUsage": 1, "ram": 2}}, {"cpu": 1.0, "memory": 2.0}),
        (
            {"server": "a", "cpu": {"percent": 3}, "disk": {"used_percent": 4}},
            {"cpu": 3, "disk": 4},
        ),
        ({"server": "a", "cpu": [10, 30], "load_avg": [0.5, 0.4, 0.3]}, {"cpu": 20, "load": 0.5}),
        ({"server": "a", "CPU": 0, "memory": None, "disk": "n/a"}, {"cpu": 0.0}),
        ({"server": "a", "cpu": True, "load1": 2}, {"load": 2.0}),
        # Bytes become the share of the total; the total alone is no percentage.
        (
            {"server": "a", "cpu": 1, "memory": {"total": 16e9, "free": 12e9, "used": 4e9}},
            {"cpu": 1.0, "memory": 25.0},
        ),
        ({"server": "a", "memory": {"total": 8e9, "available": 6e9, "free": 1e9}}, {"memory": 25}),
        (
            {"server": "a", "mem_total": 8e9, "mem_used": 2e9, "cpu": {"total": 7}},
            {"cpu": 7.0, "memory": 25.0},
        ),
        ({"server": "a", "disk": {"size": "400", "used": "100", "percent": None}}, {"disk": 25.0}),
        ({"server": "a", "cpu": 3, "memory": 16e9, "disk": -1}, {"cpu": 3.0}),
        ({"server": "a", "cpu": 800}, {"cpu": 800.0}),
        # Parts of a processor's time; counters of seconds are no percentages.
        (
            {"server": "a", "cpu_user_pct": 20, "cpu_sys_pct": 8, "cpu_idle_pct": 70, "load1": 1},
            {"cpu": 30.0, "load": 1.0},
        ),
        ({"server": "a", "cpuUserPct": 0.2, "cpuSysPct": 0.1, "cpuIdlePct": 0.7}, {"cpu": 0.3}),
        ({"server": "a", "cpu_user": 71250.5, "cpu_system": 900, "mem_util": 5}, {"memory": 5.0}),
        ({"server": "a", "CPU (%)": 3, "Memory Usage %": 4}, {"cpu": 3.0, "memory": 4.0}),
        # One row for each metric, named by a field.
        ({"host": "a", "metric": "cpu.usage", "value": "96"}, {"cpu": 96.0}),
        ({"host": "a", "name": "load1", "value": 2}, {"load": 2.0}),
        ({"host": "a", "name": "x", "__name__": "load1", "value": 2}, {"load": 2.0}),
    ],
)
def test_numbers_are_found_in_the_shapes_that_agents_send(
    fields: dict[str, Any], values: dict[str, float]
) -> None:
    """Nobody rewrites an agent to try a forecast."""
    found = READER.read(fields)

    assert isinstance(found, Sample)
    assert found.values == pytest.approx(values)


@pytest.mark.parametrize("name", ["server", "host", "hostname", "serverName", "Node", "instance"])
def test_the_server_is_found_under_its_usual_names(name: str) -> None:
    """The label differs by tool; a number is a name too."""
    found = READER.read({name: 7, "cpu": 1})

    assert isinstance(found, Sample)
    assert found.server == "7"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"cpu": 1}, "no server name"),
        ({"server": " ", "cpu": 1}, "no server name"),
        ({"server": "a"}, "none of the metrics cpu, memory"),
        ({"server": "a", "cpu": "NaN"}, "none of the metrics cpu, memory"),
        ({"server": "a", "cpu": 1, "time": "noon"}, "a time that cannot be read"),
        ({"server": "a", "cpu": 1, "time": -5}, "a time that cannot be read"),
        ({"server": "a", "memory": {"total": 16e9}}, "none of the metrics cpu, memory"),
        ({"server": "a", "memory": 16e9}, "memory is no percentage"),
        ({"server": "undefined", "cpu": 1}, "no server name"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(
    workload: ServerMetrics, fields: dict[str, Any], reason: str
) -> None:
    """The sender sees the reason in the answer."""
    assert workload.reject_reason(STREAM, fields) == reason


def test_a_row_is_kept_once_a_server_and_moment(workload: ServerMetrics) -> None:
    """A batch sent twice must not count twice; without a time of its own it is of now."""
    timed = workload.admit(STREAM, {"host": "a", "ts": NOW.timestamp(), "cpu": 1}, NOW)
    untimed = workload.admit(STREAM, {"host": "a", "cpu": 1}, NOW)

    assert isinstance(timed, Admitted)
    assert isinstance(untimed, Admitted)
    assert timed.id == untimed.id == "a@2026-11-21T12:00:00+00:00 cpu"
    whole = workload.admit(STREAM, {"host": "a", "ts": NOW.timestamp(), "cpu": 1, "mem": 2}, NOW)
    assert isinstance(whole, Admitted)
    assert whole.id == "a@2026-11-21T12:00:00+00:00"
    assert untimed.fields["timestamp"] == NOW.isoformat()
    assert timed.sample == {"at": NOW.timestamp(), "cpu": 1.0}


# -- training --------------------------------------------------------------------------------------


def test_many_rows_at_once_are_read_as_each_of_them_is() -> None:
    """Training reads columns, the API reads rows; what one refuses the other must refuse."""
    chance = np.random.default_rng(3)
    odd: list[tuple[str, list[Any]]] = [
        ("host", ["a", "b", "a", 7, "7", "", None, "null", " b "]),
        ("time", [NOW.isoformat(), "2026-11-21T11:59:30Z", NOW.timestamp(), "20.11.2026",
                  int(NOW.timestamp() * 1e3), "2026-11-21 11:00:00", "noon", 0, None, "9999"]),
        ("cpu", [1, 2.5, "3,5 %", None, True, [4, 6], {"percent": 7}, -1, 1e9, "n/a", 1e400]),
        ("cpu_pct", [5, None]),
        ("cpu_user_pct", [20, "3 %", None]),
        ("cpu_sys_pct", [4]),
        ("memory", [1, 40.0, 3e9, {"total": 8, "used": 2}, None]),
        ("metrics", [{"mem": 30}, {"memory": {"free": 6, "size": 8}}, 3]),
    ]  # fmt: skip
    some = []
    for _ in range(3000):
        names = [field for field in odd if chance.random() < 0.7]
        some.append({name: values[chance.integers(len(values))] for name, values in names})
    source = table([(NOW, fields) for fields in some])
    reader = SampleReader(("cpu", "memory"), frozenset(("cpu", "memory")))
    rejected: Counter[str] = Counter()

    columns = read_columns(source, reader, rejected)

    found: dict[str, list[tuple[float, ...]]] = {}
    refused: Counter[str] = Counter()
    for record in source:
        sample = reader.read(record.fields)
        if isinstance(sample, str):
            refused[sample] += 1
            continue
        refused.update(f"{metric} is no percentage" for metric in sample.impossible)
        at = (sample.at or record.updated_at).timestamp()
        values = [sample.values.get(metric, -1.0) for metric in reader.metrics]
        found.setdefault(sample.server, []).append((at, *values))
    assert rejected == refused
    assert {
        server: list(zip(times.tolist(), *np.nan_to_num(values, nan=-1.0).T.tolist(), strict=True))
        for server, times, values in columns.by_server()
    } == {server: sorted(rows, key=lambda row: row[0]) for server, rows in sorted(found.items())}


def test_of_rows_for_one_metric_each_the_newest_of_each_metric_counts() -> None:
    """Agents send the processor and the memory seconds apart; neither may hide the other."""
    begin = NOW - timedelta(hours=3)
    rows = [
        (at, {"host": "a", "timestamp": at.isoformat(), name: number})
        for minute in range(180)
        for name, second, number in (("cpu", 1, 96.0), ("memory", 11, 30.0), ("cpu", 31, 95.0))
        for at in [begin + timedelta(minutes=minute, seconds=second)]
    ]

    made = ServerMetrics({"metrics": ["cpu", "memory"]}).training_set({STREAM: table(rows)})

    newest = made.context.golden_windows["a"][-1]
    assert (newest["cpu"], newest["memory"]) == (95.0, 30.0)
    assert newest["at"] == (begin + timedelta(minutes=179, seconds=31)).timestamp()
    assert set(made.slices.tolist()) == {"cpu", "memory"}


def test_no_feature_knows_what_came_later(workload: ServerMetrics) -> None:
    """Changing the future must not change a row; else accuracy is a lie."""
    past = series(days=2, cpu=returning)
    cut = 2000
    other = [msgspec.json.decode(body) for body in past.bodies]
    for fields in other[cut:]:
        fields["cpu"] = 3.0
    changed = Table(STREAM, past.ids, past.updated_at_us, [msgspec.json.encode(f) for f in other])

    before = workload.training_set({STREAM: past})
    after = workload.training_set({STREAM: changed})

    n = cut - 11  # the first ten minutes give no row
    assert np.array_equal(before.features[:n], after.features[:n])
    assert not np.array_equal(before.features[n : n + 5], after.features[n : n + 5])


def test_a_row_belongs_to_the_day_on_which_its_last_target_was_known(rows: TrainingSet) -> None:
    """A version trained until a day must not have seen the first hour of the next."""
    midnight = np.flatnonzero(rows.day[1:] != rows.day[:-1])[0] + 1
    cpu = rows.features[midnight]

    # 23:00, whose value an hour later is the new day's first.
    assert cpu[-4] == pytest.approx(np.sin(2 * np.pi * 23 / 24), abs=1e-6)


def test_a_window_gives_the_same_features_as_the_history_does(rows: TrainingSet) -> None:
    """Both daemons must see the same row, or the model is asked what it never learnt."""
    source = series(cpu=returning, memory=shifting)
    samples = [msgspec.json.decode(body) for body in source.bodies]
    chosen = [i for i in np.flatnonzero(rows.features[:, 0] == 0) if i > 400][:50:7]

    for i in chosen:
        end = 10 + i // 2  # two metrics a minute; the first ten minutes give no row
        window = samples[end - 60 : end + 1]
        at_s = [datetime.fromisoformat(one["timestamp"]).timestamp() for one in window]
        cpu = np.array([one["cpu"] for one in window])
        hours, minutes, _ = newest_hours(np.array(at_s), np.zeros(61, dtype=np.int64), cpu)
        assert np.allclose(feature_rows(0, hours, minutes)[0], rows.features[i])


def test_rows_every_few_seconds_count_once_a_minute(workload: ServerMetrics) -> None:
    """An agent that sends ten times as often must not weigh ten times as much."""
    often = workload.training_set({STREAM: series(days=1, step_s=10, cpu=returning)})

    assert often.n_rows == pytest.approx(1440 - 60 - 10, abs=2)


def test_gaps_and_slow_agents_are_bridged_for_a_few_minutes(workload: ServerMetrics) -> None:
    """An agent that sends every five minutes is still forecast; a night of silence is no data."""
    slow = workload.training_set({STREAM: series(days=1, step_s=300, cpu=returning)})
    broken = series(days=1, cpu=returning)
    keep = [i for i in range(1440) if not 400 <= i < 800]
    silent = workload.training_set(
        {
            STREAM: Table(
                STREAM,
                [broken.ids[i] for i in keep],
                [broken.updated_at_us[i] for i in keep],
                [broken.bodies[i] for i in keep],
            )
        }
    )

    assert slow.n_rows > 200
    assert np.isfinite(silent.target).all()
    assert np.isfinite(silent.features).all()


def test_too_many_rows_are_thinned_out_and_old_ones_left(workload: ServerMetrics) -> None:
    """Five hundred servers over two months are more than a small machine can hold."""
    source = series(days=4, cpu=returning)
    thin = ServerMetrics({"metrics": ["cpu"], "max_rows": 1000})
    young = ServerMetrics({"metrics": ["cpu"], "history_days": 1})

    thinned = thin.training_set({STREAM: source})
    recent = young.training_set({STREAM: source})

    assert 500 < thinned.n_rows <= 1200
    assert np.unique((thinned.features[:, -4] * 1000).round()).size > 300
    assert recent.rejected == {"older than history_days": 4319}


def test_the_holdout_is_the_newest_days(workload: ServerMetrics, rows: TrainingSet) -> None:
    """What the model is judged on must lie after all that it saw."""
    train, holdout = workload.split(rows)

    assert train.day.max() < holdout.day.min()
    assert (train.n_days, holdout.n_days) == (3, 2)
    assert train.n_rows + holdout.n_rows == rows.n_rows


def test_a_metric_that_returns_to_its_level_is_forecast_better_than_persistence(
    workload: ServerMetrics, rows: TrainingSet, estimator: FleetForecaster
) -> None:
    """Otherwise nobody needs the model."""
    _, holdout = workload.split(rows)

    ours = workload.score(estimator, holdout).metrics
    stays = workload.score_baseline(holdout).metrics

    assert ours["mae_cpu_1_min"] < 0.85 * stays["mae_cpu_1_min"]
    assert ours["mae_cpu_60_min"] < 0.9 * stays["mae_cpu_60_min"]
    assert 0.7 < ours["in_80_percent_band"] < 0.95


def test_where_the_regression_loses_the_forecast_is_persistence_itself(
    workload: ServerMetrics, rows: TrainingSet, estimator: FleetForecaster
) -> None:
    """Memory shifts its level and stays: a model that expects a return would be wrong for hours."""
    _, holdout = workload.split(rows)

    ours = workload.score(estimator, holdout).metrics
    stays = workload.score_baseline(holdout).metrics

    for horizon in workload.parameters.horizons_min:
        assert ours[f"mae_memory_{horizon}_min"] <= stays[f"mae_memory_{horizon}_min"] * 1.0001
    memory = estimator.metrics["memory"]
    assert isinstance(memory, MetricModel)
    assert (memory.linear_share[0], memory.boosted_share[0]) == (0, 0)


def test_bands_hold_and_forecasts_stay_after_a_change_of_level() -> None:
    """A new release of a service moves its level for good: what was usual says nothing any more."""
    rng = np.random.default_rng(5)
    wave = [0.0]
    for step in rng.normal(0, 1, 6 * 1440 - 1):
        wave.append(0.97 * wave[-1] + step)
    values = np.array(wave) + 40
    values[5 * 1440 :] += 30
    workload = ServerMetrics({"metrics": ["cpu"], "horizons_min": [5, 60]})
    rows = workload.training_set({STREAM: series(days=6, cpu=lambda *_: values)})
    last = rows.day == rows.day.max()

    estimator = workload.fit(rows.where(~last), 0, quiet)
    ours = workload.score(estimator, rows.where(last)).metrics
    stays = workload.score_baseline(rows.where(last)).metrics

    assert 0.7 < ours["in_80_percent_band"] < 0.9
    assert ours["in_80_percent_band"] + 0.05 < ours["in_90_percent_band"] < 0.97
    for horizon in (5, 60):
        assert ours[f"mae_cpu_{horizon}_min"] <= stays[f"mae_cpu_{horizon}_min"] * 1.02


def test_a_job_every_five_minutes_and_the_day_are_found() -> None:
    """What happens by the clock is known ahead, for each server by itself."""
    workload = ServerMetrics({"metrics": ["cpu"], "horizons_min": [1, 60]})

    def busy(minutes: np.ndarray[Any, Any], rng: np.random.Generator) -> np.ndarray[Any, Any]:
        wave = 10 * np.sin(2 * np.pi * minutes / 1440)
        shaken = rng.normal(0, 0.5, len(minutes))
        return np.asarray(30 + wave + 15 * (minutes % 5 == 0) + shaken)

    rows = workload.training_set({STREAM: series(days=5, cpu=busy)})
    train, holdout = workload.split(rows)
    ours = workload.score(workload.fit(train, 0, quiet), holdout).metrics
    stays = workload.score_baseline(holdout).metrics

    assert ours["mae_cpu_1_min"] < 0.3 * stays["mae_cpu_1_min"]
    assert ours["mae_cpu_60_min"] < 0.7 * stays["mae_cpu_60_min"]


def test_a_full_cache_is_no_alert_and_a_leak_is_one_before_the_end() -> None:
    """Memory with its cache stands at 96 % for months; one that rises steadily is full soon."""
    minutes = np.arange(61.0)
    ahead = np.array([0.0, 30.0, 60.0])
    cache = 96 + 0.2 * np.sin(minutes)
    leak = 60 + 0.45 * minutes

    trends = steady_trends(np.stack([cache, leak]), ahead)
    assert np.isnan(trends[0]).all()
    assert trends[1, 2] == pytest.approx(leak[-1] + 0.45 * 60, abs=1.5)
    expected, away = np.array([[96.0], [86.0]]) * np.ones(3), np.array([[0.3], [8.0]])
    calm, rising = metric_risk(expected - away, expected, expected + away, 100, trends)
    assert (alert_level(calm), alert_level(rising)) == ("healthy", "critical")


def test_the_same_rows_give_the_same_estimator(workload: ServerMetrics, rows: TrainingSet) -> None:
    """A run can be repeated when somebody asks why."""
    cpu = rows.where(rows.features[:, METRIC] == 0)
    few = cpu.where(np.arange(cpu.n_rows) < 2500)
    first, again = (workload.fit(few, 1, quiet) for _ in range(2))

    assert joblib.hash(first) == joblib.hash(again)
    stored = data_tree.decode(*data_tree.encode(first))
    assert workload.score(stored, few).metrics == workload.score(first, few).metrics


def test_too_few_rows_learn_nothing_and_say_persistence(workload: ServerMetrics) -> None:
    """The first hours of a new fleet."""
    few = workload.training_set({STREAM: series(days=1, step_s=1800, cpu=returning)})

    estimator = workload.fit(few, 0, quiet)

    assert estimator.metrics == {}
    assert workload.training_set({STREAM: table([])}).n_rows == 0


# -- answers ---------------------------------------------------------------------------------------


def test_a_stored_model_answers_as_before(
    workload: ServerMetrics, rows: TrainingSet, estimator: FleetForecaster
) -> None:
    """What passed the gate is what serves, in another process and after months."""
    state = workload.state(rows)
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    stored = workload.open(joblib.load(file), state)
    fresh = workload.open(estimator, state)

    for golden in workload.golden_requests(rows):
        through_json = msgspec.json.decode(msgspec.json.encode(golden.request))
        expected = fresh.answer(golden.question, golden.request, golden.now)
        assert stored.answer(golden.question, through_json, golden.now) == expected
        assert msgspec.json.decode(msgspec.json.encode(expected)) == expected
    questions = {golden.question for golden in workload.golden_requests(rows)}
    assert questions == set(fresh.questions)


def test_a_forecast_stays_where_the_metric_can_be(workload: ServerMetrics) -> None:
    """101 % of a disk is a number that costs trust."""
    full = series(days=1, cpu=lambda m, rng: np.clip(99 + rng.normal(0, 3, len(m)), 0, 100))
    rows = workload.training_set({STREAM: full})
    answerer = workload.open(workload.fit(rows, 0, quiet), workload.state(rows))
    window = [{"at": NOW.timestamp() - 60 * (60 - i), "cpu": 99.0} for i in range(61)]

    (server,) = answerer.answer("fleet", {"windows": {"a": window}}, NOW)["servers"]

    assert all(0 <= step["cpu"]["low"] <= step["cpu"]["high"] <= 100 for step in server["forecast"])


def test_a_silent_server_is_at_least_a_warning(
    workload: ServerMetrics, rows: TrainingSet, estimator: FleetForecaster
) -> None:
    """The healthiest last word is no comfort when nothing followed it."""
    answerer = workload.open(estimator, workload.state(rows))
    window = [{"at": NOW.timestamp() - 1800, "cpu": 5.0}]

    (server,) = answerer.answer("fleet", {"windows": {"a": window}}, NOW)["servers"]

    assert (server["is_silent"], server["alert_level"]) == (True, "warning")
    assert server["reasons"] == ["nothing was heard for 30 min"]


def test_a_server_with_one_sample_is_forecast_too(
    workload: ServerMetrics, rows: TrainingSet, estimator: FleetForecaster
) -> None:
    """A new machine appears in the list at its first row."""
    answerer = workload.open(estimator, workload.state(rows))

    answer = answerer.answer(
        "fleet", {"windows": {"new": [{"at": NOW.timestamp(), "cpu": 42.0}], "empty": []}}, NOW
    )

    (server,) = answer["servers"]
    assert server["current"] == {"cpu": 42.0}
    assert 30 < server["forecast"][0]["cpu"]["expected"] < 60


@pytest.mark.parametrize(
    ("question", "request_", "where"),
    [
        ("fleet", {}, "windows"),
        ("fleet", {"windows": []}, "windows"),
        ("fleet", {"windows": {"a": [{"cpu": 1}]}}, "windows"),
        ("fleet", {"windows": {"a": [{"at": "x", "cpu": 1}]}}, "windows"),
        ("fleet", {"windows": {}, "n": 1}, "request"),
        ("predict", {"instances": [{"cpu": 1}]}, "instances[0]"),
    ],
)
def test_a_wrong_request_says_what_was_expected(
    workload: ServerMetrics,
    rows: TrainingSet,
    estimator: FleetForecaster,
    question: str,
    request_: dict[str, Any],
    where: str,
) -> None:
    """The sentence is all that the client has."""
    answerer = workload.open(estimator, workload.state(rows))

    with pytest.raises(RequestInvalid) as refused:
        answerer.answer(question, request_, NOW)

    assert refused.value.where == where


def test_feature_rows_are_checked_by_value_too(
    workload: ServerMetrics, rows: TrainingSet, estimator: FleetForecaster
) -> None:
    """A row of another model's metric would get a number that means nothing."""
    answerer = workload.open(estimator, workload.state(rows))
    row = dict.fromkeys([spec.name for spec in FEATURES], 1.0)

    good = answerer.answer("predict", {"instances": [row]}, NOW)

    assert len(good["predictions"][0]) == 5
    for name, value in (("metric", 2), ("metric", 0.5), ("value", None)):
        with pytest.raises(RequestInvalid, match=name):
            answerer.answer("predict", {"instances": [{**row, name: value}]}, NOW)
    with pytest.raises(NotFound):
        answerer.answer("weather", {}, NOW)


def test_a_version_of_other_metrics_is_not_opened(
    workload: ServerMetrics, rows: TrainingSet, estimator: FleetForecaster
) -> None:
    """Position 1 would be memory in one and disk in the other."""
    other = ServerMetrics({"metrics": ["cpu", "disk"]})

    with pytest.raises(LoadFailed, match="disk"):
        other.open(estimator, workload.state(rows))
    with pytest.raises(LoadFailed):
        workload.open({}, workload.state(rows))


@pytest.mark.parametrize(
    ("score", "level"),
    [
        (100, "critical"),
        (80, "critical"),
        (79.9, "warning"),
        (60, "warning"),
        (50, "degraded"),
        (49.9, "healthy"),
        (0, "healthy"),
    ],
)
def test_alert_levels_begin_where_they_are_documented(score: float, level: str) -> None:
    """Somebody is woken up by these numbers."""
    assert alert_level(score) == level


def test_risk_grows_with_what_is_and_with_what_may_come() -> None:
    """A disk that will be full within the hour is a risk before it is full."""
    low = np.array([[40.0, 38], [70, 90], [100, 100]])
    expected = np.array([[40.0, 41], [70, 99], [100, 100]])
    high = np.array([[40.0, 45], [70, 100], [100, 100]])
    calm, rising, full = metric_risk(low, expected, high, 100)

    assert alert_level(calm) == "healthy"
    assert alert_level(rising) == "critical"
    assert (calm < rising < full, full) == (True, 100.0)


@pytest.mark.parametrize(
    "parameters",
    [
        {"metrics": []},
        {"metrics": ["cpu", "cpu"]},
        {"horizons_min": [5, 1]},
        {"horizons_min": [0]},
        {"limits": {"cpu": 0}},
        {"limits": {"cpu": float("nan")}},
        {"silent_after_s": float("inf")},
        {"colour": "red"},
    ],
)
def test_parameters_that_make_no_sense_are_refused(parameters: dict[str, Any]) -> None:
    """At the start, not at the first training in the night."""
    with pytest.raises(SettingsInvalid):
        open_workload("server_metrics", parameters)


def test_serving_imports_neither_pandas_nor_scikit_learn() -> None:
    """Each worker of the API would pay for them in memory."""
    program = (
        "import sys; import shared.workloads.server_metrics.workload;"
        " print({'pandas', 'sklearn', 'scipy'} & set(sys.modules))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "set()"
