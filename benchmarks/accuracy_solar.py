"""How good the solar power forecast is on real power and real weather.

A photovoltaic system in Golden, Colorado, 2011 to 2013, with satellite weather of the place:
`system_50_ac_power_2_full_DST` and its `_psm3`, which come with the package pvanalytics (0.2.2;
located, never imported). The newest fifth of the days is held out. Everything goes the way of
production: documents as an application writes them, training set, split, fit, score; then the
same forecasts through the answer of an opened version, from raw readings.

    .venv/bin/python -m benchmarks.accuracy_solar

How the columns become readings:

| reading | from | remark |
| --- | --- | --- |
| `timestamp` | `measured_on` of the power | see below |
| `power` | `ac_power_2`, W | where it is missing the reading has none and is rejected |
| `lux` | `ghi`, W/m² of the weather at that moment | unit as it is: all rows have the same |
| `temperature` | `temp_air`, °C of the weather | |
| `status` | "online" | |
| all others | not there | columns without any value count as 0 |

Weather comes each half hour and power each quarter, so every second power value is used and the
horizon is 30 minutes. Only what was known at the reading enters a row: the weather of the moment
that is forecast does not.

`measured_on` says -07:00 all year, but the clock of the logger was put forward in summer: on
11 March 2012 the values from 02:00 to 02:45 are missing, and taken at its word the sun would
culminate an hour late from March to November. So it is written as what it is, a naive local time
of America/Denver, and the workload finds the moment. The weather is -07:00 as it says.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.newest_fifth import split_off_newest_fifth
from shared.records import Table
from shared.workloads.contract import Answerer
from shared.workloads.solar_power.rows import COLUMN
from shared.workloads.solar_power.workload import SolarPower
from shared.workloads.training import Score, TrainingSet

BAR_W = 120.0
POWER_FILE = "system_50_ac_power_2_full_DST.parquet"
WEATHER_FILE = "system_50_ac_power_2_full_DST_psm3.parquet"
ZONE = ZoneInfo("America/Denver")
PARAMETERS = {
    "time_zone": "America/Denver",
    "horizon_min": 30,
    "tolerance_s": 30,
    "history_days": 3650,
    "estimator": "random_forest",  # one fit for half a year: the day's profile would be too old
}

_STEP_US = 1_800_000_000
_DAY_US = 86_400_000_000
_MINUS_SEVEN_US = 7 * 3_600_000_000

HOTFIT = "hotfit"
PERSISTENCE = "the power stays what it is"
YESTERDAY = "yesterday's value at the same time"
NO_WEATHER = "hotfit without the weather"
AT_ITS_WORD = "hotfit, the file's -07:00 taken at its word"
DAILY = "hotfit retrained each day on the 7 days before it"
DAILY_PERSISTENCE = "the power stays what it is, on the days of the line above"
N_SERVED = 200

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Mean absolute errors in W on the same held-out rows.

    mae : name -> error.
    served_gap_w : greatest difference between forecasts of the score and those that an opened
        version answers to the raw readings.
    """

    mae: Mapping[str, float]
    n_train: int
    n_holdout: int
    n_holdout_days: int
    rejected: Mapping[str, int]
    served_gap_w: float

    @property
    def hotfit(self) -> float:
        return self.mae[HOTFIT]

    @property
    def naive(self) -> list[float]:
        return [self.mae[PERSISTENCE], self.mae[YESTERDAY]]


def data_directory() -> Path | None:
    """Where pvanalytics keeps its data; None when it is not installed."""
    spec = find_spec("pvanalytics")
    if spec is None or not spec.submodule_search_locations:
        return None
    directory = Path(spec.submodule_search_locations[0]) / "data"
    return directory if (directory / POWER_FILE).exists() else None


