"""What happens in a made-up car workshop: its parts, its weeks, its seasons, its paperwork.

SYNTHETIC. Pure: the same seed and day give the same appointments; knows no database.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any

SEED = 20_251_126
PIECES_A_DAY = 60.0
"""About how many parts a usual Monday uses, over all parts."""

_EPOCH = date(2025, 1, 1)
_TREND_A_YEAR = 0.08
_BUSY_ON_WEEKDAY = (1.15, 1.0, 0.95, 1.0, 1.2, 0.55, 0.0)  # Monday first; closed on Sundays
_HOLIDAYS = {(1, 1), (5, 1), (12, 25), (12, 26)}
_PARTS_ON_A_VISIT = ((1, 0.40), (2, 0.34), (3, 0.18), (4, 0.08))

_COMPLETED = ("Completed", "completed", "COMPLETE - paid", "Work completed", "Complete (warranty)")
_OTHER = ("Cancelled", "Pending", "No show", "In progress", "Rescheduled")
_FIRST_NAMES = ("Alex", "Bela", "Chris", "Dana", "Eli", "Fran", "Gus", "Hanna", "Ivo", "Jo")
_VEHICLES = ("hatchback", "estate", "van", "pickup", "saloon", "city car", "minibus")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the catalogue.

    share : of all parts used in a year.
    pieces : usual quantities when it is used, each as likely as the others.
    peak_day : day of the year on which it is used most; None when it has no season.
    swing : strength of the season: 0.5 is half as much again at the peak, 1.6 nearly threefold.
    """

    name: str
    sku: str
    price: float
    share: float
    pieces: tuple[int, ...] = (1,)
    peak_day: int | None = None
    swing: float = 0.0


PARTS = (
    Part("Oil filter", "OF-101", 9.90, 0.15),
    Part("Engine oil 1 l", "EO-530", 11.50, 0.15, (4, 5, 5, 6)),
    Part("Air filter", "AF-210", 16.40, 0.08, peak_day=120, swing=0.2),
    Part("Cabin filter", "CF-220", 14.20, 0.08, peak_day=100, swing=0.6),
    Part("Brake pads front", "BP-310", 48.00, 0.09),
    Part("Brake pads rear", "BP-320", 42.50, 0.05),
    Part("Brake disc", "BD-330", 61.00, 0.05, (2,)),
    Part("Wiper blade", "WB-410", 12.80, 0.09, (1, 2, 2), peak_day=325, swing=0.5),
    Part("Battery 60 Ah", "BA-510", 94.00, 0.05, peak_day=15, swing=0.9),
    Part("Spark plug", "SP-610", 7.60, 0.05, (3, 4, 4)),
    Part("Summer tyre", "TY-710", 82.00, 0.035, (2, 4, 4), peak_day=95, swing=1.6),
    Part("Winter tyre", "TY-720", 88.00, 0.035, (2, 4, 4), peak_day=300, swing=1.6),
    Part("Coolant 1 l", "CO-810", 8.90, 0.045, (1, 2, 3), peak_day=190, swing=0.5),
    Part("Headlight bulb H7", "HB-910", 6.30, 0.065, (1, 2), peak_day=330, swing=0.5),
    Part("Timing belt kit", "TB-950", 139.00, 0.02),
)


@dataclass(frozen=True, slots=True)
class Appointment:
    """One document as the workshop's application writes it.

    dates : which of the date fields it carries, each as the application of its time wrote it.
    parts : a list of lines, or whatever else stands in that field.
    written_at : UTC, when the document last changed.
    """

    id: str
    status: str | None
    customer: str
    vehicle: str
    dates: Mapping[str, str]
    parts: list[dict[str, Any]] | str | None
    written_at: datetime


def catalogue(seed: int = SEED) -> list[tuple[str, str | None, str | None, float | None]]:
    """(id, name, sku, price): the parts, and two documents as careless hands leave them."""
    parts: list[tuple[str, str | None, str | None, float | None]] = [
        (f"part-{part.sku.lower()}", part.name, part.sku, part.price) for part in PARTS
    ]
    return [*parts, ("part-draft-1", None, "XX-000", None), ("part-draft-2", "  ", None, 1.0)]


def day_of_work(day: date, seed: int = SEED) -> list[Appointment]:
    """All appointments of one day, in the order in which they were written; [] when closed."""
    busy = how_busy(day)
    if busy == 0.0:
        return []
    dice = random.Random(f"{seed}:{day.isoformat()}")
    visits = _poisson(dice, busy * PIECES_A_DAY / _pieces_a_visit())
    opened = datetime.combine(day, time(7), UTC)
    minutes = sorted(dice.uniform(0, 10 * 60) for _ in range(visits))
    return [
        _appointment(dice, f"visit-{day:%Y%m%d}-{i:03d}", opened + timedelta(minutes=minute))
        for i, minute in enumerate(minutes)
    ]


