"""What happens on five made-up roofs in Colombo: sun, clouds, rain and what sensors say of it.

SYNTHETIC. Pure: the same seed, device and day give the same readings; knows no database.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone

SEED = 20_251_126
EVERY_MIN = 5
COLOMBO = timezone(timedelta(hours=5, minutes=30))
"""Sri Lanka's clock has not changed since 2006."""

_LATITUDE = math.radians(6.93)
_LUX_PER_W = 115.0  # of sunlight, per W/m²
_SLOTS_A_DAY = 24 * 60 // EVERY_MIN


@dataclass(frozen=True, slots=True)
class Device:
    """One panel with its sensors.

    peak_w : power at 1000 W/m² and 25 °C. shade : hours on the local clock when a tree is in the
    way. writes : how its firmware writes times and numbers.
    """

    id: str
    peak_w: float
    shade: tuple[float, float] | None = None
    writes: str = "plain"


DEVICES = (
    Device("roof-01", 320.0),
    Device("roof-02", 320.0, shade=(15.5, 17.0)),
    Device("garage", 150.0, writes="texts"),
    Device("carport", 410.0, writes="naive"),
    Device("Canteen East", 250.0, writes="epoch"),
)

Value = str | float | int | None


def readings_of_day(
    device: Device, day: date, seed: int = SEED
) -> list[tuple[datetime, Mapping[str, Value]]]:
    """(when, what its firmware writes) of each reading of one local day, oldest first."""
    sky = random.Random(f"{seed}:{day.isoformat()}")  # one sky over all roofs
    dice = random.Random(f"{seed}:{device.id}:{day.isoformat()}")
    overcast = sky.betavariate(1.6, 2.4)
    is_rainy = sky.random() < 0.2 + 0.4 * overcast
    rain_from, rain_hours = sky.uniform(13, 17), sky.uniform(0.5, 2.0)
    cloud = overcast
    found = []
    for slot in range(_SLOTS_A_DAY):
        hour = slot * EVERY_MIN / 60
        # Clouds come and go within minutes around what the day is like.
        cloud += 0.8 * (overcast - cloud) + sky.gauss(0, 0.25)
        cloud = min(1.0, max(0.0, cloud))
        raining = is_rainy and rain_from <= hour < rain_from + rain_hours
        at = datetime(day.year, day.month, day.day, tzinfo=COLOMBO) + timedelta(hours=hour)
        at += timedelta(seconds=dice.randrange(10))
        reading = _reading(device, at, hour, max(cloud, 0.95) if raining else cloud, raining, dice)
        if dice.random() > 0.01:  # the network drops one in a hundred
            found.append((at, reading))
    return found


def _reading(
    device: Device, at: datetime, hour: float, cloud: float, raining: bool, dice: random.Random
) -> Mapping[str, Value]:
    sun_w = 1050.0 * max(0.0, _height(at, hour)) ** 1.15
    if device.shade and device.shade[0] <= hour < device.shade[1]:
        sun_w *= 0.35
    light_w = sun_w * (1 - 0.82 * cloud)
    temperature = 26.0 + 5.0 * light_w / 900 - (2.5 if raining else 0.0) + dice.gauss(0, 0.3)
    panel = temperature + 0.028 * light_w
    power = device.peak_w * light_w / 1000 * (1 - 0.004 * (panel - 25)) * dice.gauss(1, 0.015)
    power = max(0.0, power)
    voltage = 12.2 + 5.6 * min(1.0, light_w / 300) + dice.gauss(0, 0.05) if light_w > 5 else 0.0
    is_hot = panel > 42
    status = "offline" if dice.random() < 0.01 else dice.choice(("online", "online", "Online"))
    values: dict[str, float] = {
        "power": round(power, 2),
        "voltage": round(voltage, 2),
        "current": round(power / voltage, 3) if voltage else 0.0,
        "lux": round(light_w * _LUX_PER_W * max(0.9, dice.gauss(1, 0.02)), 0),
        "temperature": round(temperature, 1),
        "humidity": round(min(99.0, 78 - 12 * light_w / 900 + (15 if raining else 0)), 1),
        "servo_angle": round(min(160.0, max(20.0, 180 * (hour - 6) / 12)), 0),
    }
    return {
        "device_id": device.id,
        "timestamp": _written(device, at),
        **_spelt(device, values),
        "fan_status": {"texts": "ON" if is_hot else "OFF", "naive": str(is_hot).lower()}.get(
            device.writes, str(int(is_hot))
        ),
        "status": status,
    }


def _height(at: datetime, hour: float) -> float:
    """Sine of the sun's height; solar noon in Colombo is a little after twelve."""
    season = math.radians(23.44) * math.sin(2 * math.pi * (at.timetuple().tm_yday - 81) / 365)
    angle = math.radians(15 * (hour - 12.15))
    return math.sin(_LATITUDE) * math.sin(season) + math.cos(_LATITUDE) * math.cos(
        season
    ) * math.cos(angle)


def _written(device: Device, at: datetime) -> str:
    if device.writes == "naive":
        return at.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")
    if device.writes == "epoch":
        return str(round(at.timestamp() * 1000))
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _spelt(device: Device, values: Mapping[str, float]) -> Mapping[str, Value]:
    if device.writes == "texts":
        return {name: str(value) for name, value in values.items()}
    return values
