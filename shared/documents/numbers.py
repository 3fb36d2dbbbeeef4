"""Read numbers of foreign documents: decimal signs, thousands, units, words for "no value".

A text whose signs can be read two ways is not read: its column or the configuration decides.
Knows no field and no workload.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from shared.documents.units import CURRENCIES, factor_to

Decimal = Literal["", ".", ","]


class Unread(StrEnum):
    """Why a value gave no number."""

    MISSING = "no value"
    AMBIGUOUS = "a number that can be read two ways (decimal sign or thousands sign)"
    NOT_A_NUMBER = "no number"
    OTHER_UNIT = "a number in a unit of another kind"
    CODE = "a code that stands for no value"


@dataclass(frozen=True, slots=True)
class NumberPolicy:
    """How the numbers of one column are written; as configured, or as `column_policy` learnt it.

    decimal : the decimal sign of texts; "" where nobody said: then what is clear is read, a point
        is one, and "1,250" is not read.
    unit : the unit that is wanted; a text in another unit of the kind is converted.
    missing : numbers that stand for no value.
    takes_bool : whether true is 1.
    """

    decimal: Decimal = ""
    unit: str = ""
    missing: frozenset[float] = frozenset()
    takes_bool: bool = False


ANY = NumberPolicy()


@dataclass(frozen=True, slots=True)
class Written:
    """A number text taken apart.

    digits : with their signs and the exponent. unit : as written, or the currency; "" for none.
    """

    digits: str
    is_negative: bool
    unit: str


_MISSING_WORDS = frozenset(
    ("", "na", "n/a", "n.a.", "#n/a", "#na", "<na>", "null", "(null)", "none", "nil", "nan", "-nan",
     "undefined", "unknown", "unavailable", "missing", "not available", "-", "--", "---", "–", "—",
     ".", "..", "...", "…", "?", "\\n", "#value!", "#div/0!", "#ref!", "#num!", "inf", "+inf",
     "-inf", "infinity", "+infinity", "-infinity", "∞", "tbd", "tba", "k.a.", "k. a.", "s/o",
     "no data", "nodata", "no value", "empty", "error", "err")
)  # fmt: skip

_FRACTIONS = re.compile(r"([+-]?)(?:(\d+)[ -])?(\d+) ?/ ?([1-9]\d*)")
_BODY = r"(?:\d[\d.,' _]*\d|\d)[.,]?|[.,]\d+"
_UNIT = r"(?:[^\W\d_¹²³]|[%‰€$£¥₹₽₺₩₪₫℃℉]|° ?)[^\d\s()²³]{0,14}[23²³]?"
_NUMBER = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[+-]?)\s*(?P<before>[^\d\s.,+()-]{{1,4}}\.?)?\s*(?P<inner>[+-]?)\s*"
    rf"(?P<body>{_BODY})(?P<exponent>[eE][+-]?\d{{1,3}})?\s*(?P<after>{_UNIT})?"
    rf"\s*(?P<trailing>-)?\s*(?P<close>\))?"
)
_GROUPED = {
    sign: re.compile(rf"\d{{1,3}}(?:{re.escape(sign)}\d{{3}})+"
                     rf"|\d{{1,2}}(?:{re.escape(sign)}\d{{2}})+{re.escape(sign)}\d{{3}}")
    for sign in ".,' _"
}  # fmt: skip
_SIGNS = str.maketrans(
    {"\u2212": "-", "\u2010": "-", "\u2011": "-", "\u2012": "-", "\uff0d": "-", "\ufe63": "-",
     "\uff0b": "+", "\uff0e": ".", "\uff0c": ",", "\u066b": ".", "\u066c": "'", "\u2019": "'",
     "\u02bc": "'", "\u00b4": "'", "`": "'", "\uff05": "%", "\u066a": "%", "\u2044": "/",
     "\u200e": "", "\u200f": "", "\u061c": "", "\ufeff": "", "\u200b": "", "\u00ad": ""}
)  # fmt: skip
_INNER = (
    "$numberDecimal", "$numberDouble", "$numberLong", "$numberInt", "doubleValue", "integerValue",
    "amount", "value", "average", "price", "rate",
)  # fmt: skip
_MULTIPLES = {"k": 1e3, "K": 1e3, "Mio": 1e6, "Mio.": 1e6, "mn": 1e6, "bn": 1e9}
_MOST_CHARACTERS = 100


def read_number(value: object, policy: NumberPolicy = ANY) -> float:
    """A finite number; NaN where there is none. `why_no_number` says why.

    >>> [read_number(v) for v in (12, "12.5", "12,5 W", "1.299,50 €", "1,250", "n/a", True)]
    [12.0, 12.5, 12.5, 1299.5, nan, nan, nan]
    >>> read_number("1,250", NumberPolicy(",")), read_number("1,250", NumberPolicy("."))
    (1.25, 1250.0)
    """
    found = parse_number(value, policy)
    return math.nan if isinstance(found, Unread) else found


def why_no_number(value: object, policy: NumberPolicy = ANY) -> Unread | None:
    """Why `read_number` gives NaN; None where it gives a number."""
    found = parse_number(value, policy)
    return found if isinstance(found, Unread) else None


def parse_number(value: object, policy: NumberPolicy = ANY) -> float | Unread:
    """A finite number, or why there is none."""
    found = _parse(value, policy, 0)
    return Unread.CODE if policy.missing and found in policy.missing else found


def _parse(value: object, policy: NumberPolicy, depth: int) -> float | Unread:
    if value is None:
        return Unread.MISSING
    if isinstance(value, bool):
        return float(value) if policy.takes_bool else Unread.NOT_A_NUMBER
    if isinstance(value, (int, float)):
        try:
            number = float(value)
        except OverflowError:  # an integer of three hundred digits
            return Unread.NOT_A_NUMBER
        return number if math.isfinite(number) else Unread.MISSING
    if isinstance(value, str):
        return _of_text(value, policy)
    if isinstance(value, Mapping) and depth < 3:
        return _of_object(value, policy, depth)
    return Unread.NOT_A_NUMBER


def _of_object(value: Mapping[Any, Any], policy: NumberPolicy, depth: int) -> float | Unread:
    if "units" in value and "nanos" in value:  # google.type.Money
        units, nanos = read_number(value["units"]), read_number(value["nanos"])
        total = units + nanos / 1e9
        return total if math.isfinite(total) else Unread.NOT_A_NUMBER
    name = next((name for name in _INNER if name in value), None)
    if name is None:
        return Unread.NOT_A_NUMBER
    point = NumberPolicy(".", policy.unit) if name.startswith("$") else policy
    found = _parse(value[name], point, depth + 1)
    scale = value.get("scale", value.get("precision"))
    if name == "amount" and isinstance(scale, int) and isinstance(found, float) and 0 <= scale < 9:
        return float(found / 10**scale)  # in the smallest coin, as payment libraries keep it
    return found


def _of_text(text: str, policy: NumberPolicy) -> float | Unread:
    if policy.decimal != ",":
        try:
            number = float(text)
        except ValueError:
            pass
        else:
            if "_" not in text and text.isascii():
                return number if math.isfinite(number) else Unread.MISSING
    written = take_apart(text)
    if isinstance(written, Unread):
        return written
    if isinstance(written, float):
        return written
    number_or_not = _of_digits(written.digits, policy.decimal)
    if isinstance(number_or_not, Unread):
        return number_or_not
    factor = _MULTIPLES.get(written.unit) or factor_to(written.unit, policy.unit)
    if factor is None:
        return Unread.OTHER_UNIT
    number = number_or_not * (-factor if written.is_negative else factor)
    return number if math.isfinite(number) else Unread.NOT_A_NUMBER


def take_apart(text: str) -> Written | float | Unread:
    """The parts of a number text; its value where it is a fraction ("1 1/2", "½")."""
    plain = _plain(text[: _MOST_CHARACTERS + 1])
    if plain.casefold() in _MISSING_WORDS:
        return Unread.MISSING
    if len(text) > _MOST_CHARACTERS:
        return Unread.NOT_A_NUMBER
    if "/" in plain:
        unit_at = re.search(r"[^\d\s/+-]", plain)
        fraction = _FRACTIONS.fullmatch(plain[: unit_at.start()].strip() if unit_at else plain)
        if fraction:
            number = int(fraction[2] or 0) + int(fraction[3]) / int(fraction[4])
            return -number if fraction[1] == "-" else number
    match = _NUMBER.fullmatch(plain)
    if match is None or bool(match["open"]) != bool(match["close"]):
        return Unread.NOT_A_NUMBER
    before = (match["before"] or "").strip()
    after = (match["after"] or "").replace(" ", "")
    if before and before not in CURRENCIES and before not in ("~", "≈", "ca.", "ca", "±"):
        return Unread.NOT_A_NUMBER
    signs = f"{match['sign']}{match['inner']}{match['trailing'] or ''}"
    if len(signs) > 1 or (match["open"] and signs):
        return Unread.NOT_A_NUMBER
    return Written(
        match["body"].strip() + (match["exponent"] or ""),
        signs == "-" or bool(match["open"]),
        after or (before if before in CURRENCIES else ""),
    )


def decimals_shown(digits: str) -> Decimal | None:
    """The decimal sign that the digits of a number prove; "" where none is written, None where
    a single sign stands before three digits and may be either."""
    body = _without_thousands(digits.partition("e")[0].partition("E")[0])
    if body is None:
        return ""
    signs = [sign for sign in body if sign in ".,"]
    if not signs:
        return ""
    last: Literal[".", ","] = "." if signs[-1] == "." else ","
    other: Literal[".", ","] = "," if last == "." else "."
    if len(set(signs)) == 2:
        return last
    if len(signs) > 1:
        return other  # several of one sign are thousands
    return None if _GROUPED[last].fullmatch(body) and body[0] != "0" else last


def _of_digits(digits: str, decimal: Decimal) -> float | Unread:
    number, mark, exponent = digits.replace("E", "e").partition("e")
    body = _without_thousands(number)
    if body is None:
        return Unread.NOT_A_NUMBER
    shown = decimals_shown(number)
    if shown is None:
        shown = decimal or ("." if "." in body else None)
        if shown is None:
            return Unread.AMBIGUOUS
    elif shown and decimal and shown != decimal:
        return Unread.AMBIGUOUS
    if shown:
        thousands = "," if shown == "." else "."
        whole, _, part = body.rpartition(shown) if shown in body else (body, "", "")
        if thousands in part or (thousands in whole and not _GROUPED[thousands].fullmatch(whole)):
            return Unread.NOT_A_NUMBER
        whole = whole.replace(thousands, "")
        if not (whole + part).isdecimal():
            return Unread.NOT_A_NUMBER
        body = f"{whole or '0'}.{part or '0'}"
    return float(f"{body}{mark}{exponent}")


def _without_thousands(number: str) -> str | None:
    """Without blanks, apostrophes and underscores that group thousands; None where they do not."""
    signs = {sign for sign in number if sign in "' _"}
    if not signs:
        return number
    if len(signs) > 1:
        return None
    sign = signs.pop()
    whole = re.split(r"[.,]", number, maxsplit=1)[0]
    if not _GROUPED[sign].fullmatch(whole) or sign in number[len(whole) :]:
        return None
    return number.replace(sign, "")


def _plain(text: str) -> str:
    """ASCII digits, signs and blanks; "1½" is "1 1/2"."""
    if text.isascii():
        return " ".join(text.split())
    found = []
    for sign in text.translate(_SIGNS):
        digit = unicodedata.decimal(sign, None)
        if digit is not None:
            found.append(str(digit))
        elif unicodedata.category(sign) == "No" and "\u2044" in unicodedata.normalize("NFKC", sign):
            found.append(" " + unicodedata.normalize("NFKC", sign).replace("\u2044", "/"))
        else:
            found.append(" " if sign.isspace() else sign)
    return " ".join("".join(found).split())
