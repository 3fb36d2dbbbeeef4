"""Read device readings in the shapes that real databases hold, many at a time.

Says why a document could not be used instead of guessing. Knows no feature, no model and no
database; a document is a JSON object.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from numpy.typing import NDArray

NO_DEVICE = "no device_id"
NOT_ONLINE = "status is not online"
NO_TIME = "no timestamp that can be read"
NO_POWER = "no power that can be read"
DATED_LATER = "dated later than the newest record"
CAME_AGAIN = "the device has another reading of that time"
OTHER_DEVICE = "of another device"

SENSORS = ("servo_angle", "temperature", "humidity", "lux", "voltage", "current", "power")
"""Numbers of a reading, in the order in which `Readings.values` has them; `fan_on` follows."""
POWER = SENSORS.index("power")
LUX = SENSORS.index("lux")
N_VALUES = len(SENSORS) + 1

MAX_MAGNITUDE = 1e9
"""No sensor of a device measures more than this in its unit."""

DAY_US = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_US = int((datetime(2000, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()) * 1_000_000
_END_US = int((datetime(2100, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()) * 1_000_000
_NUMBER = re.compile(
    r"\s*([-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?)\s*(?:[a-zA-Z%°²/]{1,6})?\s*"
)
_DIGITS = re.compile(r"\d{9,19}(\.\d+)?")
_FAN = {"on": 1.0, "true": 1.0, "running": 1.0, "off": 0.0, "false": 0.0, "stopped": 0.0}
_PLAIN = {int, float, type(None)}


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
    """Why nothing can be learnt from a document; None when something can."""
    if device_of(raw.device_id) is None:
        return NO_DEVICE
    if not says_online(raw.status):
        return NOT_ONLINE
    if read_time_us(raw.timestamp, time_zone) is None:
        return NO_TIME
    return NO_POWER if math.isnan(read_number(raw.power)) else None


def read_readings(
    raws: Sequence[RawReading], time_zone: ZoneInfo, latest_us: int, rejected: Counter[str]
) -> Readings:
    """Put readings of one device into columns; those that cannot be used are counted.

    raws : in the order in which they were written; of two with the same time the later counts.
    latest_us : what is dated later comes from a wrong clock.
    """
    power = read_numbers([raw.power for raw in raws])
    kept: list[RawReading] = []
    kept_us: list[int] = []
    for raw, is_power_silent in zip(raws, np.isnan(power).tolist(), strict=True):
        reason = None
        at_us = None
        if not says_online(raw.status):
            reason = NOT_ONLINE
        elif (at_us := read_time_us(raw.timestamp, time_zone)) is None:
            reason = NO_TIME
        elif is_power_silent:
            reason = NO_POWER
        elif at_us > latest_us:
            reason = DATED_LATER
        if reason is not None or at_us is None:
            rejected[reason or NO_TIME] += 1
        else:
            kept.append(raw)
            kept_us.append(at_us)
    time_us = np.array(kept_us, dtype=np.int64)
    # From the back, so that the first of equal times is the one that was written last.
    unique_us, from_back = np.unique(time_us[::-1], return_index=True)
    if unique_us.size < time_us.size:
        rejected[CAME_AGAIN] += int(time_us.size - unique_us.size)
    values = np.empty((len(kept), N_VALUES))
    for column, name in enumerate(SENSORS):
        values[:, column] = read_numbers([getattr(raw, name) for raw in kept])
    values[:, -1] = [read_fan(raw.fan_status) for raw in kept]
    return Readings(unique_us, values[len(kept) - 1 - from_back])


def device_of(value: object) -> str | None:
    """A device's id as a text; None when there is none.

    >>> [device_of(v) for v in ("inverter-1", " 7 ", 7, "", None, True)]
    ['inverter-1', '7', '7', None, None, None]
    """
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def says_online(status: object) -> bool:
    """Whether a status says that the device was online, in upper or lower case."""
    if status == "online":
        return True
    return isinstance(status, str) and status.strip().casefold() == "online"


# -- numbers -------------------------------------------------------------------------------------


def read_numbers(column: Sequence[Any]) -> NDArray[np.float64]:
    """(n,) float64 of one sensor; NaN where there is no number. As `read_number`, only faster."""
    if set(map(type, column)) <= _PLAIN:
        try:
            numbers = np.array(column, dtype=np.float64)
        except OverflowError:  # an integer of three hundred digits
            return np.array([read_number(value) for value in column], dtype=np.float64)
        with np.errstate(invalid="ignore"):
            numbers[~(np.abs(numbers) <= MAX_MAGNITUDE)] = np.nan
        return numbers
    return np.array([read_number(value) for value in column], dtype=np.float64)


def read_number(value: object) -> float:
    """A number, also one that was written as a text; NaN when it is none.

    >>> [read_number(v) for v in (12, "12.5", "12,5 W", "1e3", True, "1,250", "n/a", None)]
    [12.0, 12.5, 12.5, 1000.0, nan, nan, nan, nan]
    """
    if isinstance(value, bool) or value is None:
        return math.nan
    if isinstance(value, str):
        return _as_measured(_number_of_text(value))
    if not isinstance(value, (int, float)):
        return math.nan
    return _as_measured(value)


def _as_measured(number: float) -> float:
    return float(number) if -MAX_MAGNITUDE <= number <= MAX_MAGNITUDE else math.nan


def _number_of_text(text: str) -> float:
    """A unit may stand behind it, and a comma for the point."""
    try:
        return float(text)
    except ValueError:
        pass
    match = _NUMBER.fullmatch(text)
    # A comma before three digits may also group thousands: nobody can tell.
    if match is None or re.search(r",\d{3}(?!\d)", match[1]):
        return math.nan
    return float(match[1].replace(",", "."))


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


# -- times ---------------------------------------------------------------------------------------


def read_time_us(value: object, time_zone: ZoneInfo) -> int | None:
    """Microseconds since the epoch of a moment in any known shape; None when it is none.

    A text without a zone is the clock of `time_zone`. An hour that the clock skips in spring does
    not exist; one that it shows twice in autumn means the first time.
    """
    try:
        at_us = _time_us(value, time_zone)
    except (ValueError, OverflowError):
        return None
    return at_us if at_us is not None and _FIRST_US <= at_us < _END_US else None


def _time_us(value: object, time_zone: ZoneInfo) -> int | None:
    if isinstance(value, str):
        text = value.strip()
        if text[4:5] == "-" and len(text) > 10:
            return _moment_us(datetime.fromisoformat(text), time_zone)
        if _DIGITS.fullmatch(text):
            return _epoch_us(float(text) if "." in text else int(text))
        # A day alone is no moment.
        return _moment_us(datetime.fromisoformat(text), time_zone) if len(text) > 10 else None
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return _epoch_us(value)
    if isinstance(value, Mapping):
        for key in ("seconds", "_seconds"):
            seconds = value.get(key)
            if isinstance(seconds, (int, float)) and not isinstance(seconds, bool):
                nanoseconds = value.get("nanoseconds", value.get("_nanoseconds", 0))
                rest_us = nanoseconds // 1000 if isinstance(nanoseconds, int) else 0
                return int(seconds * 1_000_000) + rest_us
        inner = value.get("$date", value.get("$numberLong"))
        return _time_us(inner, time_zone) if not isinstance(inner, float) else None
    return None


def _moment_us(moment: datetime, time_zone: ZoneInfo) -> int | None:
    if moment.tzinfo is None:
        before = moment.replace(tzinfo=time_zone)
        offset, after = before.utcoffset(), before.replace(fold=1).utcoffset()
        if offset is not None and after is not None and offset < after:
            return None  # the clock was put forward over it
        moment = before
    return round(moment.timestamp() * 1e6)  # exact to the microsecond for centuries


def _epoch_us(epoch: float) -> int | None:
    """Seconds, or milli-, micro- or nanoseconds: 1e11 s would be the year 5138."""
    if not math.isfinite(epoch) or epoch <= 0:
        return None
    if epoch < 1e11:
        return round(epoch * 1_000_000)
    if epoch < 1e14:
        return round(epoch * 1_000)
    return round(epoch) if epoch < 1e17 else round(epoch / 1_000)
