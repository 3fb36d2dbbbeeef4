"""What reading costs: the figures of the provider's meter are the figures of our ledger.

Firestore bills by the document. The meter is the test server's, by the published rules; the ledger
is what the daemon shows to a person. They must be equal, or a bill comes as a surprise.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud import firestore

from retrain_service.buffer.ingest import StreamIngestor
from retrain_service.buffer.store import Buffer
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings
from tests.support.firestore_server import FirestoreServer


class Shop:
    """An application on Firestore, and a daemon that reads its appointments."""

    def __init__(self, server: FirestoreServer, folder: Path, **changes: Any) -> None:
        self.server = server
        self.client = server.client()
        self.appointments = self.client.collection("appointments")
        self.now = datetime.now(UTC)
        self.buffer = Buffer(folder / "m.duckdb", self.now)
        self.ingestor = StreamIngestor(
            stream="appointments",
            source_name="shop",
            settings=SourceSettings(
                **{"kind": "firestore", "lag_s": 0, "page_size": 20, "timeout_s": 5, **changes}
            ),
            stream_settings=StreamSettings(collection="appointments"),
            buffer=self.buffer,
            reject_reason=lambda fields: None,
        )

    def complete(self, n: int, prefix: str = "a", at: datetime | None = None) -> None:
        for i in range(n):
            self.appointments.document(f"{prefix}{i:03d}").set(
                {"status": "completed", "updated_at": at or firestore.SERVER_TIMESTAMP}
            )

    def poll(self, after: timedelta = timedelta(seconds=30)) -> int:
        """Let time pass and do all that is due; what the server's meter says it cost."""
        self.now += after
        with self.server.meter.measured() as used:
            for _ in range(100):
                if not self.ingestor.poll(self.now).has_more:
                    break
        return used.reads

    @property
    def ledger(self) -> int:
        return sum(billed for *_, billed in self.buffer.ledger(datetime(2000, 1, 1).date()))

    def close(self) -> None:
        self.ingestor.close()
        self.buffer.close()
        self.client._firestore_api.transport.close()


@pytest.fixture
def shop(firestore_server: FirestoreServer, tmp_path: Path) -> Iterator[Shop]:
    opened = Shop(firestore_server, tmp_path)
    yield opened
    opened.close()


def test_a_poll_of_an_unchanged_collection_costs_one_read(shop: Shop) -> None:
    """2,880 polls a day must not cost 2,880 times the collection."""
    shop.complete(30)
    shop.poll()

    costs = [shop.poll() for _ in range(5)]

    assert costs == [1, 1, 1, 1, 1]
    assert shop.ledger == shop.server.meter.reads


def test_twelve_new_documents_cost_twelve_and_the_polls(shop: Shop) -> None:
    """The whole price of keeping up."""
    shop.complete(30)
    shop.poll()
    shop.poll()
    shop.complete(12, prefix="new")

    costs = [shop.poll() for _ in range(3)]

    assert costs == [12, 1, 1]
    assert len(shop.buffer.ids("appointments")) == 42
    assert shop.ledger == shop.server.meter.reads


def test_a_training_costs_nothing(shop: Shop, tmp_path: Path) -> None:
    """It reads the buffer, however often it is tried."""
    shop.complete(30)
    shop.poll()

    with shop.server.meter.measured() as used:
        for _ in range(3):
            shop.buffer.snapshot(tmp_path / "s.parquet", ["appointments"], shop.now)

    assert used.reads == 0


def test_with_a_lag_no_document_is_paid_for_twice(
    firestore_server: FirestoreServer, tmp_path: Path
) -> None:
    """Young documents are left on the server by the query, not thrown away after it."""
    shop = Shop(firestore_server, tmp_path, lag_s=3600)
    shop.complete(3, at=shop.now - timedelta(hours=3))
    first = shop.poll()
    shop.complete(12, prefix="young")

    costs = [shop.poll() for _ in range(4)]

    assert first == 3 + 2  # and two counts, for documents without the field
    assert costs == [1, 1, 1, 1]
    assert shop.buffer.ids("appointments") == {"a000", "a001", "a002"}
    assert shop.ledger == shop.server.meter.reads
    shop.close()


def test_a_day_with_everything_in_it_adds_up(shop: Shop) -> None:
    """First load, pages, broken streams, refusals, second look, deletions: to the last read."""
    old = shop.now - timedelta(days=2)
    shop.complete(45, prefix="old", at=old)
    shop.complete(7)
    shop.appointments.document("lost").set({"status": "completed"})
    shop.poll()
    with shop.server.faults.break_stream(5):
        shop.complete(9, prefix="b")
        shop.poll()
    with shop.server.faults.shorten_stream(3):
        shop.complete(9, prefix="c")
        shop.poll()
    with shop.server.faults.unavailable():
        for _ in range(3):
            shop.poll(timedelta(minutes=2))
    with shop.server.faults.fail(grpc.StatusCode.RESOURCE_EXHAUSTED):
        shop.poll(timedelta(minutes=2))
    for i in (3, 8):
        shop.appointments.document(f"old{i:03d}").delete()
    for _ in range(3):
        shop.poll(timedelta(minutes=2))

    shop.poll(timedelta(hours=25))
    shop.poll()

    theirs = {document.id for document in shop.appointments.stream()} - {"lost"}
    spent_by_us = shop.server.meter.reads - len(theirs) - 1
    assert shop.buffer.ids("appointments") == theirs
    assert shop.ingestor.health.n_without_cursor_field == 1
    assert shop.ledger == spent_by_us


def test_a_budget_is_never_passed_by_reading(
    firestore_server: FirestoreServer, tmp_path: Path
) -> None:
    """A limit that is passed by a page of documents is no limit."""
    shop = Shop(firestore_server, tmp_path, daily_read_budget=25)
    shop.complete(40)
    shop.now = shop.now.replace(hour=12)

    shop.poll()
    shop.poll()

    assert shop.server.meter.reads == shop.ledger == 25
    assert shop.ingestor.health.state == "budget"
    shop.close()
