"""Made-up flats to let: seeded records with numbers, texts, bools, gaps and a rent."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from shared.records import Table, to_epoch_us

START = datetime(2026, 9, 1, 12, tzinfo=UTC)
DISTRICTS = ("centre", "harbour", "hill", "north")
_BASE = {"centre": 900.0, "harbour": 700.0, "hill": 650.0, "north": 500.0}

PARAMETERS: Mapping[str, Any] = {
    "target": "rent",
    "features": ["area", "rooms", "district", "furnished"],
    "time": "offered_at",
    "target_unit": "EUR",
    "estimator": "ridge",
}


def no_progress(_fraction: float, _stage: str) -> None:
    """For fits that nobody watches."""


def flats(n: int = 400, *, every_h: float = 4.0, seed: int = 0) -> list[dict[str, Any]]:
    """The rent follows area, district and furniture; every tenth area is not known."""
    dice = random.Random(seed)
    found = []
    for i in range(n):
        area, district = round(dice.uniform(20, 120), 1), dice.choice(DISTRICTS)
        furnished = dice.random() < 0.3
        rent = _BASE[district] + 8 * area + (150 if furnished else 0) + dice.gauss(0, 30)
        found.append(
            {
                "area": None if i % 10 == 9 else area,
                "rooms": 1 + int(area // 30),
                "district": district,
                "furnished": furnished,
                "rent": round(rent, 2),
                "is_dear": "dear" if rent > 1300 else "cheap",
                "offered_at": (START + timedelta(hours=i * every_h)).isoformat(),
            }
        )
    return found


def table(documents: Iterable[Mapping[str, Any]], every: timedelta = timedelta(0)) -> Table:
    """As the trainer gets them, written one after the other; all at the end, or with a pace."""
    bodies = [msgspec.json.encode(fields) for fields in documents]
    end_us = to_epoch_us(START + timedelta(days=200))
    step_us = round(every.total_seconds() * 1e6) or 1
    first_us = end_us - len(bodies) * step_us
    at = [first_us + i * step_us for i in range(len(bodies))]
    return Table("records", [f"{i:06d}" for i in range(len(bodies))], at, bodies)


def tables(documents: Iterable[Mapping[str, Any]]) -> Mapping[str, Table]:
    return {"records": table(documents)}
