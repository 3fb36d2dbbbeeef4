"""MongoDB's own traits: ids of all types, dates only, collections that are not there."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson import Binary, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.codec_options import CodecOptions
from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    ExecutionTimeout,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    ServerSelectionTimeoutError,
)

from retrain_service.sources import open_source
from retrain_service.sources.mongodb.bson_values import id_text, pack_id, possible_ids, unpack_id
from retrain_service.sources.mongodb.errors import translate_errors
from scripts.daemons.network import free_port
from shared.errors import SourceMisconfigured, SourceUnavailable
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings
from tests.contracts.document_places import MongodbPlace
from tests.support.mongodb import MongoServer

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)

# In MongoDB's order.
IDS: list[Any] = [
    MinKey(),
    None,
    math.nan,
    -5,
    3.5,
    Decimal128("4.25"),
    Int64(2**60),
    "",
    "5",
    "a",
    {"a": 1},
    {"a": 2, "b": "x"},
    Binary(b"\x01"),
    Binary(b"\x01\x02"),
    Binary(b"\x07\x08", 5),
    uuid.UUID("11111111-2222-4333-8444-555555555555"),
    ObjectId("65e1a2b3c4d5e6f708192a3b"),
    False,
    True,
    AT,
    Timestamp(5, 1),
    MaxKey(),
]


@pytest.fixture
def place(mongodb_server: MongoServer) -> Iterator[MongodbPlace]:
    found = MongodbPlace(mongodb_server)
    yield found
    found.close()


def insert(place: MongodbPlace, *documents: dict[str, Any]) -> None:
    with place.documents() as collection:
        collection.insert_many(documents)


def as_stored(id_: Any) -> bytes:
    return bson.encode(
        {"_id": id_}, codec_options=CodecOptions[dict[str, Any]](uuid_representation=4)
    )


@pytest.mark.parametrize("limit", [1, 4, 22])
def test_equal_times_with_ids_of_every_type_are_read_once_each(
    place: MongodbPlace, limit: int
) -> None:
    """$gt on _id stays within one type: a cursor that forgets that loses all other types."""
    with place.documents() as collection:
        options = CodecOptions[dict[str, Any]](uuid_representation=4)
        collection.with_options(options).insert_many({"_id": id_, "updated_at": AT} for id_ in IDS)
    source, cursor, found = place.source(), None, list[str]()

    while True:
        batch = source.read_after(cursor, limit)
        found += [record.id for record in batch.records]
        cursor = json.loads(json.dumps(batch.cursor))
        if batch.is_last:
            break

    assert sorted(found) == sorted(id_text(id_) for id_ in IDS)
    assert found.index("null") < found.index("nan") < found.index("-5") < found.index("a")
    assert not source.missing(found).ids


@pytest.mark.parametrize("id_", IDS, ids=repr)
def test_an_id_survives_the_cursor_and_is_found_again_by_its_text(id_: Any) -> None:
    """Deletion asks for ids by what the buffer calls them; one not found would be deleted."""
    back = unpack_id(pack_id(id_))
    candidates = [as_stored(each) for each in possible_ids(id_text(id_))]

    assert as_stored(back) == as_stored(id_)
    assert as_stored(id_) in candidates


def test_what_only_bson_knows_becomes_json(place: MongodbPlace) -> None:
    """A value that cannot be written as JSON would stop the stream at its document."""
    insert(
        place,
        {
            "_id": ObjectId("65e1a2b3c4d5e6f708192a3b"),
            "updated_at": AT,
            "price": Decimal128("12.50"),
            "missing": Decimal128("NaN"),
            "bytes": b"\x00\x01",
            "seen": [{"at": AT + timedelta(milliseconds=5)}],
            "customer": ObjectId("65e1a2b3c4d5e6f708192a3c"),
            "pattern": Regex("^a"),
            "count": Int64(7),
        },
    )

    (record,) = place.source().read_after(None, 5).records

    assert record.id == "65e1a2b3c4d5e6f708192a3b"
    assert record.fields == {
        "_id": "65e1a2b3c4d5e6f708192a3b",
        "updated_at": "2026-03-01T09:30:00Z",
        "price": 12.5,
        "missing": None,
        "bytes": "AAE=",
        "seen": [{"at": "2026-03-01T09:30:00.005000Z"}],
        "customer": "65e1a2b3c4d5e6f708192a3c",
        "pattern": "^a",
        "count": 7,
    }


def test_texts_lists_and_numbers_are_no_times(place: MongodbPlace) -> None:
    """MongoDB sorts them all; only dates can be compared with the server's time."""
    insert(
        place,
        {"_id": "good", "updated_at": AT},
        {"_id": "list", "updated_at": [AT]},
        {"_id": "text", "updated_at": "2026-03-01"},
        {"_id": "number", "updated_at": 1_772_357_400},
    )
    source = place.source()

    records = source.read_after(None, 5).records

    assert [record.id for record in records] == ["good"]
    assert source.inspect().n_without_cursor_field == 3
    assert source.count_by_day([AT.date()]).by_day == {AT.date(): 1}


