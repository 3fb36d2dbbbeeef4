"""Names of candidates with options of their own, and between which options may be searched.

A name says all: `ridge{"alpha":0.3}` is the candidate `ridge` with that option, so that whoever
fits it again needs nothing else; `ridge + knn` is the mean of two. Knows no estimator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

MEAN_OF = " + "
Option = float | int | str | bool


class Choice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an option is searched: among some values, or between two.

    log : a factor counts as much everywhere. whole : whole numbers only; so are ranges between
        two numbers that were written as whole ones.
    """

    among: list[Option] | None = None
    low: float | int | None = None
    high: float | int | None = None
    log: bool = False
    whole: bool | None = None

    @property
    def is_whole(self) -> bool:
        if self.whole is not None:
            return self.whole
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def fault(self) -> str | None:
        """What is wrong with it, as a phrase; None where nothing is."""
        if self.among is not None:
            if self.low is not None or self.high is not None or not self.among:
                return "expected either among = [at least one value], or low and high"
            return None
        if self.low is None or self.high is None or not self.low < self.high:
            return f"expected low < high, or among = [...], found {self.low} and {self.high}"
        if self.log and self.low <= 0:
            return f"log needs low above 0, found {self.low:g}"
        return None


def with_options(base: str, options: Mapping[str, Option]) -> str:
    """The name of a candidate with options; the same options give the same name."""
    ordered = dict(sorted(options.items()))
    return base + msgspec.json.encode(ordered).decode() if options else base


def options_of(name: str) -> tuple[str, dict[str, Any]]:
    """The reverse of `with_options`."""
    base, brace, rest = name.partition("{")
    return base, msgspec.json.decode(brace + rest, type=dict[str, Any]) if brace else {}


def mean_of(names: Sequence[str]) -> str:
    return MEAN_OF.join(names)


def parts_of(name: str) -> list[str]:
    """What a candidate is the mean of; itself alone where it is none."""
    return name.split(MEAN_OF)