def read_documents(directory: Path) -> list[dict[str, Any]]:
    """Power and weather of each half hour as an application would have written them."""
    power = pq.read_table(directory / POWER_FILE)
    weather = pq.read_table(directory / WEATHER_FILE)
    # Both files hold moments; subtracting their -07:00 again gives the clock that was written.
    clock_us = power["measured_on"].cast("int64").to_numpy() - _MINUS_SEVEN_US
    watts = power["ac_power_2"].to_numpy(zero_copy_only=False).astype(np.float64)
    weather_us = weather["index"].cast("int64").to_numpy()
    weather_at = {int(at_us): i for i, at_us in enumerate(weather_us)}
    ghi = weather["ghi"].to_pylist()
    temperature = weather["temp_air"].to_pylist()
    found = []
    for at_us, watt in zip(clock_us.tolist(), watts.tolist(), strict=True):
        if at_us % _STEP_US:
            continue
        clock = datetime(1970, 1, 1) + timedelta(microseconds=at_us)  # noqa: DTZ001 - naive, as logged
        moment = clock.replace(tzinfo=ZONE).astimezone(UTC)
        row = weather_at.get(round(moment.timestamp()) * 1_000_000)
        fields: dict[str, Any] = {
            "device_id": "system-50",
            "timestamp": clock.isoformat(sep=" "),
            "power": None if watt != watt else watt,
            "status": "online",
        }
        if row is not None:
            fields |= {"lux": ghi[row], "temperature": temperature[row]}
        found.append(fields)
    return found


def as_table(documents: list[dict[str, Any]]) -> Table:
    """The documents as the trainer gets them, all written at the end."""
    written_us = round(datetime(2014, 1, 2, tzinfo=UTC).timestamp()) * 1_000_000
    n = len(documents)
    return Table(
        "readings",
        [f"{i:06d}" for i in range(n)],
        [written_us + i for i in range(n)],
        [msgspec.json.encode(fields) for fields in documents],
    )


def measure(documents: list[dict[str, Any]]) -> Accuracy:
    """Fit on the older four fifths of the days, measure on the newest."""
    workload = SolarPower(PARAMETERS)
    rows = workload.training_set({"readings": as_table(documents)})
    train, holdout = split_off_newest_fifth(rows)
    estimator = workload.fit(train, seed=0, progress=_nobody)
    score = workload.score(estimator, holdout)
    assert score.rows is not None
    answerer = workload.open(estimator, workload.state(rows))
    return Accuracy(
        mae={
            HOTFIT: _mean_error(score),
            PERSISTENCE: float(
                np.abs(holdout.target - holdout.features[:, COLUMN["power"]]).mean()
            ),
            YESTERDAY: _yesterday_mae(documents, holdout),
        },
        n_train=train.n_rows,
        n_holdout=holdout.n_rows,
        n_holdout_days=holdout.n_days,
        rejected=rows.rejected,
        served_gap_w=_served_gap_w(documents, answerer, holdout, score.rows.predicted),
    )


def measure_more(documents: list[dict[str, Any]]) -> dict[str, float]:
    """What the weather and the right clock are worth, and a history of seven days."""
    without = [{**fields, "lux": None, "temperature": None} for fields in documents]
    at_its_word = [{**fields, "timestamp": fields["timestamp"] + "-07:00"} for fields in documents]
    return {
        NO_WEATHER: _mae(without),
        AT_ITS_WORD: _mae(at_its_word),
        **_daily_mae(documents),
    }


def _mae(documents: list[dict[str, Any]]) -> float:
    workload = SolarPower(PARAMETERS)
    rows = workload.training_set({"readings": as_table(documents)})
    train, holdout = split_off_newest_fifth(rows)
    estimator = workload.fit(train, seed=0, progress=_nobody)
    return _mean_error(workload.score(estimator, holdout))


def _mean_error(score: Score) -> float:
    """Night and day."""
    assert score.rows is not None
    return float(np.abs(score.rows.actual - score.rows.predicted).mean())