def completed_visits(n: int, now: datetime) -> list[Appointment]:
    """`n` completed appointments of the day of `now`, at least one plain part on each."""
    dice = random.Random(f"added:{now.isoformat()}")
    return [
        Appointment(
            id=f"added-{now:%Y%m%dT%H%M%S%f}-{i:05d}",
            status="Completed",
            customer=f"{dice.choice(_FIRST_NAMES)} {dice.randint(100, 999)}",
            vehicle=dice.choice(_VEHICLES),
            dates={"date": now.date().isoformat()},
            parts=_lines(dice, now.date()),
            written_at=now,
        )
        for i in range(n)
    ]


def how_busy(day: date) -> float:
    """1 is a usual day of the first year; 0 when the workshop is closed."""
    if (day.month, day.day) in _HOLIDAYS:
        return 0.0
    trend = 1 + _TREND_A_YEAR * (day - _EPOCH).days / 365
    return _BUSY_ON_WEEKDAY[day.weekday()] * max(0.2, trend)


def season(part: Part, day: date) -> float:
    """How much more of a part is used on that day of the year than on average (1 = as usual)."""
    if part.peak_day is None:
        return 1.0
    return _swing(part, day.timetuple().tm_yday) / _mean_swing(part)


def _swing(part: Part, day_of_year: int) -> float:
    angle = 2 * math.pi * (day_of_year - (part.peak_day or 0)) / 365.25
    return math.exp(part.swing * math.cos(angle))


@cache
def _mean_swing(part: Part) -> float:
    return sum(_swing(part, day) for day in range(1, 366)) / 365


def _appointment(dice: random.Random, id_: str, at: datetime) -> Appointment:
    is_complete = dice.random() < 0.88
    written_at = at + timedelta(minutes=dice.uniform(30, 180))
    return Appointment(
        id=id_,
        status=dice.choice(_COMPLETED) if is_complete else dice.choice(_OTHER),
        customer=f"{dice.choice(_FIRST_NAMES)} {dice.randint(100, 999)}",
        vehicle=dice.choice(_VEHICLES),
        dates=_dates(dice, at),
        parts=_odd_parts(dice) if dice.random() < 0.03 else _lines(dice, at.date()),
        written_at=written_at.replace(microsecond=dice.randrange(1_000_000)),
    )


def _dates(dice: random.Random, at: datetime) -> dict[str, str]:
    """The application changed its mind about the date field four times."""
    shape = dice.randrange(5)
    if shape == 0:
        return {"date": at.date().isoformat()}
    if shape == 1:
        return {"appointmentDate": at.strftime("%Y-%m-%dT%H:%M:%SZ")}
    if shape == 2:
        done = at + timedelta(minutes=30)
        return {"completedDate": done.strftime("%Y-%m-%d %H:%M:%S")}
    if shape == 3:
        return {"timestamp": str(int(at.timestamp() * 1000))}
    return {"createdAt": at.isoformat(timespec="microseconds")}


def _lines(dice: random.Random, day: date) -> list[dict[str, Any]]:
    counts = [count for count, _ in _PARTS_ON_A_VISIT]
    n_lines = dice.choices(counts, [weight for _, weight in _PARTS_ON_A_VISIT])[0]
    likely = [part.share / _mean(part.pieces) * season(part, day) for part in PARTS]
    used = {part.sku: part for part in dice.choices(PARTS, likely, k=n_lines)}
    return [
        {
            "name": part.name,
            "quantity": dice.choice(part.pieces),
            "sku": part.sku,
            "price": part.price,
        }
        for part in used.values()
    ]


def _odd_parts(dice: random.Random) -> list[dict[str, Any]] | str | None:
    """What real documents hold now and then instead of a list of lines."""
    part = dice.choice(PARTS)
    return dice.choice(
        (
            None,
            "",
            [],
            [{"name": part.name}],
            [{"name": part.name, "quantity": "2"}],
            [{"name": f" {part.name.upper()} ", "quantity": 1}],
            [{"name": "", "quantity": 1}],
            [{"name": part.name, "quantity": None, "price": "n/a"}],
        )
    )


def _pieces_a_visit() -> float:
    lines = sum(count * weight for count, weight in _PARTS_ON_A_VISIT)
    weights = [part.share / _mean(part.pieces) for part in PARTS]
    return lines * sum(part.share for part in PARTS) / sum(weights)


def _mean(values: tuple[int, ...]) -> float:
    return sum(values) / len(values)


def _poisson(dice: random.Random, mean: float) -> int:
    """Knuth's method; fine for the few dozen visits of a day."""
    limit, count, product = math.exp(-mean), 0, dice.random()
    while product > limit:
        count += 1
        product *= dice.random()
    return count
