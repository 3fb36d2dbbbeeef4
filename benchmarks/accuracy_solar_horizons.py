"""How good the candidates of solar power are 15 minutes, an hour and a day ahead, by day.

    .venv/bin/python -m benchmarks.accuracy_solar_horizons

The quarter-hourly power of `benchmarks.accuracy_solar`, without any weather. Six times in the
newest half-year each candidate is fitted on 60 days and asked about the seven days after them;
night is left out. Goal: 15 % better than smart persistence at 15 and 60 minutes.
"""

from __future__ import annotations

import sys

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.accuracy_solar import POWER_FILE, data_directory
from shared.workloads.solar_power.power_model import CANDIDATES, fit_power, is_night
from shared.workloads.solar_power.profile import Past
from shared.workloads.solar_power.rows import COLUMN, FEATURES, target_index

_DAY_US, _MINUTE_US = 86_400_000_000, 60_000_000
_TRAIN_DAYS, _TEST_DAYS, _EVERY_DAYS, _NEWEST_DAYS = 60, 7, 36, 190
_GAP_US = 40 * _MINUTE_US

Floats = NDArray[np.float64]


def rows_of(clock_us: NDArray[np.int64], watts: Floats) -> Floats:
    """(n, n_features) of readings that know nothing but their power."""
    x = np.full((len(watts), len(FEATURES)), np.nan)
    x[:, COLUMN["hour"]] = clock_us // (60 * _MINUTE_US) % 24
    x[:, COLUMN["minute"]] = clock_us // _MINUTE_US % 60
    x[:, COLUMN["power"]] = watts
    change = np.diff(watts, prepend=watts[:1])
    change[np.diff(clock_us, prepend=clock_us[:1]) > _GAP_US] = 0.0
    x[:, COLUMN["power_change"]] = change
    x[:, COLUMN["power_mean_5"]] = [watts[max(0, i - 4) : i + 1].mean() for i in range(len(watts))]
    return x


def main() -> int:
    directory = data_directory()
    if directory is None:
        print("pvanalytics is not installed: pip install --no-deps pvanalytics==0.2.2")
        return 2
    table = pq.read_table(directory / POWER_FILE)
    watts = table["ac_power_2"].to_numpy(zero_copy_only=False).astype(np.float64)
    clock_us = table["measured_on"].cast("int64").to_numpy() - 7 * 3_600_000_000
    clock_us, watts = clock_us[~np.isnan(watts)], watts[~np.isnan(watts)]
    x, past, day = rows_of(clock_us, watts), Past(clock_us, watts), clock_us // _DAY_US
    last = int(day.max())
    print("| minutes | candidate | MAE by day, W | inside 80 % bounds |\n| --- | --- | --- | --- |")
    for minutes in (15, 60, 1440):
        target = target_index(clock_us, minutes * _MINUTE_US, 5 * _MINUTE_US)
        known = (target >= 0) & (clock_us % _DAY_US >= 0)
        stays: list[Floats] = []
        for name in CANDIDATES:
            errors, inside, stays = [], [], []
            for end in range(last - _NEWEST_DAYS, last - 10, _EVERY_DAYS):
                is_past = clock_us + minutes * _MINUTE_US < end * _DAY_US
                train = np.flatnonzero(known & is_past & (day >= end - _TRAIN_DAYS))
                test = np.flatnonzero(known & (day >= end) & (day < end + _TEST_DAYS))
                if len(test) < 50:
                    continue
                model = fit_power(
                    name,
                    x[train],
                    watts[target[train]],
                    day[train],
                    past,
                    minutes,
                    0,
                    lambda _share, _stage: None,
                )
                came = watts[target[test]]
                said = watts[test] + model.predict(x[test])
                light = ~is_night(x[test], came, model.highest_w)
                low, high = model.bounds(x[test], said, 0.8)
                errors.append(np.abs(said - came)[light])
                inside.append(((came >= low) & (came <= high))[light])
                stays.append(np.abs(watts[test] - came)[light])
            error, share = np.concatenate(errors).mean(), np.concatenate(inside).mean()
            print(f"| {minutes} | {name} | {error:.1f} | {share:.1%} |", flush=True)
        same = "the same time yesterday" if minutes == 1440 else "the power stays what it is"
        print(f"| {minutes} | {same} | {np.concatenate(stays).mean():.1f} | |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
