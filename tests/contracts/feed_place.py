"""The feed as a place: written by the API's own writer, each record at the time it is put."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import psutil
import pytest

from shared.feed.writer import FedRecord, Feed
from tests.contracts.places import Place, away


class FeedPlace(Place):
    kind = "feed"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / "feed.sqlite"
        self._now = datetime.now(UTC)
        self._write(self._now, [])

    def address(self) -> dict[str, Any]:
        return {"kind": "feed", "url": str(self.path)}

    def put(self, id_: str, at: datetime | None, note: Any = None, gone: bool = False) -> None:
        if at is None:
            pytest.skip("the feed stamps each record itself; none is without a time")
        self._write(at, [FedRecord(id_, {"note": note, "gone": gone})])

    def put_many(self, records: Mapping[str, datetime]) -> None:
        # What comes in one request has one stamp: these are the ties of this place.
        for at, ids in groupby(records, key=lambda id_: records[id_]):
            self._write(at, [FedRecord(id_, {"note": None}) for id_ in ids])

    def delete(self, id_: str) -> None:
        self._write(datetime.now(UTC), [FedRecord(id_, {}, is_deleted=True)])

    def outage(self) -> AbstractContextManager[None]:
        return away(self.path)

    @contextmanager
    def refusal(self) -> Iterator[None]:
        self._run("ALTER TABLE records RENAME TO something_else")
        try:
            yield
        finally:
            self._run("ALTER TABLE something_else RENAME TO records")

    def n_connections(self) -> int:
        opened = {Path(found.path).name for found in psutil.Process().open_files()}
        return len(opened & {self.path.name})

    def _write(self, at: datetime, records: list[FedRecord]) -> None:
        feed = Feed(self.path, lambda: at)
        feed.append(self.collection, records)
        feed.close()

    def _run(self, statement: str) -> None:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute(statement)
            connection.commit()
