"""Hold every version of every document, and commit writes atomically. Knows nothing of gRPC.

Keeping all versions makes three things simple and exact: reads at a past time, transactions that
see one snapshot, and listeners that resume from where they were. Documents that have been handed
out are never changed. Any thread may call any method.
"""

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .messages import DocumentPb, WritePb, WriteResultPb
from .queries import CompiledQuery, Matches, run
from .refusal import failed_precondition, invalid
from .timeline import Clock, Timeline
from .writes import WriteTimes, apply_write, name_written

OLDEST_READ_US = 3_600 * 1_000_000


@dataclass(frozen=True, slots=True)
class Version:
    """What a document was from `commit_us` on; None after a delete."""

    commit_us: int
    document: DocumentPb | None


@dataclass(frozen=True, slots=True)
class Committed:
    results: list[WriteResultPb]
    commit_us: int


def collection_of(name: str) -> str:
    """The full name of the collection that the document `name` is in."""
    return name.rsplit("/", 1)[0]


def collection_id_of(name: str) -> str:
    """``orders`` for ``…/documents/shops/s1/orders/o1``."""
    return name.rsplit("/", 2)[1]


class Store:
    def __init__(self, clock: Clock) -> None:
        self._timeline = Timeline(clock)
        self._changed = threading.Condition(threading.RLock())
        self._collections: dict[str, dict[str, list[Version]]] = {}
        self._n_commits = 0

    @property
    def clock(self) -> Clock:
        return self._timeline.clock

    @clock.setter
    def clock(self, clock: Clock) -> None:
        with self._changed:
            self._timeline.clock = clock

    def clock_us(self) -> int:
        return self._timeline.clock_us()

    def read_us(self) -> int:
        """A time at which to read now: every commit so far is visible, none later will be."""
        with self._changed:
            return self._timeline.read_us()

    def past_read_us(self, read_us: int) -> int:
        """Check a time asked for by a client: not in the future, not more than an hour ago."""
        now_us = self.read_us()
        if read_us > now_us:
            raise invalid("read_time is in the future")
        if read_us < now_us - OLDEST_READ_US:
            raise failed_precondition("read_time is too old: only the last hour can be read")
        return read_us

    def get(self, name: str, at_us: int) -> DocumentPb | None:
        with self._changed:
            versions = self._collections.get(collection_of(name), {}).get(name, [])
            return _as_of(versions, at_us)

    def query(self, query: CompiledQuery, at_us: int) -> Matches:
        return run(query, self._scan(query, at_us))

    def collection_ids(self, parent: str, at_us: int) -> list[str]:
        """Ids of the collections directly below `parent` that hold a document somewhere below."""
        ids = set()
        with self._changed:
            for collection, documents in self._collections.items():
                if collection.startswith(f"{parent}/") and _has_any(documents, at_us):
                    ids.add(collection[len(parent) + 1 :].split("/", 1)[0])
        return sorted(ids, key=str.encode)

    def names(self, collection: str, at_us: int, *, with_missing: bool) -> list[str]:
        """Names in `collection`; with_missing adds documents that exist only as parents."""
        names = set()
        with self._changed:
            for name, versions in self._collections.get(collection, {}).items():
                if _as_of(versions, at_us) is not None:
                    names.add(name)
            if with_missing:
                for other, documents in self._collections.items():
                    if other.startswith(f"{collection}/") and _has_any(documents, at_us):
                        names.add(f"{collection}/{other[len(collection) + 1 :].split('/', 1)[0]}")
        return sorted(names, key=str.encode)

    def commit(
        self,
        writes: Sequence[WritePb],
        request_us: int,
        check_conflicts: Callable[[], None] | None = None,
    ) -> Committed:
        """Apply all of `writes` or, when one is refused, none; visible at the returned time.

        `check_conflicts` runs first, under the same lock, and may raise to abort.
        """
        with self._changed:
            if check_conflicts is not None:
                check_conflicts()
            before_us = self._timeline.read_us()
            times = WriteTimes(request_us, self._timeline.commit_us())
            staged: dict[str, DocumentPb | None] = {}
            results = []
            for write in writes:
                name = name_written(write)
                existing = staged[name] if name in staged else self.get(name, before_us)
                staged[name], result = apply_write(existing, write, times)
                results.append(result)
            for name, document in staged.items():
                self._append(name, document, before_us, times.commit_us)
            self._n_commits += 1
            self._changed.notify_all()
        return Committed(results, times.commit_us)

    def wait_for_commit(self, n_commits_seen: int, is_over: Callable[[], bool]) -> int:
        """Block until there are more commits than `n_commits_seen` or `is_over`; how many now."""
        with self._changed:
            self._changed.wait_for(lambda: self._n_commits > n_commits_seen or is_over())
            return self._n_commits

    def n_commits(self) -> int:
        with self._changed:
            return self._n_commits

    def wake_waiters(self) -> None:
        """Let `wait_for_commit` look at its `is_over` again."""
        with self._changed:
            self._changed.notify_all()

    def _append(
        self, name: str, document: DocumentPb | None, before_us: int, commit_us: int
    ) -> None:
        if document is self.get(name, before_us):
            return  # a write that changed nothing, or a delete of nothing: no new version
        versions = self._collections.setdefault(collection_of(name), {}).setdefault(name, [])
        versions.append(Version(commit_us, document))

    def _scan(self, query: CompiledQuery, at_us: int) -> list[DocumentPb]:
        with self._changed:
            return [
                document
                for collection in self._collections_of(query)
                for versions in self._collections[collection].values()
                if (document := _as_of(versions, at_us)) is not None
            ]

    def _collections_of(self, query: CompiledQuery) -> Iterator[str]:
        if not query.all_descendants:
            collection = f"{query.parent}/{query.collection_id}"
            if collection in self._collections:
                yield collection
            return
        for collection in self._collections:
            is_below = collection.startswith(f"{query.parent}/")
            if is_below and query.collection_id in ("", collection.rsplit("/", 1)[1]):
                yield collection


def _as_of(versions: list[Version], at_us: int) -> DocumentPb | None:
    if versions and versions[-1].commit_us <= at_us:
        return versions[-1].document  # by far the most frequent: the newest version
    index = bisect_right(versions, at_us, key=lambda version: version.commit_us)
    return versions[index - 1].document if index else None


def _has_any(documents: dict[str, list[Version]], at_us: int) -> bool:
    return any(_as_of(versions, at_us) is not None for versions in documents.values())
