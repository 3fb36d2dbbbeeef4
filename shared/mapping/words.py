"""Translate the words of a foreign application into the meanings that a workload knows.

Words are compared without regard to case, white space, punctuation and the form in which Unicode
writes them; numbers and bools are words too. Knows no workload.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

_NAMES_OF_OBJECTS = ("name", "label", "title", "value", "status", "code", "slug", "key", "id")
_BOOLS = {
    True: frozenset(("true", "1", "t", "yes", "y", "on")),
    False: frozenset(("false", "0", "f", "no", "n", "off")),
}


def plain_word(value: object) -> str:
    """A word as it is compared; "" for what is none.

    >>> [plain_word(v) for v in ("In Transit", "in-transit", 3, 3.0, True, None)]
    ['intransit', 'intransit', '3', '3', 'true', '']
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        return ""
    text = unicodedata.normalize("NFKC", value).casefold().strip()
    return re.sub(r"[\W_]+", "", text) or text


def are_flags(values: Iterable[object]) -> bool:
    """Whether words are true and false in some program's spelling, and not all of them false.

    >>> are_flags(["t", "f"]), are_flags([1, 0]), are_flags(["t", "new"]), are_flags([0])
    (True, True, False, False)
    """
    words = {plain_word(value) for value in values}
    return words <= _BOOLS[True] | _BOOLS[False] and not words <= _BOOLS[False]


class Vocabulary:
    """The words of one field: which meaning each has.

    configured : meaning -> words that stand for it, and no others. usual : of every meaning of
    the field, what the workload itself takes for it.
    """

    def __init__(
        self, configured: Mapping[str, Iterable[Any]], usual: Mapping[str, Iterable[str]]
    ) -> None:
        self._meanings: dict[str, str] = {}
        for meaning, words in configured.items():
            for word in words:
                forms = _BOOLS[word] if isinstance(word, bool) else (plain_word(word),)
                self._meanings.update(dict.fromkeys(forms, meaning))
        # Said otherwise, the usual words of a meaning stand for it no longer.
        self._withdrawn = {
            meaning: tuple({plain_word(word) for word in (meaning, *usual.get(meaning, ()))})
            for meaning in configured
        }
        self._only = next(iter(usual)) if len(usual) == 1 else ""

    def translate(self, value: Any, *, is_mapped: bool) -> Any:
        """The meaning of a value; the value itself where it has none that was configured.

        is_mapped : the field was mapped, so that true alone is the field's only meaning.
        """
        words = [plain_word(word) for word in _words_in(value)]
        for word in words:
            if word in self._meanings:
                return self._meanings[word]
        if is_mapped and value is True and self._only and self._only not in self._withdrawn:
            return self._only
        for word in words:
            for meaning, usual in self._withdrawn.items():
                if any(each in word for each in usual):
                    return f"not {meaning}"
        return value


def _words_in(value: Any) -> list[Any]:
    """A word, or those of a list, or the one that names an object: {"id": 3, "name": "Done"}."""
    if isinstance(value, list):
        return [word for item in value[:50] for word in _words_in(item)]
    if isinstance(value, Mapping):
        return [value[name] for name in _NAMES_OF_OBJECTS if value.get(name) is not None]
    return [] if value is None else [value]
