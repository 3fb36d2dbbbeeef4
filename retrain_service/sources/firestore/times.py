"""The ways in which a Firestore field keeps times: timestamps, numbers or texts. Asks nothing.

A range in Firestore stays within one type, so documents of another type are never met by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from shared.documents.time_policy import TimePolicy
from shared.documents.times import read_moment, unit_of_epoch_us
from shared.records import from_epoch_us, to_epoch_us

EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
_ANY_YEAR = TimePolicy(first_year=1, last_year=9999)

Kind = Literal["timestamp", "number", "text"]


@dataclass(frozen=True, slots=True)
class FieldTimes:
    """One field's way of keeping times.

    unit_us : of "number", what one stands for, in microseconds.
    zone : of "text", what its texts end with: "Z", an offset, or nothing.
    """

    kind: Kind = "timestamp"
    unit_us: float = 1.0
    zone: str = ""

    def bound(self, at: datetime) -> Any:
        """What the field holds at `at`, to compare with; a text is cut to what sorts first."""
        if at <= EARLIEST:
            return {"timestamp": EARLIEST, "number": 0, "text": ""}[self.kind]
        if self.kind == "number":
            return to_epoch_us(at) / self.unit_us
        if self.kind == "text":
            return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
        return at

    def decode(self, value: Any) -> datetime | None:
        """The time of a stored value, to the microsecond that the server keeps; None: none."""
        if isinstance(value, datetime):
            return from_epoch_us(to_epoch_us(value))
        return read_moment(value, _ANY_YEAR)


FIRST_BOUNDS: dict[Kind, Any] = {"number": 0, "text": ""}
"""Where no document has a timestamp: less than or equal to every time of that kind."""


def times_of(kind: Kind, example: Any) -> FieldTimes:
    """As the newest value of that kind shows it."""
    if kind == "number" and isinstance(example, int | float):
        return FieldTimes("number", unit_of_epoch_us(float(example)))
    return FieldTimes(kind)


def read_time(snapshot: Any) -> datetime:
    """When the server read a document; the client gives another type for a collection group."""
    at = snapshot.read_time
    return at if isinstance(at, datetime) else at.ToDatetime(tzinfo=UTC)
