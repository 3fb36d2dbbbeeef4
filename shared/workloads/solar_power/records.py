"""Read device readings in the shapes that real databases hold, many at a time.

Says why a document could not be used instead of guessing. Knows no feature, no model and no
database; a document is a JSON object.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.documents.ids import means_nothing, read_id
from shared.documents.number_columns import Bounds, no_measurement
from shared.documents.numbers import NumberPolicy, Unread, parse_number, read_number
from shared.documents.texts import comparable
from shared.documents.time_policy import NoTime, TimePolicy
from shared.documents.times import parse_time

NO_DEVICE = "no device_id"
NOT_ONLINE = "status is not online"
NO_TIME = "no timestamp that can be read"
_FEWEST_READINGS, _MOST_KW = 20, 30.0
NO_POWER = "no power that can be read"
DATED_LATER = "dated later than the newest record"
CAME_AGAIN = "the device has another reading of that time"
OTHER_DEVICE = "of another device"
NO_MEASUREMENT = "{sensor} is a code for no value, or far beyond what the device measures"
LEFT_OUT = f"{NO_MEASUREMENT}, the rest of the reading was used"

SENSORS = ("servo_angle", "temperature", "humidity", "lux", "voltage", "current", "power")
"""Numbers of a reading, in the order in which `Readings.values` has them; `fan_on` follows."""
POWER = SENSORS.index("power")
LUX = SENSORS.index("lux")
N_VALUES = len(SENSORS) + 1
UNITS = ("", "°C", "%", "lx", "V", "A", "W")
"""Of SENSORS; a text in another unit of the kind is converted."""
PLAIN = tuple(NumberPolicy(unit=unit) for unit in UNITS)

MAX_MAGNITUDE = 1e9
"""No sensor of a device measures more than this in its unit."""

DAY_US = 86_400_000_000
_FAN = {"on": 1.0, "true": 1.0, "running": 1.0, "off": 0.0, "false": 0.0, "stopped": 0.0}
_PLAIN = {int, float, type(None)}


@dataclass(frozen=True, slots=True)
class Writing:
    """How a device's documents are written, and what it measures; learnt from many of them.

    times, numbers : policies, of SENSORS. bounds : of SENSORS; empty where nothing was learnt.
    """

    times: TimePolicy
    numbers: tuple[NumberPolicy, ...] = PLAIN
    bounds: tuple[Bounds, ...] = ()


def time_policy(time_zone: ZoneInfo) -> TimePolicy:
    """Of the moments of readings: a day alone would put all its readings on midnight."""
    return TimePolicy(time_zone, first_year=2000, takes_days=False)


class RawReading(msgspec.Struct):
    """A document as it stands; fields that are not of interest are skipped while decoding."""

    device_id: Any = None
    timestamp: Any = None
    power: Any = None
    voltage: Any = None
    current: Any = None
    lux: Any = None
    temperature: Any = None
    humidity: Any = None
    servo_angle: Any = None
    fan_status: Any = None
    status: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Usable readings of one device, oldest first, each time once.

    time_us : (n,) int64, microseconds since the epoch, UTC; strictly increasing.
    values : (n, N_VALUES) float64, columns SENSORS and fan_on (0 or 1); NaN where the sensor
        was silent, which power never is.
    """

    time_us: NDArray[np.int64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.time_us.shape[0])

    def newest(self, n: int) -> Readings:
        return Readings(self.time_us[-n:], self.values[-n:])


_decode = msgspec.json.Decoder(list[RawReading]).decode


def decode_bodies(bodies: Sequence[bytes]) -> list[RawReading]:
    """Many JSON objects at once."""
    return _decode(b"[" + b",".join(bodies) + b"]")


def raw_reading(fields: Mapping[str, Any]) -> RawReading:
    """One document that was decoded already."""
    known = RawReading.__struct_fields__
    return RawReading(**{name: value for name, value in fields.items() if name in known})


def unusable(raw: RawReading, time_zone: ZoneInfo) -> str | None:
    """Why nothing can be learnt from a document; None when something can.

    A time or a number that can be read two ways is none of the reasons: its column decides.
    """
    if device_of(raw.device_id) is None:
        return NO_DEVICE
    if not says_online(raw.status):
        return NOT_ONLINE
    at_us = parse_time(raw.timestamp, time_policy(time_zone))
    if isinstance(at_us, NoTime) and at_us is not NoTime.AMBIGUOUS:
        return NO_TIME
    power = _as_measured(parse_number(raw.power, PLAIN[POWER]))
    return None if power is Unread.AMBIGUOUS or isinstance(power, float) else NO_POWER


