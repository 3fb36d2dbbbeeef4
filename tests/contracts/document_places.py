"""Document databases to read from, each written to by its own client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
from elasticsearch import Elasticsearch, NotFoundError
from elasticsearch.helpers import bulk
from pymongo.collection import Collection

from retrain_service.sources.base import Source
from tests.contracts.places import Place, n_connections_to, stopped
from tests.support.elasticsearch import ElasticsearchServer
from tests.support.mongodb import MongoServer


class MongodbPlace(Place):
    kind = "mongodb"
    step = timedelta(milliseconds=1)

    def __init__(self, server: MongoServer) -> None:
        super().__init__()
        self.server = server
        with self.documents() as documents:
            documents.drop()

    def address(self) -> dict[str, Any]:
        return {"kind": "mongodb", "url": self.server.url}

    def source(self, *, timeout_s: float = 0.8, **settings: Any) -> Source:
        # A client looks for a server that is gone for the whole of the time.
        return super().source(timeout_s=timeout_s, **settings)

    def put(self, id_: str, at: datetime | None, note: Any = None, gone: bool = False) -> None:
        fields = {"note": note, "gone": gone}
        with self.documents() as documents:
            documents.replace_one(
                {"_id": id_}, fields if at is None else {"updated_at": at, **fields}, upsert=True
            )

    def put_many(self, records: Mapping[str, datetime]) -> None:
        with self.documents() as documents:
            documents.insert_many(
                {"_id": id_, "updated_at": at, "note": None} for id_, at in records.items()
            )

    def delete(self, id_: str) -> None:
        with self.documents() as documents:
            documents.delete_one({"_id": id_})

    def outage(self) -> AbstractContextManager[None]:
        return stopped(self.server)

    @contextmanager
    def refusal(self) -> Iterator[None]:
        """Dropped: the server knows neither users nor renaming."""
        with self.documents() as documents:
            kept = list(documents.find({}))
            documents.drop()
            try:
                yield
            finally:
                documents.insert_many(kept)

    def n_connections(self) -> int:
        return n_connections_to(self.server.port)

    @contextmanager
    def documents(self) -> Iterator[Collection[dict[str, Any]]]:
        client: pymongo.MongoClient[dict[str, Any]]
        with pymongo.MongoClient(self.server.url, tz_aware=True) as client:
            yield client["shop"][self.collection]


class ElasticsearchPlace(Place):
    """The collection is an alias, so that it can be taken away from its index."""

    kind = "elasticsearch"
    step = timedelta(milliseconds=1)
    index = "appointments-1"

    def __init__(self, server: ElasticsearchServer) -> None:
        super().__init__()
        self.server = server
        properties = {"updated_at": {"type": "date"}, "note": {"type": "object", "enabled": False}}
        with self.client() as client:
            with suppress(NotFoundError):
                client.indices.delete(index=self.index)
            client.indices.create(
                index=self.index,
                mappings={"properties": properties},
                aliases={self.collection: {}},
            )

    def address(self) -> dict[str, Any]:
        return {"kind": "elasticsearch", "url": self.server.url}

    def put(self, id_: str, at: datetime | None, note: Any = None, gone: bool = False) -> None:
        fields = {"note": note, "gone": gone}
        document = fields if at is None else {"updated_at": _text(at), **fields}
        with self.client() as client:
            client.index(index=self.index, id=id_, document=document, refresh=True)

    def put_many(self, records: Mapping[str, datetime]) -> None:
        actions = [
            {"_index": self.index, "_id": id_, "_source": {"updated_at": _text(at)}}
            for id_, at in records.items()
        ]
        with self.client() as client:
            bulk(client, actions, refresh=True)

    def delete(self, id_: str) -> None:
        with self.client() as client:
            client.delete(index=self.index, id=id_, refresh=True)

    def outage(self) -> AbstractContextManager[None]:
        return stopped(self.server)

    @contextmanager
    def refusal(self) -> Iterator[None]:
        with self.client() as client:
            client.indices.delete_alias(index=self.index, name=self.collection)
            try:
                yield
            finally:
                client.indices.put_alias(index=self.index, name=self.collection)

    def n_connections(self) -> int:
        return n_connections_to(self.server.port)

    @contextmanager
    def client(self) -> Iterator[Elasticsearch]:
        with Elasticsearch(self.server.url, max_retries=0) as client:
            yield client


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
