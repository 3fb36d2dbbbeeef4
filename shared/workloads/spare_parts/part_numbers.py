"""Tell parts of one name apart by their numbers (SKUs). Knows no calendar and no quantity.

Parts are known by their names. Where lines of one name bear several numbers, each number is a part
of its own; numbers that hardly ever come again are serial numbers, and tell nothing apart.
"""

from __future__ import annotations

from collections import Counter

_LINES_A_NUMBER = 3
"""Fewer lines for each number on the average: they are serial numbers."""


def numbered_name(name: str, sku: str) -> str:
    """The name of a part that is told apart by its number."""
    return f"{name} ({sku})"


class PartNumbers:
    """What numbers were met under each name; complete before it is asked."""

    def __init__(self) -> None:
        self._met: dict[str, Counter[str]] = {}

    def add(self, name: str, sku: str) -> None:
        """A line with this name, as `records.identity` has it, and this number; "" for none."""
        if sku:
            self._met.setdefault(name, Counter())[sku.casefold()] += 1

    def is_apart(self, name: str, sku: str, plain_sku: str) -> bool:
        """Whether a line is of a part of its own among those of its name.

        plain_sku : the number of the part that bears the name alone, such as the catalogue's; a
            line without a number is of that part, too.

        >>> numbers = PartNumbers()
        >>> for sku in ("A1", "A2", "A1", "A2", "A1", "a2"):
        ...     numbers.add("seal", sku)
        >>> numbers.is_apart("seal", "A2", "A1"), numbers.is_apart("seal", "A1", "A1")
        (True, False)
        >>> numbers.is_apart("seal", "", ""), numbers.is_apart("other", "A2", "")
        (False, False)
        """
        met = self._met.get(name)
        if met is None or not sku or sku.casefold() == plain_sku.casefold():
            return False
        return len(met) > 1 and met.total() >= _LINES_A_NUMBER * len(met)
