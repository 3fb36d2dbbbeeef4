"""A Prometheus server to read from: records are samples, at whole seconds, that nobody changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from retrain_service.sources.base import IdSet, Inspection, Source
from shared.records import Batch, Record, to_epoch_us
from tests.contracts.places import Place, n_connections_to, stopped
from tests.support.prometheus_store import PrometheusStore

_metrics = count()


class PrometheusPlace(Place):
    """A record's id is its server here: the suite names records without their times."""

    kind = "prometheus"
    step = timedelta(seconds=1)

    def __init__(self, server: PrometheusStore) -> None:
        super().__init__()
        self.server, self.metric = server, f"load_{next(_metrics)}"
        self._there: set[str] = set()

    def address(self) -> dict[str, Any]:
        url = self.server.url
        return {"kind": "prometheus", "url": url, "step": "1s", "history_days": 5}

    def source(self, **settings: Any) -> Source:
        source = super().source(queries={"load": self.metric}, **settings)
        self._opened[-1] = named = _ByServer(source)
        return named

    def put(self, id_: str, at: datetime | None, note: Any = None, gone: bool = False) -> None:
        if at is None or note is not None or gone or id_ in self._there:
            pytest.skip("a sample has a time and a number, and does not change")
        if at > datetime.now(UTC) + timedelta(hours=1):
            pytest.skip("it takes no sample of the future")
        self.put_many({id_: at})

    def put_many(self, records: Mapping[str, datetime]) -> None:
        self._there |= records.keys()
        self.server.write(
            (
                {"__name__": self.metric, "instance": id_},
                [(1.5, to_epoch_us(at) // 1_000_000 * 1000)],
            )
            for id_, at in records.items()
        )

    def delete(self, id_: str) -> None:
        pytest.skip("samples are not deleted")

    def outage(self) -> AbstractContextManager[None]:
        return stopped(self.server)

    def refusal(self) -> AbstractContextManager[None]:
        return self.server.locked()

    def n_connections(self) -> int:
        return n_connections_to(self.server.port)


class _ByServer(Source):
    """The source, its ids cut down to the server."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def origin(self) -> str:
        return self._source.origin

    def read_after(self, cursor: Any, limit: int) -> Batch:
        batch = self._source.read_after(cursor, limit)
        return replace(batch, records=tuple(_named(record) for record in batch.records))

    def cursor_at(self, at: datetime) -> Any:
        return self._source.cursor_at(at)

    def count_by_day(self, days: Sequence[Any]) -> Any:
        return self._source.count_by_day(days)

    def ids_of_day(self, day: Any) -> IdSet:
        found = self._source.ids_of_day(day)
        return IdSet(frozenset(id_.partition("|")[0] for id_ in found.ids))

    def missing(self, ids: Collection[str]) -> IdSet:
        return self._source.missing(ids)

    def inspect(self, n_sample: int = 0) -> Inspection:
        return self._source.inspect(n_sample)

    def close(self) -> None:
        self._source.close()


def _named(record: Record) -> Record:
    return replace(record, id=record.id.partition("|")[0])
