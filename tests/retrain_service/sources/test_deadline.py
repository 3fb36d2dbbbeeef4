"""A source that does not answer: the wait for it has an end, and so has the daemon."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from contextlib import closing
from datetime import date, datetime
from pathlib import Path

import psycopg
import pytest

from retrain_service.buffer.ingest import StreamIngestor
from retrain_service.buffer.store import Buffer
from retrain_service.retrain_loop import RetrainLoop
from retrain_service.sources.base import DayCounts, IdSet, Inspection, Source
from retrain_service.sources.deadline import MOST_GIVEN_UP, DeadlineSource
from shared.daemon.loop import utc_now
from shared.errors import SourceUnavailable
from shared.records import Batch, Cursor
from shared.settings.per_model import StreamSettings
from shared.settings.root import Settings
from shared.settings.sections import SourceSettings
from tests.support.postgres import PostgresServer
from tests.support.waiting import wait_until


class SilentSource(Source):
    """Answers only when it is let to, whatever time limit it was given."""

    def __init__(self, answers: threading.Event) -> None:
        self._answers = answers
        self.is_cancelled = False
        self.n_closed = 0

    @property
    def origin(self) -> str:
        return "silent"

    def read_after(self, cursor: Cursor, limit: int) -> Batch:
        self._answers.wait()
        return Batch((), cursor, is_last=True)

    def cursor_at(self, at: datetime) -> Cursor:
        return at.isoformat()

    def count_by_day(self, days: Sequence[date]) -> DayCounts:
        raise ValueError("a defect of this source")

    def ids_of_day(self, day: date) -> IdSet:
        raise TimeoutError("of its own")

    def missing(self, ids: Collection[str]) -> IdSet:
        return IdSet(frozenset())

    def inspect(self, n_sample: int = 0) -> Inspection:
        return Inspection(0, 0, None)

    def cancel(self) -> None:
        self.is_cancelled = True

    def close(self) -> None:
        self.n_closed += 1


class Opening:
    """What a DeadlineSource opens, one after the other."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.stopping = threading.Event()
        self.opened: list[SilentSource] = []

    def source(self, timeout_s: float) -> DeadlineSource:
        return DeadlineSource(self._open, timeout_s, self.stopping)

    def _open(self) -> Source:
        self.opened.append(SilentSource(self.answers))
        return self.opened[-1]


def test_a_call_that_does_not_come_is_given_up_and_the_next_one_begins_anew() -> None:
    """A connection that hangs once may hang for hours; a new one may not."""
    opening = Opening()
    source = opening.source(0.1)

    with pytest.raises(SourceUnavailable, match="Nothing came for"):
        source.read_after(None, 5)
    wait_until(lambda: opening.opened[0].is_cancelled, 30, "the call to be broken off")
    opening.answers.set()
    wait_until(lambda: opening.opened[0].n_closed, 30, "what was given up to be closed")

    assert source.read_after(None, 5).is_last
    assert len(opening.opened) == 2


def test_calls_that_cannot_be_ended_do_not_pile_up() -> None:
    """A night of tries, one a minute, must not be six hundred threads."""
    opening = Opening()
    source = opening.source(0.02)

    for _ in range(MOST_GIVEN_UP + 3):
        with pytest.raises(SourceUnavailable):
            source.read_after(None, 5)
    n_while_silent = len(opening.opened)
    opening.answers.set()
    wait_until(lambda: all(each.n_closed for each in opening.opened), 30, "all to end")

    assert n_while_silent == MOST_GIVEN_UP
    assert source.read_after(None, 5).is_last


def test_what_a_source_raises_comes_through_as_it_is() -> None:
    """The thread in between must not turn a defect, or a limit of its own, into an outage."""
    source = Opening().source(30)

    with pytest.raises(ValueError, match="a defect"):
        source.count_by_day([])
    with pytest.raises(TimeoutError, match="of its own"):
        source.ids_of_day(date(2026, 11, 21))


def test_stopping_waits_for_no_answer() -> None:
    """A service manager kills who is not gone after a while, whatever he is waiting for."""
    opening = Opening()
    source = opening.source(3600)
    threading.Timer(0.2, opening.stopping.set).start()

    with pytest.raises(SourceUnavailable, match="the daemon stops"):
        source.read_after(None, 5)

    opening.answers.set()


# -- a real server that stands still ---------------------------------------------------------------


def create_table(server: PostgresServer, name: str) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {name}")
        connection.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, updated_at timestamptz)")
        connection.execute(f"INSERT INTO {name} VALUES (1, now())")


def test_a_frozen_database_is_an_outage_that_ends_by_itself(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """Its connections stay open and its own time limits stand still with it."""
    create_table(postgres_server, "freezes")
    stopping = threading.Event()
    with closing(Buffer(tmp_path / "m.duckdb", utc_now())) as buffer:
        ingestor = StreamIngestor(
            stream="freezes",
            source_name="shop",
            settings=SourceSettings(
                kind="sql", url=postgres_server.url(), lag_s=0, timeout_s=1, poll_interval_s=0.1
            ),
            stream_settings=StreamSettings(collection="freezes"),
            buffer=buffer,
            reject_reason=lambda _fields: None,
            stopping=stopping,
        )

        def state(wanted: str) -> bool:
            ingestor.poll_now()
            ingestor.poll(utc_now())
            return ingestor.health.state == wanted

        wait_until(lambda: state("ok"), 60, "the first look")
        with postgres_server.frozen():
            wait_until(lambda: state("unavailable"), 60, "the outage")
            sentence = ingestor.health.sentence
        wait_until(lambda: state("ok"), 60, "the end of the outage")
        ingestor.close()

    assert "Nothing came for" in sentence


def test_the_daemon_stops_while_a_database_is_frozen(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """Its limit for a read is an hour here: nobody may have to wait for that."""
    create_table(postgres_server, "frozen")
    settings = Settings.model_validate(
        {
            "home": tmp_path / "home",
            "sources": {
                "db": {
                    "kind": "sql",
                    "url": postgres_server.url(),
                    "timeout_s": 3600,
                    "poll_interval_s": 0.1,
                }
            },
            "models": {"parts": {"workload": "spare_parts", "source": "db"}},
        }
    )
    loop = RetrainLoop(settings)
    loop.initialize(utc_now())

    def is_reading() -> bool:
        loop.tick(utc_now())
        return any(thread.name == "source-call" for thread in threading.enumerate())

    with postgres_server.frozen():
        wait_until(is_reading, 60, "a read to begin", every_s=0)
        began_s = time.monotonic()
        loop.shutdown(utc_now())
        took_s = time.monotonic() - began_s

    assert took_s < 60