@pytest.mark.parametrize("unit_s", [1, 1e-3, 1e-6])
def test_times_may_be_numbers_where_no_document_has_a_date(
    place: MongodbPlace, unit_s: float
) -> None:
    """Date.now() is what a program in JavaScript keeps; the stream was empty for ever."""
    times = [AT + timedelta(minutes=n // 2) for n in range(20)]
    insert(place, *({"_id": n, "updated_at": round(at.timestamp() / unit_s)}
                    for n, at in enumerate(times)), {"_id": 99, "updated_at": "soon"})  # fmt: skip
    cursor, found = None, []
    for _ in range(9):
        source = place.source()  # as after a restart
        batch = source.read_after(cursor, 3)
        found += [(record.id, record.updated_at) for record in batch.records]
        cursor = json.loads(json.dumps(batch.cursor))
        source.close()

    source = place.source()
    inspected = source.inspect(5)
    assert found == [(str(n), at) for n, at in enumerate(times)]
    assert (inspected.n_without_cursor_field, len(inspected.sample)) == (1, 5)
    assert source.count_by_day([AT.date()]).by_day == {AT.date(): 20}


def test_the_time_may_lie_deeper(place: MongodbPlace) -> None:
    """Frameworks keep their bookkeeping in a sub-document."""
    insert(place, {"_id": 1, "meta": {"changed": AT}}, {"_id": 2, "meta": {"changed": AT}})
    source = place.source(updated_at_field="meta.changed")

    first = source.read_after(None, 1)
    rest = source.read_after(first.cursor, 5)

    assert [record.id for record in (*first.records, *rest.records)] == ["1", "2"]


def test_what_is_written_after_a_clock_was_set_back_is_read(place: MongodbPlace) -> None:
    """It is older than what was read before; else training stops until the clock has caught up."""
    now, source = datetime.now(UTC), place.source(lag_s=10)
    insert(place, {"_id": "old", "updated_at": now - timedelta(days=2)})
    insert(place, {"_id": "since", "updated_at": now - timedelta(seconds=20)})

    first = source.read_after(source.cursor_at(now + timedelta(hours=1)), 10)
    insert(place, {"_id": "new", "updated_at": now - timedelta(seconds=5)})
    second = place.source(lag_s=0).read_after(first.cursor, 10)

    assert [record.id for record in first.records] == ["since"]
    assert [record.id for record in second.records] == ["new"]


def test_a_collection_that_does_not_exist_yet_is_empty(place: MongodbPlace) -> None:
    """An application that has just been installed has written nothing."""
    source = place.source()

    batch = source.read_after(None, 5)

    assert (batch.records, batch.is_last) == ((), True)
    assert source.inspect().n_records == 0


def test_a_collection_that_was_read_and_is_gone_asks_for_a_person(place: MongodbPlace) -> None:
    """Renamed is not emptied: nothing may be deleted on the strength of it."""
    insert(place, {"_id": 1, "updated_at": AT})
    cursor = place.source().read_after(None, 5).cursor
    with place.documents() as collection:
        collection.drop()
        collection.database["orders"].insert_one({"_id": 1})
    source = place.source()

    with pytest.raises(SourceMisconfigured, match=r"'appointments'.*orders"):
        source.read_after(cursor, 5)
    with pytest.raises(SourceMisconfigured, match="appointments"):
        source.missing(["1"])
    with pytest.raises(SourceMisconfigured, match="appointments"):
        source.inspect(n_sample=3)

    with place.documents() as collection:
        collection.database["orders"].drop()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ServerSelectionTimeoutError("refused"), SourceUnavailable),
        (AutoReconnect("reset"), SourceUnavailable),
        (NetworkTimeout("slow"), SourceUnavailable),
        (NotPrimaryError("not primary"), SourceUnavailable),
        (ExecutionTimeout("too long", 50), SourceUnavailable),
        (OperationFailure("stepped down", 11602), SourceUnavailable),
        (OperationFailure("Authentication failed.", 18), SourceMisconfigured),
        (OperationFailure("not authorized on shop", 13), SourceMisconfigured),
        (OperationFailure("bad auth", 8000), SourceMisconfigured),
        (OperationFailure("Sort exceeded memory limit", 292), SourceMisconfigured),
        (ConfigurationError("unknown option"), SourceMisconfigured),
    ],
    ids=repr,
)
def test_errors_are_told_apart_by_what_helps(error: Exception, kind: type[Exception]) -> None:
    """An election passes; a wrong password does not."""
    with pytest.raises(kind) as told, translate_errors("MongoDB host/shop.appointments", 1):
        raise error

    assert "host/shop.appointments" in str(told.value)


@pytest.mark.parametrize("url", ["mongodb://host", "http://host/shop", "shop", "mongodb:///shop"])
def test_an_address_without_a_database_is_refused_without_showing_it(url: str) -> None:
    """pymongo would read from the database "test", which is empty and always there."""
    with pytest.raises(SourceMisconfigured, match="DATABASE"):
        open_source(SourceSettings(kind="mongodb", url=url), StreamSettings(collection="x"))


def test_a_server_that_is_not_there_is_given_up_in_time() -> None:
    """The loop waits for the answer; a driver's own thirty seconds would hold it."""
    url = f"mongodb://reader:secret@127.0.0.1:{free_port()}/shop"
    source = open_source(
        SourceSettings(kind="mongodb", url=url, timeout_s=0.5), StreamSettings(collection="x")
    )
    began = datetime.now(UTC)

    with pytest.raises(SourceUnavailable) as gone:
        source.read_after(None, 5)
    source.close()

    assert (datetime.now(UTC) - began).total_seconds() < 3
    assert "secret" not in str(gone.value) + source.origin
