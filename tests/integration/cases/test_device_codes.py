"""Codes that devices send for "no value": the forecasts are those of a device that sends none."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np

from shared.records import Table, to_epoch_us
from shared.workloads.solar_power.workload import SolarPower
from tests.integration.cases.case_home import CaseHome

SETTINGS = """
[sources.plant]
kind = "sql"
url = "{sqlite}"
lag_s = 0
[models.solar]
workload = "solar_power"
source = "plant"
[models.solar.streams.readings]
updated_at_field = "timestamp"
"""


def test_codes_for_no_value_change_no_row_of_the_other_readings(tmp_path: Path) -> None:
    """65535, 6553.5, -32768 and 214748364.7 once an evening made models that knew nothing."""
    place, chance = CaseHome(tmp_path, SETTINGS), random.Random(4)
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    rows: dict[str, list[tuple[object, ...]]] = {"clean": [], "codes": []}
    for i in range(4 * 288, 0, -1):
        at = end - timedelta(minutes=5 * i)
        hour = at.hour + at.minute / 60
        sun = max(0.0, math.sin((hour - 6) / 12 * math.pi)) if 6 <= hour <= 18 else 0.0
        power, volt, warm = round(4000 * sun * chance.uniform(0.8, 1), 1), 310 + 40 * sun, 20 + sun
        when = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        is_code = at.hour == 19 and 30 <= at.minute < 40
        for device, sent in rows.items():
            if is_code and device == "clean":
                continue
            value = (65535 if at.minute < 35 else 214748364.7) if is_code else power
            rest = (6553.5, -32768) if is_code else (volt, warm)
            sent.append((f"{device}{i}", device, when, "online", value, *rest))
    columns = "id TEXT, device_id TEXT, timestamp TEXT, status TEXT, power, voltage, temperature"
    place.table("readings", columns, [*rows["clean"], *rows["codes"]])

    tables = place.read("solar").tables["readings"]

    made = {}
    for device in rows:
        kept = [record for record in tables if record.id.startswith(device)]
        table = Table(
            "readings",
            [record.id for record in kept],
            [to_epoch_us(record.updated_at) for record in kept],
            [msgspec.json.encode(record.fields) for record in kept],
        )
        made[device] = SolarPower({}).training_set({"readings": table})
    assert np.array_equal(made["clean"].features, made["codes"].features, equal_nan=True)
    assert made["clean"].target.tolist() == made["codes"].target.tolist()
    reason = "power is a code for no value, or far beyond what the device measures"
    n_codes = len(rows["codes"]) - len(rows["clean"])
    assert made["codes"].rejected == {reason: n_codes, **made["clean"].rejected}
