"""Documents of every workload with values that nobody foresaw, as foreign databases hold them.

None raises anything, none is lost without a word: what the workload refuses is counted by the
training rows with a reason, and what it admits can be made rows of.
"""

from __future__ import annotations

import random
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from retrain_service.buffer.upsert import to_arrow
from retrain_service.sources.json_values import to_json
from shared.records import Record, Table, from_epoch_us, to_epoch_us
from shared.workloads import open_workload
from shared.workloads.contract import Workload
from tests.campaigns.tally import Tally

CAMPAIGN = "odd records"
A_TABLE = 250
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)

Document = dict[str, Any]

ODD: Sequence[Any] = (
    None, True, False, 0, -1, 1, 7.0, 0.1, -0.0, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**64,
    10**30, 1e308, -1e308, 5e-324, 65535, 6553.5, 32767, -32768, 4294967295,
    1_700_000_000, 1_700_000_000_000, 1_700_000_000_000_000, 253402300799, -62135596800,
    "", " ", "0", "-1", "7", "7.0", "1,250", "1.250,00", "1 250", "12 %", "½", "4.5 L", "€ 5",
    "NaN", "nan", "inf", "-Infinity", "1e999", "null", "None", "undefined", "guest", "true", "no",
    "2026-02-30", "0000-00-00", "0000-00-00 00:00:00", "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999+14:00", "infinity", "-infinity", "44-03-15 BC", "2026-03-01",
    "01.03.2026", "03/04/2026", "2026-03-01 12:00 UTC", "2026-W10", "12:00", "24:00:00",
    "2026-03-01T12:00:60Z", "2026-03-29T02:30:00 Europe/Berlin", "1700000000", "+275760-09-13",
    "\x00", "\ufeff7", "\u200b", "\u202e7", "İ", "ß", "\ud83d\ude00", "e\u0301", "七", "٣", "Ⅷ",
    "\N{REPLACEMENT CHARACTER}", "a" * 5_000, "9" * 400, "[1, 2]", '{"a": 1}', "'; DROP TABLE x",
    [], [None], [[]], [{}], [1, "a", None], [[[[[[1]]]]]], {}, {"": None}, {"$date": "x"},
    {"$date": {"$numberLong": "99999999999999999"}}, {"$numberDecimal": "NaN"}, {"$oid": "1"},
    {"seconds": 1_700_000_000, "nanoseconds": 5}, {"_seconds": "x"}, {"seconds": 2**63},
    {"a": {"b": {"c": {"d": {}}}}}, [{"name": None, "quantity": "x"}], [{"quantity": -(10**20)}],
    [{"product_id": [], "quantity": {}}], ["Oil filter", 3, None], {"length": 2, "0": "a"},
)  # fmt: skip
"""What stands in a field by accident."""

TWO_WAYS = ("1,250", "1.250,00", "1 250", "12 %", "½", "4.5 L", "€ 5", "٣", "Ⅷ")
"""One of these in a column of a table is asked for, and nothing is trained until it is answered."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One workload, and sound documents of each of its streams."""

    workload: Workload
    sound: Mapping[str, Callable[[int], Document]]
    is_one_row_a_record: bool = False


def kinds() -> dict[str, Kind]:
    return {
        "spare_parts": Kind(
            open_workload("spare_parts", {}),
            {"appointments": _appointment, "spare_parts": _part},
        ),
        "solar_power": Kind(open_workload("solar_power", {}), {"readings": _reading}),
        "server_metrics": Kind(open_workload("server_metrics", {}), {"metrics": _sample}),
        "product_similarity": Kind(open_workload("product_similarity", {}), {"products": _product}),
        "product_recommender": Kind(
            open_workload("product_recommender", {}),
            {"products": _product, "interactions": _event},
        ),
        "regression": Kind(_tabular("regression", "rent"), {"records": _flat}, True),
        "classification": Kind(_tabular("classification", "kind"), {"records": _flat}, True),
    }


def _tabular(task: str, target: str) -> Workload:
    features = ["area", "rooms", "city", "lift"]
    given = {"task": task, "target": target, "time": "offered_at", "features": features}
    return open_workload("tabular", given)


def _at(i: int) -> str:
    return (NOW - timedelta(minutes=97 * i)).isoformat()


def _appointment(i: int) -> Document:
    lines = [{"name": f"Part {i % 7}", "sku": f"P-{i % 7}", "quantity": 1 + i % 3}]
    return {"status": "completed", "date": _at(i), "spareParts": lines}


def _part(i: int) -> Document:
    return {"name": f"Part {i}", "sku": f"P-{i}", "price": 9.5 + i}


def _reading(i: int) -> Document:
    at = (NOW - timedelta(minutes=5 * i)).isoformat()
    values = {"power": 100.0 + i % 50, "voltage": 18.2, "current": 5.4, "lux": 20_000 + i}
    rest = {"temperature": 21.5, "humidity": 40, "servo_angle": 90, "fan_status": False}
    return {"device_id": "d1", "timestamp": at, "status": "online", **values, **rest}


