"""Learn from many values how the numbers of a column are written, and which are no measurement.

Knows no field and no workload; `numbers` reads the values with what is learnt here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shared.documents.numbers import ANY, NumberPolicy, Written, decimals_shown, take_apart
from shared.documents.units import kind_of, scale_of

Floats = NDArray[np.float64]

_ENOUGH_DOTTED = 3
_WHOLE_BELOW = 1000


@dataclass(frozen=True, slots=True)
class ColumnNumbers:
    """How a column is written. problem : why some of its texts cannot be read, "" where all can.

    policy : for `numbers.read_number`. n_ambiguous : texts that can be read two ways.
    n_numbers : texts that are numbers, those included.
    """

    policy: NumberPolicy
    problem: str = ""
    n_ambiguous: int = 0
    n_numbers: int = 0


def column_policy(values: Iterable[object], policy: NumberPolicy = ANY) -> ColumnNumbers:
    """What the number texts of one column say about its decimal sign and its units.

    A text such as "12,5" or "1,250,000" proves a sign; "1,250" does not, and takes the one that
    others prove. Nothing is chosen where none does, or where texts prove both.

    >>> column_policy(["12,5", "1,250"]).policy.decimal
    ','
    >>> print(column_policy(["1,250", "2,400"]).problem)
    '1,250' may be 1.25 or 1250; say which sign marks the decimals: decimal = "," or "."
    """
    proofs: Counter[str] = Counter()
    units: Counter[str] = Counter()
    examples: dict[str, str] = {}
    n_numbers = n_whole_small = n_whole_great = 0
    for value in values:
        if not isinstance(value, str):
            continue
        written = take_apart(value)
        if not isinstance(written, Written):
            n_numbers += isinstance(written, float)
            continue
        shown = decimals_shown(written.digits)
        proof = shown if shown is not None else "?" + ("," if "," in written.digits else ".")
        proofs[proof] += 1
        examples.setdefault(proof, value.strip())
        units[written.unit] += 1
        n_numbers += 1
        if not proof:
            digits = sum(sign.isdigit() for sign in written.digits)
            n_whole_small += digits < 4
            n_whole_great += digits >= 4
    comma, point = proofs[","], proofs["."]
    units_problem = "" if policy.unit else _mixed_units(units)
    if policy.decimal:
        return ColumnNumbers(policy, units_problem, 0, n_numbers)
    if comma and point:
        n_unclear = proofs["?,"] + proofs["?."]
        problem = (
            f"{examples[',']!r} and {examples['.']!r} have different decimal signs in one column;"
            ' say which one counts: decimal = "," or "."'
        )
        return ColumnNumbers(policy, problem, n_unclear, n_numbers)
    if comma or point:
        found = replace(policy, decimal="," if comma else ".")
        return ColumnNumbers(found, units_problem, 0, n_numbers)
    if proofs["?,"] and proofs["?."]:
        n_unclear, unclear = proofs["?,"] + proofs["?."], examples["?,"]
    elif proofs["?,"]:
        n_unclear, unclear = proofs["?,"], examples["?,"]
    elif proofs["?."] >= _ENOUGH_DOTTED and n_whole_small and not n_whole_great:
        # Programs write 1.5, not 1.500: points before three digits only, beside whole numbers
        # below a thousand, look like thousands.
        n_unclear, unclear = proofs["?."], examples["?."]
    else:
        return ColumnNumbers(policy, units_problem, 0, n_numbers)
    bare = "".join(sign for sign in unclear if sign.isdigit() or sign in ".,")
    as_decimal, as_whole = (
        float(bare.replace(",", ".")),
        int(bare.replace(",", "").replace(".", "")),
    )
    problem = (
        f"{unclear!r} may be {as_decimal:g} or {as_whole}; say which sign marks the decimals:"
        ' decimal = "," or "."'
    )
    return ColumnNumbers(policy, problem, n_unclear, n_numbers)


def _mixed_units(units: Counter[str]) -> str:
    named = {unit for unit in units if unit}
    kinds = {kind_of(unit) for unit in named}
    if len(named) < 2 or (len(kinds) == 1 and len({scale_of(unit) for unit in named}) == 1):
        return ""
    if len(kinds) > 1 and not any(kind_of(unit) != unit for unit in named):
        return ""  # words that are no units: "pcs", "pieces"
    listed = ", ".join(f"{unit} ({units[unit]:,})" for unit in sorted(named))
    return f'numbers in several units in one column: {listed}; say which one is wanted: unit = "…"'


# -- codes and bounds ------------------------------------------------------------------------------

_REGISTER_ENDS = (
    32_767, 32_768, 65_534, 65_535, 65_536, 8_388_607, 16_777_215, 2_147_483_647, 2_147_483_648,
    4_294_967_294, 4_294_967_295, 4_294_967_296,
)  # fmt: skip
_SCALES = (1.0, 0.1, 0.01, 0.001)
CODES: Floats = np.unique(
    [sign * end * scale for end in _REGISTER_ENDS for scale in _SCALES for sign in (1, -1)]
    + [float(-n) for n in (99, 127, 255, 998, 999, 9_998, 9_999, 99_999, 999_999, 32_000)]
    + [-99.9, -999.9, -9_999.9, -127.94, -196.6]
    + [float(n) for n in (255, 998, 999, 9_999, 99_999, 999_999, 9_999_999, 99_999_999)]
    + [999.9, 9_999.9, 85.0, 3.4028234663852886e38, 1e20, 1e30, 1e38, -1e20, -1e30]
)
"""What devices send for "no value": ends of registers, also with one to three decimals, and the
numbers that firmware writers choose. One is a code only where it is far outside the others."""

_CODE_REACH, _SPIKE_REACH = 1.0, 20.0
_FEW = 20
_MOST_SPIKES = 0.02


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one device measures in one metric: the range in which a reading can be one.

    low, high : beyond, a value is a spike. code_low, code_high : beyond, a code is a code.
    """

    low: float
    high: float
    code_low: float
    code_high: float


