"""Bring one value into the form that a workload reads, as the configuration says it is written.

Times become ISO texts with a zone, numbers become numbers in the workload's unit. What cannot be
read as configured is no value. Knows no workload and no path.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, time
from typing import Any, cast
from zoneinfo import ZoneInfo

from shared.documents.field_specs import FieldSpec
from shared.documents.numbers import Decimal, NumberPolicy, Unread, parse_number
from shared.documents.time_policy import NoTime, TimePolicy
from shared.documents.times import parse_time
from shared.documents.units import factor_to, kind_of, offset_to
from shared.errors import SettingsInvalid
from shared.records import from_epoch_us
from shared.settings.streams import FieldSettings

Conversion = Callable[[Any], Any]

CURRENCY = "the shop's currency"
TIME_UNITS = ("s", "ms", "us", "ns", "excel")


def conversion_of(
    spec: FieldSpec,
    field: FieldSettings | None,
    decimal: str | None,
    time_zone: str | None,
    where: str,
) -> Conversion:
    """What is made of the values of a field.

    field : its settings; None where only the stream says something.
    decimal, time_zone : of the stream.

    Raises:
        SettingsInvalid: a unit that cannot be turned into the workload's.
    """
    unit, missing = (field.unit, field.missing) if field else ("", ())
    convert: Conversion = _as_it_is
    if spec.kind == "time":
        zone = (field.time_zone if field else None) or time_zone
        written = field.format if field else ""
        if unit and unit not in TIME_UNITS:
            raise SettingsInvalid(
                f"{where}.unit: expected one of {', '.join(TIME_UNITS)}, found {unit!r}."
            )
        if zone or written or unit:
            convert = _Times(ZoneInfo(zone or "UTC"), written, unit)
    elif spec.kind == "number":
        sign = (field.decimal if field else None) or decimal
        scale = offset_to(unit, spec.unit)
        factor, offset = scale or (_factor(unit, spec.unit, f"{where}.unit"), 0.0)
        if sign or unit:
            wanted = "" if unit else spec.unit
            convert = _Numbers(NumberPolicy(cast(Decimal, sign or ""), wanted), factor, offset)
    elif spec.kind == "value" and field and field.decimal and not unit:
        policy = NumberPolicy(cast(Decimal, field.decimal))
        convert = _Numbers(policy, 1.0, 0.0, keeps_texts=True)
    elif unit:
        raise SettingsInvalid(f"{where}.unit: {spec.name} is a {spec.kind} and has no unit.")
    return _Without(missing, convert) if missing else convert


def _as_it_is(value: Any) -> Any:
    return value


def _factor(unit: str, wanted: str, where: str) -> float:
    """What a number in the configured unit is multiplied by."""
    if not unit or unit == wanted:
        return 1.0
    if wanted == "%" and unit == "fraction":
        return 100.0
    if unit in ("cents", "cent"):
        return 0.01
    # A unit that is not known, "pcs", is a label where the workload has no known unit either.
    is_known = kind_of(unit) != unit
    is_right = is_known == (kind_of(wanted) != wanted) or wanted in ("", CURRENCY)
    factor = factor_to(unit, wanted) if is_right else None
    if factor is None:
        fraction = '"fraction" or ' if wanted == "%" else ""
        raise SettingsInvalid(
            f"{where}: expected {fraction}a unit that can be turned into {wanted}, found {unit!r}."
        )
    return factor


class _Without:
    """Values that mean that there is none are none; the others are converted."""

    def __init__(self, missing: Sequence[Any], convert: Conversion) -> None:
        self._convert = convert
        numbers = (parse_number(value) for value in missing if not isinstance(value, bool))
        self._numbers = {number for number in numbers if not isinstance(number, Unread)}
        self._texts = {str(value).strip().casefold() for value in missing}

    def __call__(self, value: Any) -> Any:
        if isinstance(value, list):
            return [found for item in value if (found := self(item)) is not None]
        if isinstance(value, str) and value.strip().casefold() in self._texts:
            return None
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            number = parse_number(value)
            if not isinstance(number, Unread) and any(
                math.isclose(number, missing, rel_tol=1e-9) for missing in self._numbers
            ):
                return None
        return self._convert(value)


class _Numbers:
    """A number in the workload's unit; a list of numbers item by item.

    keeps_texts : what is no number stays as it is, else it is none.
    """

    def __init__(
        self, policy: NumberPolicy, factor: float, offset: float, *, keeps_texts: bool = False
    ) -> None:
        self._policy, self._factor, self._offset = policy, factor, offset
        self._keeps_texts = keeps_texts

    def __call__(self, value: Any) -> Any:
        if isinstance(value, list):
            return [found for item in value if (found := self(item)) is not None]
        number = parse_number(value, self._policy)
        if isinstance(number, Unread):
            is_kept = self._keeps_texts or (isinstance(value, Mapping) and self._factor == 1.0)
            return value if is_kept else None
        converted = number * self._factor + self._offset
        return round(converted, 9) if self._offset else converted


class _Times:
    """An ISO text with the offset of the zone; a day without an hour stays one."""

    def __init__(self, zone: ZoneInfo, written: str, unit: str) -> None:
        self._zone, self._format = zone, written
        self._policy = TimePolicy(time_zone=zone, unit=unit, takes_days=False)

    def __call__(self, value: Any) -> Any:
        if isinstance(value, str):
            if self._format:
                return self._of_format(value)
            try:
                at = datetime.fromisoformat(value.strip())
            except ValueError:
                pass
            else:
                has_clock = len(value.strip()) > 10
                return self._in_zone(at) if at.tzinfo is None and has_clock else value
        at_us = parse_time(value, self._policy)
        if at_us is NoTime.AMBIGUOUS or at_us is NoTime.DAY_ALONE:
            return value  # the workload knows which comes first, or takes days
        if isinstance(at_us, NoTime):
            return None
        zone = self._zone if isinstance(value, str) and not value.strip().isdigit() else UTC
        return from_epoch_us(at_us).astimezone(zone).isoformat()

    def _of_format(self, text: str) -> str | None:
        try:
            at = datetime.strptime(text.strip(), self._format)  # noqa: DTZ007 - zone follows
        except ValueError:
            return None
        if at.time() == time() and not any(sign in self._format for sign in _CLOCKS):
            return at.date().isoformat()
        return self._in_zone(at) if at.tzinfo is None else at.isoformat()

    def _in_zone(self, at: datetime) -> str:
        return at.replace(tzinfo=self._zone).isoformat()


_CLOCKS = ("%H", "%I", "%X", "%c", "%T", "%s")
