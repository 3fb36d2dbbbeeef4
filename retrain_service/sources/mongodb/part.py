"""The part of a MongoDB collection that is read: a filter, or the stages of an aggregation.

Asks what it is asked to; knows no cursor and no time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import json_util
from pymongo.collection import Collection

from shared.errors import SourceMisconfigured

Document = dict[str, Any]

_WRITING = frozenset(("$out", "$merge"))


class CollectionPart:
    """What a configured `filter` and `pipeline` leave of a collection; without both, all of it."""

    def __init__(
        self, only: Mapping[str, Any], pipeline: Sequence[Mapping[str, Any]], where: str
    ) -> None:
        """Take extended JSON (`{"$oid" = "…"}`) for what it stands for.

        Raises:
            SourceMisconfigured: a stage would write.
        """
        for stage in pipeline:
            if len(stage) != 1 or _WRITING & stage.keys():
                raise SourceMisconfigured(
                    f"{where}: pipeline: expected stages that read, one in each table,"
                    f" found {sorted(stage)}."
                )
        self._filter: Document = json_util.loads(json_util.dumps(dict(only)))
        self._stages: list[Document] = json_util.loads(json_util.dumps(list(pipeline)))

    @property
    def is_some(self) -> bool:
        return bool(self._filter or self._stages)

    def find(
        self,
        collection: Collection[Document],
        wanted: Document,
        *,
        sort: Sequence[tuple[str, int]] = (),
        limit: int = 0,
        only_ids: bool = False,
    ) -> list[Document]:
        """The documents that match, in the order of `sort`, at most `limit`; 0: all."""
        if not self._stages:
            found = collection.find(self._within(wanted), {"_id": True} if only_ids else None)
            found = found.sort(list(sort)) if sort else found
            return list(found.limit(limit))
        stages = [*self._before(wanted)]
        stages += [{"$sort": dict(sort)}] if sort else []
        stages += [{"$limit": limit}] if limit else []
        stages += [{"$project": {"_id": True}}] if only_ids else []
        return list(collection.aggregate(stages))

    def count(self, collection: Collection[Document], wanted: Document) -> int:
        """How many documents match."""
        if not self._stages:
            return collection.count_documents(self._within(wanted))
        found = list(collection.aggregate([*self._before(wanted), {"$count": "n"}]))
        return int(found[0]["n"]) if found else 0

    def _within(self, wanted: Document) -> Document:
        if not self._filter:
            return wanted
        return {"$and": [self._filter, wanted]} if wanted else self._filter

    def _before(self, wanted: Document) -> list[Document]:
        first = [{"$match": self._filter}] if self._filter else []
        return [*first, *self._stages, {"$match": wanted}]