NO_BOUNDS = Bounds(-np.inf, np.inf, -np.inf, np.inf)


def learn_bounds(values: Floats) -> Bounds:
    """Robust bounds of one device and metric, from the quantiles of what is no code.

    values : (n,) with NaN where nothing was measured. Fewer than `_FEW` give no bounds.
    Quantile fences as in Tukey, Exploratory Data Analysis (1977), with the middle 98 percent in
    place of the quartiles, since power and light are zero for half of the day.
    """
    there = values[np.isfinite(values)]
    plain = there[~is_code(there)]
    if plain.size < _FEW:
        return NO_BOUNDS
    low, high = np.quantile(plain, (0.01, 0.99))
    spread = float(high - low)
    scale = max(spread, 0.05 * max(abs(float(low)), abs(float(high))), 1e-9)
    beyond = (plain < low - _SPIKE_REACH * scale) | (plain > high + _SPIKE_REACH * scale)
    has_spikes = 0 < int(beyond.sum()) <= _MOST_SPIKES * plain.size and spread > 0
    kept = plain[~beyond] if has_spikes else plain
    code_low = min(float(kept.min()), float(low)) - _CODE_REACH * 0.1 * scale
    code_high = max(float(kept.max()), float(high)) + _CODE_REACH * 0.1 * scale
    if spread <= 0:
        return Bounds(-np.inf, np.inf, code_low, code_high)
    return Bounds(
        float(low) - _SPIKE_REACH * scale, float(high) + _SPIKE_REACH * scale, code_low, code_high
    )


def is_code(values: Floats) -> NDArray[np.bool_]:
    """(n,) which values are exactly a number that devices send for "no value"."""
    at = np.searchsorted(CODES, values)
    near = np.zeros(values.shape, dtype=np.bool_)
    for neighbour in (np.maximum(at - 1, 0), np.minimum(at, CODES.size - 1)):
        code = CODES[neighbour]
        near |= np.abs(values - code) <= 1e-9 * np.abs(code)
    return near


def no_measurement(values: Floats, bounds: Bounds) -> NDArray[np.bool_]:
    """(n,) which values are a code for "no value", or far beyond what the device ever measured."""
    with np.errstate(invalid="ignore"):
        outside = (values < bounds.code_low) | (values > bounds.code_high)
        spike = (values < bounds.low) | (values > bounds.high)
    return spike | (outside & is_code(values))
