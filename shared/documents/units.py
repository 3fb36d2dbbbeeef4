"""Units of measure that stand behind numbers: which are of one kind, and what one is of another.

Knows no field and no workload.
"""

from __future__ import annotations

from collections.abc import Mapping

_PREFIXES = {"n": 1e-9, "µ": 1e-6, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "K": 1e3, "M": 1e6,
             "G": 1e9}  # fmt: skip

_UNITS: dict[str, tuple[str, float]] = {
    **{f"{prefix}{unit}": (kind, factor)
       for unit, kind in (("W", "power"), ("Wh", "energy"), ("V", "voltage"), ("A", "current"),
                          ("VA", "apparent power"), ("Hz", "frequency"), ("g", "mass"),
                          ("l", "volume"), ("L", "volume"), ("Pa", "pressure"), ("lx", "light"))
       for prefix, factor in _PREFIXES.items()},
    **{f"{prefix}{unit}": ("bytes", size**power)
       for power, prefix in ((0, ""), (1, "k"), (1, "K"), (2, "M"), (3, "G"), (4, "T"))
       for unit, size in (("B", 1000.0), ("iB", 1024.0)) if prefix or unit == "B"},
    "bytes": ("bytes", 1.0), "byte": ("bytes", 1.0),
    "lux": ("light", 1.0), "klux": ("light", 1e3),
    "t": ("mass", 1e6), "lb": ("mass", 453.59237), "lbs": ("mass", 453.59237),
    "oz": ("mass", 28.349523125),
    "cl": ("volume", 1e-2), "cL": ("volume", 1e-2), "dl": ("volume", 1e-1), "dL": ("volume", 1e-1),
    "litre": ("volume", 1.0), "litres": ("volume", 1.0), "liter": ("volume", 1.0),
    "liters": ("volume", 1.0), "ltr": ("volume", 1.0), "gal": ("volume", 3.785411784),
    "mm": ("length", 1e-3), "cm": ("length", 1e-2), "m": ("length", 1.0), "km": ("length", 1e3),
    "in": ("length", 0.0254), "ft": ("length", 0.3048), "mi": ("length", 1609.344),
    "m²": ("area", 1.0), "m2": ("area", 1.0), "qm": ("area", 1.0), "sqm": ("area", 1.0),
    "cm²": ("area", 1e-4), "ha": ("area", 1e4), "sqft": ("area", 0.09290304),
    "ft²": ("area", 0.09290304),
    "ns": ("time", 1e-9), "µs": ("time", 1e-6), "us": ("time", 1e-6), "ms": ("time", 1e-3),
    "s": ("time", 1.0), "sec": ("time", 1.0), "secs": ("time", 1.0), "min": ("time", 60.0),
    "mins": ("time", 60.0), "h": ("time", 3600.0), "hrs": ("time", 3600.0),
    "%": ("share", 1.0), "percent": ("share", 1.0), "pct": ("share", 1.0), "‰": ("share", 0.1),
    "°C": ("temperature C", 1.0), "℃": ("temperature C", 1.0), "°F": ("temperature F", 1.0),
    "℉": ("temperature F", 1.0),
}  # fmt: skip

CURRENCIES: Mapping[str, str] = {
    "€": "EUR", "$": "$", "US$": "USD", "£": "GBP", "¥": "¥", "₹": "INR", "Rs": "Rs", "Rs.": "Rs",
    "₽": "RUB", "₺": "TRY", "₩": "KRW", "₪": "ILS", "₫": "VND", "zł": "PLN", "kr": "kr",
    "kr.": "kr", "Fr.": "CHF", "R$": "BRL", "C$": "CAD", "A$": "AUD", "Kč": "CZK",
    **{code: code for code in (
        "EUR", "USD", "GBP", "CHF", "JPY", "CNY", "INR", "LKR", "SEK", "NOK", "DKK", "PLN", "CZK",
        "HUF", "RUB", "TRY", "BRL", "CAD", "AUD", "NZD", "ZAR", "KRW", "ILS", "VND", "SGD", "HKD",
        "MXN", "AED", "SAR", "THB", "IDR", "MYR", "PHP", "RON", "BGN", "UAH")},
}  # fmt: skip
"""Sign of a currency -> what tells it from the others, as far as the sign does."""


def kind_of(unit: str) -> str:
    """What a unit measures; the unit itself where it is not known, "" for none.

    >>> kind_of("kW"), kind_of("W"), kind_of("€"), kind_of("pcs"), kind_of("")
    ('power', 'power', 'EUR', 'pcs', '')
    """
    if unit in _UNITS:
        return _UNITS[unit][0]
    return CURRENCIES.get(unit, unit)


def factor_to(unit: str, wanted: str) -> float | None:
    """What a number in `unit` is multiplied by to be one in `wanted`; None: they differ in kind.

    A unit that is not known, or none, is taken for the wanted one.

    >>> factor_to("kW", "W"), factor_to("V", "W"), factor_to("pcs", "W"), factor_to("kW", "")
    (1000.0, None, 1.0, 1.0)
    """
    if not wanted or wanted not in _UNITS or unit not in _UNITS or unit == wanted:
        return 1.0
    (kind, factor), (wanted_kind, wanted_factor) = _UNITS[unit], _UNITS[wanted]
    return factor / wanted_factor if kind == wanted_kind else None


def offset_to(unit: str, wanted: str) -> tuple[float, float] | None:
    """(factor, offset) from one scale of temperature to another; None where they are none.

    >>> factor, offset = offset_to("°F", "°C") or (1, 0)
    >>> round(71.6 * factor + offset, 6)
    22.0
    """
    if unit not in _SCALES or wanted not in _SCALES:
        return None
    (factor, zero), (wanted_factor, wanted_zero) = _SCALES[unit], _SCALES[wanted]
    return factor / wanted_factor, (zero - wanted_zero) / wanted_factor


_SCALES: Mapping[str, tuple[float, float]] = {
    "°C": (1.0, 273.15), "℃": (1.0, 273.15), "C": (1.0, 273.15), "K": (1.0, 0.0),
    "°F": (5 / 9, 273.15 - 32 * 5 / 9), "℉": (5 / 9, 273.15 - 32 * 5 / 9),
    "F": (5 / 9, 273.15 - 32 * 5 / 9),
}  # fmt: skip
"""Scale -> what a degree is in kelvins, and the kelvins of its zero."""


def scale_of(unit: str) -> float:
    """How many of the base unit one is; 1 where the unit is not known."""
    return _UNITS[unit][1] if unit in _UNITS else 1.0
