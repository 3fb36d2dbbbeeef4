"""Search and count documents by time or id; a search is complete or fails. Knows no cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from elasticsearch import ApiError, Elasticsearch

from retrain_service.sources.elasticsearch.index import IndexInfo

MOST_HITS = 10_000
"""index.max_result_window, as it is by default."""

_KEEP_ALIVE = "1m"

Query = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hit:
    """at : the sort value, a text that sorts like time; source : None where it is not kept."""

    at: str
    id: str
    source: Any


class Searches:
    """Over one index, alias, data stream or pattern, ordered by one field."""

    def __init__(
        self, client: Elasticsearch, name: str, field: str, only: Query | None = None
    ) -> None:
        """only : a query that every document must match; None: all count."""
        self._client, self._name, self._field, self._only = client, name, field, only
        self._is_pattern = any(sign in name for sign in "*,")

    def _within(self, query: Query) -> Query:
        return {"bool": {"filter": [query, self._only]}} if self._only else query

    def timed(self, bounds: Query) -> Query:
        # Its own format, whichever the mapping has; a document without a time is in no range.
        return {"range": {self._field: {**bounds, "format": "strict_date_optional_time"}}}

    def with_ids(self, ids: Sequence[str]) -> Query:
        bare = [id_.partition("/")[2] for id_ in ids] if self._is_pattern else list(ids)
        return {"ids": {"values": bare}}

    def hits(self, query: Query, size: int, index: IndexInfo, order: str = "asc") -> list[Hit]:
        sort: Query = {"order": order, "format": "strict_date_optional_time_nanos"}
        sort["unmapped_type"] = "date_nanos" if index.is_nanos else "date"
        if index.is_nanos:
            sort["numeric_type"] = "date_nanos"
        answer = self._client.search(
            index=self._name,
            query=self._within(query),
            size=size,
            sort=[{self._field: sort}],
            track_total_hits=False,
            allow_partial_search_results=False,
            allow_no_indices=False,
        )
        return [
            Hit(str(hit["sort"][0]), self._id(hit), hit.get("_source"))
            for hit in answer["hits"]["hits"]
        ]

    def count(self, bounds: Query | None) -> int:
        answer = self._client.search(
            index=self._name,
            query=self._within({"match_all": {}} if bounds is None else self.timed(bounds)),
            size=0,
            track_total_hits=True,
            allow_partial_search_results=False,
            allow_no_indices=False,
        )
        return int(answer["hits"]["total"]["value"])

    def all_ids(self, query: Query) -> list[str]:
        """The ids of everything that matches, however many, from one point in time."""
        ids: list[str] = []
        opened = self._client.open_point_in_time(index=self._name, keep_alive=_KEEP_ALIVE)
        pit_id = opened["id"]
        try:
            after = None
            while True:
                answer = self._client.search(
                    pit={"id": pit_id, "keep_alive": _KEEP_ALIVE},
                    query=self._within(query),
                    size=MOST_HITS,
                    sort=[{"_shard_doc": "asc"}],
                    search_after=after,
                    source=False,
                    track_total_hits=False,
                    allow_partial_search_results=False,
                )
                pit_id = answer.get("pit_id", pit_id)
                hits = answer["hits"]["hits"]
                ids.extend(self._id(hit) for hit in hits)
                if len(hits) < MOST_HITS:
                    return ids
                after = hits[-1]["sort"]
        finally:
            self._close_point_in_time(pit_id)

    def _close_point_in_time(self, pit_id: str) -> None:
        try:
            self._client.close_point_in_time(id=pit_id)
        except ApiError:
            return  # it is gone already, or goes by itself

    def _id(self, hit: Query) -> str:
        return f"{hit['_index']}/{hit['_id']}" if self._is_pattern else str(hit["_id"])