def read_readings(
    raws: Sequence[RawReading], writing: Writing, latest_us: int, rejected: Counter[str]
) -> Readings:
    """Put readings of one device into columns; those that cannot be used are counted.

    raws : in the order in which they were written; of two with the same time the later counts.
    latest_us : what is dated later comes from a wrong clock.
    """
    values = read_sensors(raws, writing.numbers)
    is_silent = np.isnan(values[:, POWER])
    is_code = codes_of(values[:, :-1], writing.bounds)
    kept: list[int] = []
    kept_us: list[int] = []
    for i, raw in enumerate(raws):
        reason = None
        at_us = parse_time(raw.timestamp, writing.times)
        if not says_online(raw.status):
            reason = NOT_ONLINE
        elif isinstance(at_us, NoTime):
            reason = at_us.value if at_us is NoTime.AMBIGUOUS else NO_TIME
        elif is_silent[i]:
            reason = NO_POWER
        elif at_us > latest_us:
            reason = DATED_LATER
        elif is_code[i, POWER]:
            reason = NO_MEASUREMENT.format(sensor="power")
        if reason is not None or isinstance(at_us, NoTime):
            rejected[reason or NO_TIME] += 1
        else:
            kept.append(i)
            kept_us.append(at_us)
    for sensor, n_codes in zip(SENSORS, is_code[kept].sum(axis=0).tolist(), strict=True):
        if n_codes:
            rejected[LEFT_OUT.format(sensor=sensor)] += n_codes
    values[:, :-1][is_code] = np.nan
    time_us = np.array(kept_us, dtype=np.int64)
    unique_us, from_back = np.unique(time_us[::-1], return_index=True)
    if len(kept) > len(unique_us):
        rejected[CAME_AGAIN] += len(kept) - len(unique_us)
    return Readings(unique_us, values[kept][len(kept) - 1 - from_back])


def read_sensors(
    raws: Sequence[RawReading], numbers: Sequence[NumberPolicy]
) -> NDArray[np.float64]:
    """(n, N_VALUES), columns as in `Readings.values`; NaN where there is no number."""
    values = np.empty((len(raws), N_VALUES))
    for column, (sensor, policy) in enumerate(zip(SENSORS, numbers, strict=True)):
        values[:, column] = read_numbers([getattr(raw, sensor) for raw in raws], policy)
    values[:, -1] = [read_fan(raw.fan_status) for raw in raws]
    return values


def codes_of(values: NDArray[np.float64], bounds: Sequence[Bounds]) -> NDArray[np.bool_]:
    """(n, n_sensors) which values are no measurement, by what the device usually measures."""
    found = np.zeros(values.shape, dtype=np.bool_)
    for column, of_sensor in enumerate(bounds):
        found[:, column] = no_measurement(values[:, column], of_sensor)
    return found


def device_of(value: object) -> str | None:
    """A device's id as a text; None when there is none.

    >>> [device_of(v) for v in ("inverter-1", " 7 ", 7, "", None, True)]
    ['inverter-1', '7', '7', None, None, None]
    """
    found = read_id(value)
    return None if found is None or means_nothing(found) else found


def says_online(status: object) -> bool:
    """Whether a status says that the device was online, in upper or lower case."""
    if status == "online":
        return True
    return isinstance(status, str) and comparable(status) == "online"


# -- numbers -------------------------------------------------------------------------------------


def read_numbers(column: Sequence[Any], policy: NumberPolicy) -> NDArray[np.float64]:
    """(n,) float64 of one sensor; NaN where there is no number."""
    if set(map(type, column)) <= _PLAIN:
        try:
            numbers = np.array(column, dtype=np.float64)
        except OverflowError:  # an integer of three hundred digits
            pass
        else:
            with np.errstate(invalid="ignore"):
                numbers[~(np.abs(numbers) <= MAX_MAGNITUDE)] = np.nan
            return numbers
    read = (_as_measured(parse_number(value, policy)) for value in column)
    found = (math.nan if isinstance(number, Unread) else number for number in read)
    return np.fromiter(found, np.float64, len(column))


def _as_measured(number: float | Unread) -> float | Unread:
    if isinstance(number, float) and abs(number) > MAX_MAGNITUDE:
        return Unread.NOT_A_NUMBER
    return number


def doubtful_power(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence where no reading is above some W, so that they may be kW."""
    found = [read_number(record.get("power"), PLAIN[POWER]) for record in records]
    known = [number for number in found if number > 0]  # NaN fails
    if len(known) < _FEWEST_READINGS or max(known) > _MOST_KW:
        return []
    return [
        f"power is never above {max(known):.3g} W; where it is in kW, say so in fields:"
        ' power = { path = "power", unit = "kW" }'
    ]


def read_fan(value: object) -> float:
    """1 when the fan runs, 0 when it does not; NaN when the document does not say.

    >>> [read_fan(v) for v in (True, 1, "ON", "1", 0, " off ", None, "auto")]
    [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, nan, nan]
    """
    if isinstance(value, str):
        known = _FAN.get(value.strip().casefold())
        if known is not None:
            return known
    number = float(value) if isinstance(value, bool) else read_number(value)
    return number if number in (0.0, 1.0) else math.nan


def of_one_device(
    raws: Sequence[RawReading], rejected: Counter[str]
) -> tuple[str, list[RawReading]]:
    """The device of the newest record and its readings; a model is never fitted on two."""
    devices = [device_of(raw.device_id) for raw in raws]
    device = next((found for found in reversed(devices) if found is not None), None)
    kept = []
    for raw, found in zip(raws, devices, strict=True):
        if found is None:
            rejected[NO_DEVICE] += 1
        elif found != device:
            rejected[OTHER_DEVICE] += 1
        else:
            kept.append(raw)
    return device or "", kept
