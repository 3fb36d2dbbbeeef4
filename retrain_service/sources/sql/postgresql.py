"""Read values of PostgreSQL for which Python has none as null. Knows no table.

"infinity", times before the year 1 and after 9999, 24:00 and very long intervals: without this, one
of them fails every read of its page, in whichever column it stands.
"""

from __future__ import annotations

from typing import Any

_TYPES = ("date", "time", "timetz", "timestamp", "timestamptz", "interval")


def make_lenient(connection: Any) -> None:
    """Give a connection of psycopg such loaders."""
    from psycopg.adapt import Loader
    from psycopg.errors import DataError
    from psycopg.pq import Format

    class Lenient(Loader):
        plain: Any

        def __init__(self, oid: int, context: Any = None) -> None:
            super().__init__(oid, context)
            self._load = self.plain(oid, context).load

        def load(self, data: Any) -> Any:
            try:
                return self._load(data)
            except (DataError, ValueError, OverflowError):
                return None

    for name in _TYPES:
        oid = connection.adapters.types[name].oid
        for form in (Format.TEXT, Format.BINARY):
            plain = connection.adapters.get_loader(oid, form)
            lenient = type(f"Lenient_{name}", (Lenient,), {"plain": plain, "format": form})
            connection.adapters.register_loader(oid, lenient)
