"""Firestore as a source, through the real client against the test server: what only it can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.cloud import firestore
from google.cloud.firestore_v1.vector import Vector

from retrain_service.sources import Clock, open_source, utc_now
from retrain_service.sources.base import ReadInterrupted, Source
from retrain_service.sources.firestore.server_clock import ServerClock
from shared.errors import SourceMisconfigured, SourceUnavailable
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings
from tests.support.firestore_server import FirestoreServer

AT = datetime(2025, 11, 26, 10, tzinfo=UTC)


@pytest.fixture
def collection(firestore_server: FirestoreServer) -> Iterator[Any]:
    client = firestore_server.client()
    yield client.collection("appointments")
    client._firestore_api.transport.close()


@pytest.fixture
def opened(firestore_server: FirestoreServer) -> Iterator[Callable[..., Source]]:
    sources: list[Source] = []

    def _open(collection: str = "appointments", clock: Clock = utc_now, **changes: Any) -> Source:
        settings = SourceSettings(
            **{"kind": "firestore", "lag_s": 0, "timeout_s": 5, "page_size": 4, **changes}
        )
        streams = StreamSettings(collection=collection)
        sources.append(open_source(settings, streams, clock=clock))
        return sources[-1]

    yield _open
    for source in sources:
        source.close()


def fill(collection: Any, n: int, at: datetime = AT) -> list[str]:
    for i in range(n):
        collection.document(f"a{i:02d}").set({"updated_at": at, "n": i})
    return [f"a{i:02d}" for i in range(n)]


def test_a_stream_that_breaks_keeps_what_came_and_pays_once(
    firestore_server: FirestoreServer, collection: Any, opened: Callable[..., Source]
) -> None:
    """The documents before the break are billed; reading them again would be billed again."""
    ids = fill(collection, 10)
    source = opened()
    firestore_server.meter.reset()

    with firestore_server.faults.break_stream(4):
        broken = source.read_after(None, 10)
    rest = source.read_after(broken.cursor, 10)

    assert not broken.is_last
    assert [r.id for r in broken.records] + [r.id for r in rest.records] == ids
    assert broken.billed_reads + rest.billed_reads == firestore_server.meter.reads == 10


def test_a_stream_that_ends_early_without_an_error_loses_nothing(
    firestore_server: FirestoreServer, collection: Any, opened: Callable[..., Source]
) -> None:
    """It looks like the last page; the cursor stands at what really came, so the rest follows."""
    ids = fill(collection, 10)
    source = opened()

    with firestore_server.faults.shorten_stream(3):
        short = source.read_after(None, 10)
    rest = source.read_after(short.cursor, 10)

    assert [r.id for r in short.records] + [r.id for r in rest.records] == ids


def test_one_lost_connection_is_not_worth_a_word(
    firestore_server: FirestoreServer, collection: Any, opened: Callable[..., Source]
) -> None:
    """A channel that idled is noticed as dead only when used; one second try is made at once."""
    ids = fill(collection, 3)
    source = opened()

    with firestore_server.faults.unavailable(times=1) as fault:
        batch = source.read_after(None, 10)

    assert fault.n_hits == 1
    assert [record.id for record in batch.records] == ids


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, SourceUnavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, SourceUnavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, SourceUnavailable),
        (grpc.StatusCode.INTERNAL, SourceUnavailable),
        (grpc.StatusCode.ABORTED, SourceUnavailable),
        (grpc.StatusCode.PERMISSION_DENIED, SourceMisconfigured),
        (grpc.StatusCode.UNAUTHENTICATED, SourceMisconfigured),
        (grpc.StatusCode.NOT_FOUND, SourceMisconfigured),
        (grpc.StatusCode.FAILED_PRECONDITION, SourceMisconfigured),
        (grpc.StatusCode.INVALID_ARGUMENT, SourceMisconfigured),
    ],
)
def test_refusals_are_told_apart_by_what_to_do(
    firestore_server: FirestoreServer,
    collection: Any,
    opened: Callable[..., Source],
    code: grpc.StatusCode,
    expected: type[Exception],
) -> None:
    """A missing right waits for a person, an overloaded server only for a while."""
    fill(collection, 2)
    source = opened()

    with firestore_server.faults.fail(code, "why it was refused"):
        for ask in (
            lambda: source.read_after(None, 5),
            lambda: source.count_by_day([AT.date()]),
            lambda: source.ids_of_day(AT.date()),
            lambda: source.missing(["a00"]),
            lambda: source.inspect(1),
        ):
            with pytest.raises(expected, match="why it was refused"):
                ask()


def test_a_server_that_says_nothing_is_given_up_in_time(
    firestore_server: FirestoreServer, collection: Any, opened: Callable[..., Source]
) -> None:
    """No answer at all is the worst kind: the call must end by itself."""
    fill(collection, 2)
    source = opened(timeout_s=0.5)
    source.read_after(None, 1)

    with firestore_server.faults.stall(), pytest.raises(SourceUnavailable):
        source.read_after(None, 5)


def test_what_was_paid_before_a_call_broke_is_reported(
    firestore_server: FirestoreServer, collection: Any, opened: Callable[..., Source]
) -> None:
    """Listing a day takes several queries; when the third breaks, two are on the bill."""
    fill(collection, 10)
    source = opened(page_size=4)
    firestore_server.meter.reset()

    firestore_server.faults.break_stream(4, times=1)
    with pytest.raises(ReadInterrupted) as broken:
        source.ids_of_day(AT.date())

    assert broken.value.billed_reads == firestore_server.meter.reads == 4


def test_documents_with_another_type_there_are_counted_not_read(
    collection: Any, opened: Callable[..., Source]
) -> None:
    """Texts and numbers sort beside timestamps, not among them; they would break every cursor."""
    fill(collection, 3)
    for i, odd in enumerate(["2025-11-26T10:00:00Z", 1764151200, None, True]):
        collection.document(f"odd{i}").set({"updated_at": odd})
    collection.document("none").set({"n": 1})
    source = opened()

    batch = source.read_after(None, 50)
    found = source.inspect()

    assert [record.id for record in batch.records] == ["a00", "a01", "a02"]
    assert (found.n_records, found.n_without_cursor_field) == (8, 5)


def test_firestore_types_become_json_values(collection: Any, opened: Callable[..., Source]) -> None:
    """The buffer keeps JSON; what a reference or a place is must still be readable."""
    collection.document("a1").set(
        {
            "updated_at": AT,
            "when": AT + timedelta(microseconds=1500),
            "where": firestore.GeoPoint(52.5, 13.4),
            "who": collection.document("x"),
            "raw": b"ab",
            "odd": [float("nan"), float("inf"), None, True, 2**53],
            "deep": {"a.b": {"t": [{"t": AT}]}},
            "vector": Vector([1.0, 2.0]),
        }
    )

    (record,) = opened().read_after(None, 5).records

    assert record.fields == {
        "updated_at": "2025-11-26T10:00:00Z",
        "when": "2025-11-26T10:00:00.001500Z",
        "where": {"latitude": 52.5, "longitude": 13.4},
        "who": {"id": "x", "path": "appointments/x"},
        "raw": "YWI=",
        "odd": [None, None, None, True, 2**53],
        "deep": {"a.b": {"t": [{"t": "2025-11-26T10:00:00Z"}]}},
        "vector": [1.0, 2.0],
    }


def test_a_subcollection_is_read_by_its_path(
    firestore_server: FirestoreServer, collection: Any, opened: Callable[..., Source]
) -> None:
    """Applications put appointments under their shop, and the cursor must find its way there."""
    ids = fill(collection.document("shop").collection("visits"), 6)
    source = opened("appointments/shop/visits", page_size=4)

    first = source.read_after(None, 4)
    second = source.read_after(first.cursor, 4)

    assert [r.id for r in (*first.records, *second.records)] == ids
    assert first.cursor["name"].endswith("/documents/appointments/shop/visits/a03")


@pytest.mark.parametrize("ahead", [timedelta(hours=-3), timedelta(hours=3)])
def test_the_server_s_clock_decides_about_the_lag(
    firestore_server: FirestoreServer,
    collection: Any,
    opened: Callable[..., Source],
    ahead: timedelta,
) -> None:
    """A laptop three hours wrong must neither read too early nor three hours late."""
    firestore_server.clock = lambda: datetime.now(UTC) + ahead
    there = datetime.now(UTC) + ahead
    source = opened(lag_s=600)
    collection.document("ripe").set({"updated_at": there - timedelta(minutes=11)})
    collection.document("young").set({"updated_at": there - timedelta(minutes=9)})

    first = source.read_after(None, 10)
    collection.document("ripe2").set({"updated_at": there - timedelta(minutes=10, seconds=30)})
    second = source.read_after(first.cursor, 10)

    assert [record.id for record in first.records] == ["ripe"]
    assert [record.id for record in second.records] == ["ripe2"]
    assert (first.billed_reads, second.billed_reads) == (2, 1)  # the young one only when learning


def test_a_clock_that_jumps_is_learnt_again() -> None:
    """A laptop that slept, or a clock that was set: the old difference means nothing."""
    now = [AT]
    clock = ServerClock(lambda: now[0])
    assert clock.newest_allowed(timedelta(minutes=1)) is None

    clock.learn(AT + timedelta(hours=2))
    learnt = clock.newest_allowed(timedelta(minutes=1))
    now[0] += timedelta(hours=8)
    jumped = clock.newest_allowed(timedelta(minutes=1))

    assert learnt == AT + timedelta(hours=2) - timedelta(minutes=1)
    assert jumped is None


def test_a_late_server_timestamp_is_met_when_the_lag_covers_it(
    firestore_server: FirestoreServer, collection: Any, opened: Callable[..., Source]
) -> None:
    """serverTimestamp is the time of the request, not of the commit."""
    start = datetime.now(UTC)
    passed = [timedelta(0)]
    firestore_server.clock = lambda: start + passed[0]
    source = opened(lag_s=60, clock=firestore_server.clock)
    late = firestore_server.late_commit(
        "appointments/late",
        {"updated_at": firestore.SERVER_TIMESTAMP},
        requested_at=start - timedelta(seconds=40),
    )
    collection.document("quick").set({"updated_at": start - timedelta(seconds=30)})

    first = source.read_after(None, 10)
    late.release()
    passed[0] = timedelta(seconds=45)
    second = source.read_after(first.cursor, 10)

    assert first.records == ()
    assert [record.id for record in second.records] == ["late", "quick"]


def test_without_credentials_a_person_is_asked(
    monkeypatch: pytest.MonkeyPatch, opened: Callable[..., Source]
) -> None:
    """The sentence says which variable to set."""
    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")

    with pytest.raises(SourceMisconfigured, match="GOOGLE_APPLICATION_CREDENTIALS"):
        opened()


def test_a_document_s_path_is_no_collection(opened: Callable[..., Source]) -> None:
    """An even number of parts names a document; the client would fail at the first read."""
    with pytest.raises(SourceMisconfigured, match="path of a collection"):
        opened("shops/s1")
