"""Count what Google would bill. No I/O; any thread may call.

The published rules: one read for each document returned and for each one that an offset skips; at
least one read for each query; one read for each started thousand of index entries that an
aggregation matches, and at least one; a lookup of a missing document is a read; a listener pays
for each document that is added, changed or pushed out of its results by a change, not for one that
is deleted. Writes and deletes are billed even when they change nothing. Not modelled: the extra
index reads of queries with ranges over several fields.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

ENTRIES_PER_READ = 1_000


@dataclass(slots=True)
class Usage:
    """Billed operations."""

    reads: int = 0
    writes: int = 0
    deletes: int = 0

    def minus(self, earlier: "Usage") -> "Usage":
        return Usage(
            self.reads - earlier.reads,
            self.writes - earlier.writes,
            self.deletes - earlier.deletes,
        )


class Meter:
    """`by_collection` is keyed by collection id, the last name of the collection's path."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_collection: dict[str, Usage] = {}

    @property
    def reads(self) -> int:
        return self.total.reads

    @property
    def writes(self) -> int:
        return self.total.writes

    @property
    def deletes(self) -> int:
        return self.total.deletes

    @property
    def total(self) -> Usage:
        with self._lock:
            return Usage(
                *(
                    sum(getattr(usage, counter.name) for usage in self._by_collection.values())
                    for counter in fields(Usage)
                )
            )

    @property
    def by_collection(self) -> dict[str, Usage]:
        """A copy; a collection that was never billed is absent."""
        with self._lock:
            return {
                collection: Usage(usage.reads, usage.writes, usage.deletes)
                for collection, usage in self._by_collection.items()
            }

    def reset(self) -> None:
        with self._lock:
            self._by_collection.clear()

    @contextmanager
    def measured(self) -> Iterator[Usage]:
        """What is billed inside the block; filled in when the block ends."""
        before = self.total
        used = Usage()
        try:
            yield used
        finally:
            spent = self.total.minus(before)
            used.reads, used.writes, used.deletes = spent.reads, spent.writes, spent.deletes

    def bill_reads(self, collection_id: str, n: int) -> None:
        self._add(collection_id, Usage(reads=n))

    def bill_write(self, collection_id: str) -> None:
        self._add(collection_id, Usage(writes=1))

    def bill_delete(self, collection_id: str) -> None:
        self._add(collection_id, Usage(deletes=1))

    def _add(self, collection_id: str, more: Usage) -> None:
        with self._lock:
            usage = self._by_collection.setdefault(collection_id, Usage())
            usage.reads += more.reads
            usage.writes += more.writes
            usage.deletes += more.deletes


def aggregation_reads(n_entries: int) -> int:
    return max(1, -(-n_entries // ENTRIES_PER_READ))
