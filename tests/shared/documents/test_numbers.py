"""Numbers of foreign documents: one table of what is read, and of what is refused and why."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from shared.documents.number_columns import column_policy, learn_bounds, no_measurement
from shared.documents.numbers import NumberPolicy, Unread, parse_number

READ: list[tuple[Any, float]] = [
    (12, 12.0), (-0.5, -0.5), ("12", 12.0), (" 12.5 ", 12.5), ("1e3", 1000.0), ("+5", 5.0),
    (".5", 0.5), (",5", 0.5), ("12,5", 12.5), ("0,125", 0.125), ("12,5 W", 12.5), ("1,5e3", 1500.0),
    ("1.250", 1.25), ("1,234,567", 1234567.0), ("1.234.567", 1234567.0), ("1,299.00", 1299.0),
    ("1.299,50", 1299.5), ("1 234,5", 1234.5), ("1\u00a0234,5", 1234.5), ("1\u202f234,50", 1234.5),
    ("1'234.50", 1234.5), ("1’234.50", 1234.5), ("1_000_000", 1e6), ("1,25,000", 125000.0),
    ("12.50 €", 12.5), ("€12,50", 12.5), ("-€5", -5.0), ("€-5", -5.0), ("USD 1,299.00", 1299.0),
    ("Rs. 1,299.00", 1299.0), ("12,5 kr", 12.5), ("5 %", 5.0), ("99.5%", 99.5), ("21.5°C", 21.5),
    ("62.5 m²", 62.5), ("2 pcs", 2.0), ("2x", 2.0), ("4.5 L", 4.5), ("1.2k", 1200.0),
    ("½", 0.5), ("1½", 1.5), ("1 1/2", 1.5), ("3/4 L", 0.75), ("-1/2", -0.5),
    ("(12.50)", -12.5), ("12.50-", -12.5), ("\u221212.5", -12.5),
    ("١٢٫٥", 12.5), ("１２．５", 12.5), ("१२", 12.0), ("\u200e12.5", 12.5),
    ({"$numberDecimal": "1.250"}, 1.25), ({"$numberLong": "7"}, 7.0), ({"amount": "3"}, 3.0),
    ({"amount": 1299, "precision": 2}, 12.99), ({"units": "3", "nanos": 500_000_000}, 3.5),
]  # fmt: skip

_MISSING: list[Any] = [
    None, "", "  ", "NA", "n/a", "N/A", "#N/A", "-", "—", "null", "None", "nan", "NaN", "inf",
    "Infinity", "unavailable", "unknown", "?", math.nan, math.inf, "1e999",
    {"$numberDouble": "NaN"},
]  # fmt: skip
_AMBIGUOUS: list[Any] = ["1,250", "$1,299", "12,345 W", "-999,999"]
_NO_NUMBERS: list[Any] = [
    True, [1], {}, "many", "1,234.567,8", "12 34", "1.2.3", "127.0.0.1", "2025-11-26", "9:30",
    "10²", "0x10", "12.50 - 15.00", "<5", "1,23,4", "5 " * 60, 10**400, "--5", "1 2/0",
]  # fmt: skip
REFUSED: list[tuple[Any, Unread]] = [
    *((value, Unread.MISSING) for value in _MISSING),
    *((value, Unread.AMBIGUOUS) for value in _AMBIGUOUS),
    *((value, Unread.NOT_A_NUMBER) for value in _NO_NUMBERS),
]


def test_a_number_is_read_in_every_form_that_people_and_programs_write() -> None:
    """A price, a quantity and a sensor are written alike, and were read in six ways."""
    assert [(value, parse_number(value)) for value, _ in READ] == READ


def test_what_is_no_number_is_refused_with_its_reason() -> None:
    """No value, an unclear number and a text are three things for the person who repairs them."""
    found = [(str(value), parse_number(value)) for value, _ in REFUSED]

    assert found == [(str(value), reason) for value, reason in REFUSED]


@pytest.mark.parametrize(
    ("policy", "value", "expected"),
    [
        (NumberPolicy(","), "1,250", 1.25),
        (NumberPolicy("."), "1,250", 1250.0),
        (NumberPolicy(","), "1.250", 1250.0),
        (NumberPolicy(","), "1.250,5", 1250.5),
        (NumberPolicy(","), "12.5", Unread.AMBIGUOUS),
        (NumberPolicy("."), "1.250,5", Unread.AMBIGUOUS),
        (NumberPolicy(","), 12.5, 12.5),
        (NumberPolicy(unit="W"), "1.2 kW", 1200.0),
        (NumberPolicy(unit="kW"), "1200 W", 1.2),
        (NumberPolicy(unit="W"), "230 V", Unread.OTHER_UNIT),
        (NumberPolicy(missing=frozenset({65535.0})), "65535", Unread.CODE),
        (NumberPolicy(takes_bool=True), True, 1.0),
    ],
)
def test_what_a_value_does_not_say_the_policy_says(
    policy: NumberPolicy, value: object, expected: object
) -> None:
    """Decimal sign, unit and codes: never guessed from one value."""
    assert parse_number(value, policy) == expected


@pytest.mark.parametrize(
    ("values", "decimal", "problem", "n_ambiguous"),
    [
        (["62,5", "1,250", 7], ",", "", 0),
        (["62.5", "1,250"], ".", "", 0),
        (["1,250,000", "1,250"], ".", "", 0),
        (["1,250", "2,400", "990"], "", "'1,250' may be 1.25 or 1250", 2),
        (["1.250", "2.400", "3.100", "990"], "", "'1.250' may be 1.25 or 1250", 3),
        (["1.250", "2.400", "3.100"], "", "", 0),
        (["0,250", "1,250"], ",", "", 0),
        (["62,5", "62.5", "1,250"], "", "different decimal signs", 1),
        (["red", None, 5, True], "", "", 0),
        (["1.5 kW", "900 W"], ".", "several units in one column", 0),
        (["5 €", "6 $"], "", "several units in one column", 0),
        (["2 pcs", "3 pieces"], "", "", 0),
        (["4.5 L", "3 l"], ".", "", 0),
    ],
)
def test_a_column_says_what_one_value_does_not(
    values: list[object], decimal: str, problem: str, n_ambiguous: int
) -> None:
    """Learnt once from many values; what stays unclear is asked for and not chosen."""
    found = column_policy(values)

    assert (found.policy.decimal, found.n_ambiguous) == (decimal, n_ambiguous)
    assert problem in found.problem
    assert bool(problem) == bool(found.problem)


def test_codes_and_spikes_are_told_from_measurements_by_what_the_device_measures() -> None:
    """65535 W is no reading of a roof of 4 kW, and one of a field of 100 kW."""
    sun = np.maximum(0.0, np.sin(np.linspace(0, 14 * np.pi, 2016)))
    roof, field = 4000 * sun, 100_000 * sun
    cold = -20 + 15 * sun
    codes = np.array([65535, 6553.5, 32767, -32768, 4294967295, 214748364.7, 2147483647, -9999])

    assert no_measurement(codes, learn_bounds(np.append(roof, codes[:2]))).all()
    assert not no_measurement(np.append(roof, 4500.0), learn_bounds(roof)).any()
    assert not no_measurement(np.array([65535.0, 32767.0]), learn_bounds(field)).any()
    assert no_measurement(np.array([-999.0, -127.0]), learn_bounds(cold)).all()
    assert no_measurement(np.array([1e8]), learn_bounds(roof)).all()
    assert not no_measurement(codes, learn_bounds(roof[:5])).any(), "too few to say"
    half_codes = np.where(sun > 0.01, roof, 65535.0)
    assert no_measurement(half_codes, learn_bounds(half_codes)).sum() == (half_codes == 65535).sum()
    constant = np.full(100, 230.0)
    assert no_measurement(np.append(constant, 6553.5), learn_bounds(constant)).sum() == 1
    assert not no_measurement(np.array([0.0, 231.0]), learn_bounds(constant)).any()
