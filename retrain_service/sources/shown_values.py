"""What kind of value a foreign value is, and how it is shown to people who look for a mistake.

Values in, words out. Knows no column, no database and no workload.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

ValueKind = Literal["time", "number", "flag", "text", "list", "object"]

MOST_SHOWN = 3

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{1,2}:\d{1,2}.*)?|\d{1,2}[./]\d{1,2}[./]\d{4}( .*)?")
_NUMBER = re.compile(r"[-+]?[\d.,'\s]*\d[\d.,]*\s?[%€$£]?|[€$£]\s?[-+]?[\d.,]+")
_EPOCHS = ((3e8, 5e9), (3e11, 5e12), (3e14, 5e15), (3e17, 5e18))
_EPOCH_UNITS = ("seconds", "milliseconds", "microseconds", "nanoseconds")
_WORD = re.compile(r"[\w .:/+-]{1,30}")
_MOST_WORDS = 12

NOUNS: Mapping[ValueKind, str] = {
    "time": "a time", "number": "a number", "flag": "true or false", "text": "a text",
    "list": "a list", "object": "an object",
}  # fmt: skip


def kind_of_value(value: Any) -> ValueKind:
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        text = value.strip()
        if _TIME.fullmatch(text):
            return "time"
        return "number" if _NUMBER.fullmatch(text) else "text"
    if isinstance(value, list):
        return "list"
    keys = set(value) if isinstance(value, Mapping) else set()
    return "time" if keys & {"$date", "_seconds", "seconds"} and len(keys) <= 3 else "object"


def epoch_unit(value: Any) -> str | None:
    """The unit in which a number is a time of our century; None where it is none."""
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    for (low, high), unit in zip(_EPOCHS, _EPOCH_UNITS, strict=True):
        if low <= value < high:
            return unit
    return None


def epoch_units(values: Iterable[Any]) -> Counter[str]:
    """Units in which the numbers among these are times, and how many are in each."""
    return Counter(unit for value in values if (unit := epoch_unit(value)) is not None)


def words_in(values: Sequence[Any]) -> Counter[str] | None:
    """How often each word comes, where a column holds a few words; None where it does not."""
    counts = Counter(_as_word(value) for value in values if not isinstance(value, list | Mapping))
    if not counts or len(counts) > _MOST_WORDS or not all(map(_WORD.fullmatch, counts)):
        return None
    is_few = len(counts) <= max(2, len(values) // 4)
    return counts if is_few else None


def counted(words: Counter[str], most: int = 8) -> str:
    """`publish (76), draft (4)`."""
    shown = ", ".join(f"{word} ({n:,})" for word, n in words.most_common(most))
    return shown + (f" and {len(words) - most} more" if len(words) > most else "")


def shown(values: Sequence[Any], *, is_word: bool = False) -> str:
    """A few of these values, masked where they may speak of a person."""
    different: dict[str, None] = {}
    for value in values:
        different.setdefault(masked(value, is_word=is_word))
        if len(different) == MOST_SHOWN:
            break
    return ", ".join(different)


def masked(value: Any, *, is_word: bool = False) -> str:
    """One value as a message may show it: numbers, times and words whole, texts by their beginning.

    >>> [masked(v) for v in (12.5, True, "2025-11-26", "anna@example.org", "Oil filter")]
    ['12.5', 'true', "'2025-11-26'", "'an…'", "'Oi…'"]
    """
    if isinstance(value, list | Mapping):
        text = msgspec.json.encode(_masked_deep(value)).decode()
        return text if len(text) <= 60 else text[:59] + "…"
    if not isinstance(value, str):
        return msgspec.json.encode(value).decode()
    text = value.strip()
    if is_word or kind_of_value(text) != "text":
        return repr(text if len(text) <= 40 else text[:39] + "…")
    return repr(text[:2] + "…") if text else "''"


def _masked_deep(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _masked_deep(inner) for key, inner in list(value.items())[:4]}
    if isinstance(value, list):
        return [_masked_deep(inner) for inner in value[:2]]
    if isinstance(value, str) and kind_of_value(value) == "text":
        return value[:2] + "…"
    return value


def _as_word(value: Any) -> str:
    return msgspec.json.encode(value).decode() if isinstance(value, bool) else str(value).strip()