def _daily_mae(documents: list[dict[str, Any]], every_days: int = 4) -> dict[str, float]:
    """Each fourth day of the newest fifth, from a fit on the seven days before it."""
    workload = SolarPower(PARAMETERS)
    rows = workload.training_set({"readings": as_table(documents)})
    days = np.unique(split_off_newest_fifth(rows)[1].day)[::every_days]
    losses, naive = [], []
    for day in days:
        train = rows.where((rows.day < day) & (rows.day >= day - np.timedelta64(7, "D")))
        if train.n_rows >= 100:
            estimator = workload.fit(train, seed=0, progress=_nobody)
            one_day = rows.where(rows.day == day)
            rows_of_day = workload.score(estimator, one_day).rows
            assert rows_of_day is not None
            losses.append(np.abs(rows_of_day.actual - rows_of_day.predicted))
            naive.append(np.abs(one_day.target - one_day.features[:, COLUMN["power"]]))
    return {
        DAILY: float(np.concatenate(losses).mean()),
        DAILY_PERSISTENCE: float(np.concatenate(naive).mean()),
    }


def _yesterday_mae(documents: list[dict[str, Any]], holdout: TrainingSet) -> float:
    """Over the held-out times whose clock time of the day before has a value."""
    watts = {fields["timestamp"]: fields["power"] for fields in documents}
    first = str(holdout.day.min())
    errors = []
    for clock, watt in watts.items():
        before = watts.get(str(datetime.fromisoformat(clock) - timedelta(days=1)))
        if clock[:10] >= first and watt is not None and before is not None:
            errors.append(abs(watt - before))
    return float(np.mean(errors))


def _served_gap_w(
    documents: list[dict[str, Any]], answerer: Answerer, holdout: TrainingSet, predicted: Floats
) -> float:
    """Ask for forecasts from raw readings, as a client would, and compare with the score's."""
    usable = [fields for fields in documents if fields["power"] is not None]
    known = {fields["timestamp"]: i for i, fields in enumerate(usable)}
    scored = _by_clock(holdout, predicted)
    gap_w = 0.0
    for clock in list(scored)[:: max(1, len(scored) // N_SERVED)]:
        sent = usable[known[clock] - 4 : known[clock] + 1]
        answer = answerer.answer("predict", {"readings": sent}, datetime(2014, 1, 2, tzinfo=UTC))
        gap_w = max(gap_w, abs(answer["forecast"]["power_w"] - scored[clock]))
    return gap_w


def _by_clock(holdout: TrainingSet, predicted: Floats) -> dict[str, float]:
    """Clock text of a row's reading -> its forecast. A row knows the day of what it forecasts."""
    hour, minute = (holdout.features[:, COLUMN[name]].astype(int) for name in ("hour", "minute"))
    found = {}
    for i, day in enumerate(holdout.day.tolist()):
        clock = datetime(day.year, day.month, day.day, hour[i], minute[i])  # noqa: DTZ001 - a clock
        if hour[i] == 23 and minute[i] == 30:
            clock -= timedelta(days=1)
        found[str(clock)] = float(predicted[i])
    return found


def _nobody(_fraction: float, _stage: str) -> None:
    """Nobody watches this fit."""


def main() -> int:
    directory = data_directory()
    if directory is None:
        print("pvanalytics is not installed: pip install --no-deps pvanalytics==0.2.2")
        return 2
    documents = read_documents(directory)
    found = measure(documents)
    print(
        f"system 50, {found.n_train} rows to learn from, the newest {found.n_holdout_days} days"
        f" ({found.n_holdout} rows) held out; 30 minutes ahead, MAE in W (at most {BAR_W:g})"
    )
    for name, mae in {**found.mae, **measure_more(documents)}.items():
        print(f"  {mae:6.1f}  {name}")
    print(f"rejected: {dict(found.rejected)}")
    print(f"answers to raw readings differ from the score by at most {found.served_gap_w:.2g} W")
    return 0 if found.hotfit <= BAR_W else 1


if __name__ == "__main__":
    sys.exit(main())