def _sample(i: int) -> Document:
    at = (NOW - timedelta(minutes=i)).isoformat()
    return {"server": f"s{i % 2}", "timestamp": at, "cpu": 20 + i % 60, "memory": 50, "disk": 70}


def _product(i: int) -> Document:
    texts = {"name": f"Shoe {i}", "description": "A red shoe of leather", "category": f"c{i % 4}"}
    return {"product_id": i, "status": "approved", "price": 20 + i, "tags": ["red"], **texts}


def _event(i: int) -> Document:
    who = {"user_id": i % 20, "product_id": i % 60}
    return {**who, "interaction_type": "view", "timestamp": _at(i), "rating": 4, "dwell_time": 12}


def _flat(i: int) -> Document:
    columns = {"area": 30.5 + i % 50, "rooms": 1 + i % 4, "city": "Ulm", "lift": bool(i % 2)}
    return {**columns, "rent": 400.0 + i, "kind": "ab"[i % 2], "offered_at": _at(i)}


def odd_records(_folder: Path, rounds: int, seed: int, tally: Tally) -> None:
    """Each round is a table of every stream of every workload."""
    records = OddRecords(tally, seed)
    for _ in range(rounds):
        for name in kinds():
            records.attempt(name)


class OddRecords:
    """Attempts of a table of documents each, some sound and most of them not."""

    def __init__(self, tally: Tally, seed: int) -> None:
        self._tally, self._dice = tally, random.Random(seed)
        self._kinds = kinds()
        self.n_documents, self.n_refused = 0, 0
        self.reasons: Counter[str] = Counter()

    def attempt(self, name: str) -> None:
        """Make the tables of one workload, and rows of them."""
        kind = self._kinds[name]
        odd = [each for each in ODD if not (kind.is_one_row_a_record and each in TWO_WAYS)]
        tables: dict[str, Table] = {}
        n_refused = 0
        try:
            for stream, sound in kind.sound.items():
                documents = [to_json(self._odd(sound(i), odd)) for i in range(A_TABLE)]
                n_refused += sum(self._is_refused(kind, stream, each) for each in documents)
                tables[stream] = _table(stream, documents)
                self.n_documents += len(documents)
            rows = kind.workload.training_set(tables)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            self._tally.add(CAMPAIGN, name, "broken", f"{error!r:.300} in {where}")
            return
        self.n_refused += n_refused
        self.reasons.update(rows.rejected)
        n_counted = sum(rows.rejected.values())
        lost = ""
        if n_counted < n_refused:
            lost = f"{n_refused} were refused, {n_counted} counted"
        elif kind.is_one_row_a_record and rows.n_rows + n_counted != A_TABLE:
            lost = f"{rows.n_rows} rows and {n_counted} counted of {A_TABLE}"
        elif not all(reason.strip() for reason in rows.rejected):
            lost = "a reason is empty"
        self._tally.add(CAMPAIGN, name, "broken" if lost else "survived", lost)

    def _is_refused(self, kind: Kind, stream: str, fields: Document) -> bool:
        workload = kind.workload
        reason = workload.reject_reason(stream, fields)
        workload.entity_of(stream, fields)
        if reason is None:
            workload.admit(stream, fields, NOW)
        elif not reason.strip():
            raise AssertionError(f"refused without a reason: {fields!r:.200}")
        return reason is not None

    def _odd(self, document: Document, odd: Sequence[Any]) -> Document:
        dice = self._dice
        for _ in range(dice.choice((0, 1, 1, 1, 2, 3))):
            place: Any = document
            key = dice.choice(list(document))
            if isinstance(place[key], list) and place[key] and dice.random() < 0.7:
                inner = place[key][0]
                if isinstance(inner, dict) and inner:
                    place, key = inner, dice.choice(list(inner))
            match dice.randrange(8):
                case 0:
                    del place[key]
                    if not document:
                        return document
                case 1:
                    place[key] = [place[key]]
                case 2:
                    place[key] = {"value": place[key], key: dice.choice(odd)}
                case 3:
                    place[dice.choice((f" {key.upper()}", "\ud83d", "", "7"))] = place.pop(key)
                case 4:
                    place[key] = str(place[key])
                case _:
                    place[key] = dice.choice(odd)
        return document


def _table(stream: str, documents: Sequence[Document]) -> Table:
    ids = [f"r{i}" for i in range(len(documents))]
    times = [to_epoch_us(NOW - timedelta(minutes=i)) for i in range(len(documents))]
    rows = [
        Record(id_, from_epoch_us(at), each)
        for id_, at, each in zip(ids, times, documents, strict=True)
    ]
    found = to_arrow(rows, lambda _fields: None, lambda _fields: "")
    return Table(stream, ids, times, [body.encode() for body in found["body"].to_pylist()])
