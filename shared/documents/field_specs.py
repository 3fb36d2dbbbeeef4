"""Declare the fields that a workload reads from a stream's records.

The declaration is data: the mapping, the checks and the docs are made from it. Reads no record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

FieldKind = Literal["time", "number", "id", "text", "word", "flag", "list", "value"]


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field that a workload reads.

    name : the name under which the workload reads it, and under which it is mapped.
    kind : what its values are; a word is a text, number or bool that stands for a meaning, a
        value any of the three, as the column shows.
    purpose : what it is, as a phrase.
    unit : of a number; "" where it has none.
    is_needed : a record without it cannot be used.
    usual : further names under which it is found without a mapping, the first that is there
        counts.
    meanings : of a word, meaning -> the words that stand for it unless others are configured.
    in_list : of a field of a line, the list that holds the lines; a mapping of it may lead
        through an array. "" for a field of the record alone.
    is_line_only : with `in_list`, the record itself has no such field.
    """

    name: str
    kind: FieldKind
    purpose: str
    unit: str = ""
    is_needed: bool = False
    usual: tuple[str, ...] = ()
    meanings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    in_list: str = ""
    is_line_only: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Every name under which it is found without a mapping, its own first."""
        return (self.name, *self.usual)
