"""Made-up servers for trying Hotfit: fill the feed with three days of their load, one row a minute.

SYNTHETIC: no server in it is real; every row says so (field `note`) and every name begins with
`demo-`. A day is the same whenever it is made. Writes the feed as the API does; run it before the
daemons, which is what the preset's start does. Later rows are sent with POST /feed/data.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from shared.settings.root import Settings

SEED = 20251126
N_DAYS = 3
MODEL, STREAM = "server_metrics", "metrics"
NOTE = "synthetic demo data"

_BATCH = 5000
_MINUTE = timedelta(minutes=1)


class Server(NamedTuple):
    """cpu : percent at rest; swing : how much more at the busiest hour; rest in percent."""

    name: str
    cpu: float
    swing: float
    memory: float
    disk: float


SERVERS = (
    Server("demo-web-1", 25, 35, 45, 40),
    Server("demo-web-2", 22, 30, 42, 38),
    Server("demo-db-1", 35, 20, 71, 88),
    Server("demo-batch-1", 12, 15, 30, 55),
)


def prepare(settings: Settings, now: datetime) -> str | None:
    """Feed what is missing of the last three days up to now; a sentence when rows were added."""
    from shared.errors import NotReady
    from shared.feed import reader
    from shared.feed.writer import FedRecord, Feed
    from shared.workloads import open_workload
    from shared.workloads.training import Admitted

    model = settings.models[MODEL]
    workload = open_workload(model.workload, model.parameters)
    collection = model.stream(STREAM).collection
    path = settings.feed_path
    known: Mapping[str, Any] = {}
    try:
        known = reader.windows(path, collection)
    except NotReady:
        path.parent.mkdir(parents=True, exist_ok=True)
    feed = Feed(path, lambda: now)
    n_added = 0
    for server in SERVERS:
        samples = known.get(server.name) or []
        first = now - timedelta(days=N_DAYS)
        if samples:
            newest = max(float(one["at"]) for one in samples)
            first = max(first, datetime.fromtimestamp(newest, UTC) + _MINUTE)
        records: list[FedRecord] = []
        for row in rows_of(server, first, now):
            admitted = workload.admit(STREAM, row, now)
            assert isinstance(admitted, Admitted), admitted
            id_, at = admitted.id or "", admitted.at
            records.append(FedRecord(id_, admitted.fields, admitted.entity, at, admitted.sample))
        for start in range(0, len(records), _BATCH):
            part = records[start : start + _BATCH]
            feed.append(collection, part, window=workload.window_of(STREAM))
        n_added += len(records)
    if not n_added:
        return None
    return f"{path.absolute()}: {n_added} rows of {len(SERVERS)} servers added."


def questions(settings: Settings, now: datetime) -> list[tuple[str, Mapping[str, Any] | None]]:
    """What to ask the API about it: (path, JSON body or None for a GET)."""
    del settings, now
    return [("/predictions/current", None), ("/alerts/active", None)]


def rows_of(server: Server, first: datetime, last: datetime) -> Iterator[dict[str, Any]]:
    """One row a minute from `first` to `last`, on whole minutes."""
    day = first.astimezone(UTC).date()
    while day <= last.astimezone(UTC).date():
        for row in _day(server, day):
            if first <= datetime.fromisoformat(row["timestamp"]) <= last:
                yield row
        day += timedelta(days=1)


def _day(server: Server, day: date) -> Iterator[dict[str, Any]]:
    """Busy in the afternoon, with bursts that last some minutes; memory shifts its level."""
    dice = random.Random(f"{SEED}:{server.name}:{day}")
    at = datetime(day.year, day.month, day.day, tzinfo=UTC)
    drift, memory = 0.0, server.memory + dice.uniform(-3, 3)
    for minute in range(24 * 60):
        drift = 0.93 * drift + dice.gauss(0, 1.6)
        if dice.random() < 1 / 400:
            memory = server.memory + dice.uniform(-6, 6)
        busy = 0.5 - 0.5 * math.cos(2 * math.pi * (minute / 1440 - 0.1))
        cpu = min(100.0, max(1.0, server.cpu + server.swing * busy + drift))
        yield {
            "server": server.name,
            "timestamp": (at + minute * _MINUTE).isoformat(),
            "cpu": round(cpu, 1),
            "memory": round(memory + dice.gauss(0, 0.2), 1),
            "disk": round(server.disk + minute / 1440, 2),
            "load": round(cpu / 20 + abs(dice.gauss(0, 0.1)), 2),
            "note": NOTE,
        }
