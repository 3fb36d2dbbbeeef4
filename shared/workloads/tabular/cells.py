"""Take the columns that matter out of a table of JSON records. Reads no value."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import msgspec

from shared.errors import SettingsInvalid
from shared.records import Table
from shared.workloads.tabular.parameters import WHERE

_DECODED_AT_ONCE = 10_000
_TEXTS_KEPT = 100_000


class Cells:
    """The columns of a table that matter; None where a record has no value.

    Decoded piece by piece, each text kept once: a large table is nowhere in memory as a whole.
    """

    def __init__(self, table: Table, names: Sequence[str]) -> None:
        # Names of columns need not be names in Python.
        fields = {name: f"c{i}" for i, name in enumerate(names)}
        struct = msgspec.defstruct(
            "Row",
            [(field, Any, msgspec.UNSET) for field in fields.values()],
            rename={field: name for name, field in fields.items()},
        )
        decode = msgspec.json.Decoder(list[struct]).decode  # type: ignore[valid-type]
        self._columns: dict[str, list[Any]] = {name: [] for name in names}
        is_there = dict.fromkeys(names, False)
        texts: dict[str, str] = {}
        bodies = iter(table.bodies)
        while piece := list(islice(bodies, _DECODED_AT_ONCE)):
            rows = decode(b"[" + b",".join(piece) + b"]")
            if len(texts) > _TEXTS_KEPT:  # a column of texts that never come again
                texts.clear()
            for name, field in fields.items():
                found = [getattr(row, field) for row in rows]
                is_there[name] |= any(value is not msgspec.UNSET for value in found)
                self._columns[name] += [
                    None
                    if value is msgspec.UNSET
                    else texts.setdefault(value, value)
                    if type(value) is str
                    else value
                    for value in found
                ]
        for name in names:
            if len(table) and not is_there[name]:
                raise SettingsInvalid(_unknown_column(name, table))

    def of(self, name: str) -> list[Any]:
        """(n_records,) values as JSON has them."""
        return self._columns[name]

    def take(self, name: str) -> list[Any]:
        """The same, for the last time."""
        return self._columns.pop(name)


def _unknown_column(name: str, table: Table) -> str:
    there = sorted({key for body in table.bodies[-100:] for key in msgspec.json.decode(body)})
    return f"{WHERE}: no record has a column {name!r}; the newest records have {there}."
