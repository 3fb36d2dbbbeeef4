"""Pin how the in-memory Firestore behaves, seen only through the real client library.

Other tests trust this server in place of Google's. What is pinned here is the published contract,
the billing rules, and the client's own traps that our code has to live with.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.api_core.datetime_helpers import DatetimeWithNanoseconds
from google.api_core.retry import Retry
from google.cloud import firestore
from google.cloud.firestore_v1.base_query import And, FieldFilter, Or
from google.cloud.firestore_v1.vector import Vector

from tests.support.firestore_server import FirestoreServer
from tests.support.waiting import wait_until

MORNING = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
NO_RETRY = Retry(predicate=lambda _: False)
FAST_RETRY = Retry(
    predicate=lambda error: isinstance(error, exceptions.ServiceUnavailable), initial=0.01
)


class FakeClock:
    """Stands still until told otherwise."""

    def __init__(self, now: datetime = MORNING) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


class Watched:
    """Collects what a listener was told: the ids of each snapshot, and each change."""

    def __init__(self) -> None:
        self.snapshots: list[list[str]] = []
        self.changes: list[tuple[str, str]] = []

    def __call__(self, documents: list[Any], changes: list[Any], _read_time: Any) -> None:
        self.changes += [(change.type.name, change.document.id) for change in changes]
        self.snapshots.append([document.id for document in documents])


def where(field: str, operator: str, value: Any) -> FieldFilter:
    return FieldFilter(field, operator, value)


def ids(documents: Any) -> list[str]:
    return [document.id for document in documents]


def count(query: Any) -> int:
    return int(query.count().get()[0][0].value)


@pytest.fixture
def server() -> Iterator[FirestoreServer]:
    with FirestoreServer() as server:
        yield server


@pytest.fixture
def db(server: FirestoreServer) -> Iterator[Any]:
    client = server.client()
    yield client
    client.close()


@pytest.fixture
def clock(server: FirestoreServer) -> FakeClock:
    """The server's time, standing still."""
    clock = FakeClock()
    server.clock = clock
    return clock


@pytest.fixture
def numbers(db: Any) -> Any:
    """Ten documents d0 to d9 with n from 0 to 9, and parity as a string."""
    collection = db.collection("numbers")
    batch = db.batch()
    for n in range(10):
        batch.set(collection.document(f"d{n}"), {"n": n, "parity": "odd" if n % 2 else "even"})
    batch.commit()
    return collection


# Order


def test_values_of_all_types_come_in_the_published_order(db: Any) -> None:
    """A time field that some application wrote as text must land where it does in production."""
    in_order: list[Any] = [
        None,
        False,
        True,
        float("nan"),
        float("-inf"),
        -1,
        0.5,
        1,
        1.5,
        MORNING,
        MORNING + timedelta(microseconds=1),
        "",
        "Z",
        "a",
        "\uff5e",
        "\U0001f600",  # after U+FF5E in UTF-8, before it in UTF-16
        b"",
        b"\x01",
        db.document("a/b"),
        db.document("a/b/c/d"),
        db.document("a/c"),
        firestore.GeoPoint(-10, 50),
        firestore.GeoPoint(10, 2),
        firestore.GeoPoint(10, 3),
        [],
        [1, 2, 3],
        [1, 2, 3, 1],
        [2],
        Vector([9.0]),
        Vector([1.0, 2.0]),
        {},
        {"a": "aaa", "b": "baz"},
        {"a": "foo", "b": "bar"},
        {"a": "foo", "b": "bar", "c": "qux"},
        {"a": "foo", "b": "baz"},
        {"b": "aaa", "c": "baz"},
        {"c": "aaa"},
    ]
    collection = db.collection("values")
    batch = db.batch()
    for rank, value in enumerate(in_order):
        # Ids run against the order, so that the order by name cannot help.
        batch.set(collection.document(f"{99 - rank}"), {"value": value, "rank": rank})
    batch.commit()

    ascending = [d.get("rank") for d in collection.order_by("value").stream()]
    descending = [d.get("rank") for d in collection.order_by("value", direction="DESCENDING").get()]

    assert ascending == list(range(len(in_order)))
    assert descending == ascending[::-1]


def test_without_an_order_documents_come_by_name(db: Any) -> None:
    """A reader without order_by pages by name; numeric ids sort as numbers before all others."""
    for document_id in ("b", "__id10__", "a", "__id9__", "B"):
        db.document(f"parents/{document_id}/things/x").set({"n": 1})

    found = [d.reference.parent.parent.id for d in db.collection_group("things").stream()]

    assert found == ["__id9__", "__id10__", "B", "a", "b"]


def test_ties_are_ordered_by_name_in_the_direction_of_the_last_order(db: Any) -> None:
    """Equal times lose nothing only if the order among them is known."""
    for document_id in "cab":
        db.collection("ties").document(document_id).set({"at": MORNING})

    assert ids(db.collection("ties").order_by("at").stream()) == ["a", "b", "c"]
    assert ids(db.collection("ties").order_by("at", direction="DESCENDING").stream()) == [
        "c",
        "b",
        "a",
    ]


def test_an_inequality_orders_by_its_field_and_then_by_name(db: Any) -> None:
    """A range without order_by is ordered all the same, so a limit cuts at the right end."""
    for document_id, n in (("a", 3), ("b", 1), ("c", 2), ("d", 1)):
        db.collection("parts").document(document_id).set({"n": n, "m": 10 - n})

    one_field = db.collection("parts").where(filter=where("n", ">", 0))
    both = one_field.where(filter=where("m", ">", 0))

    assert ids(one_field.stream()) == ["b", "d", "c", "a"]
    assert ids(both.stream()) == ["a", "c", "b", "d"], "implied fields are ordered by field name"


def test_documents_without_the_order_field_are_absent(db: Any) -> None:
    """Why a source must report how many documents its time field does not reach."""
    db.collection("parts").document("with").set({"updated": {"at": MORNING}})
    db.collection("parts").document("null").set({"updated": {"at": None}})
    db.collection("parts").document("without").set({"updated": {}})
    db.collection("parts").document("elsewhere").set({"updated": MORNING})

    assert ids(db.collection("parts").order_by("updated.at").stream()) == ["null", "with"]
    assert count(db.collection("parts")) == 4


def test_nothing_may_be_ordered_after_the_name(numbers: Any) -> None:
    """The service refuses it, so a query that works here must not have it either."""
    with pytest.raises(exceptions.InvalidArgument, match="after the key"):
        numbers.order_by("__name__").order_by("n").get()


# Cursors, limits, projections


def test_cursors_include_or_exclude_their_position(numbers: Any) -> None:
    """An off-by-one here would read a row twice or never."""
    by_n = numbers.order_by("n")

    assert ids(by_n.start_at({"n": 7}).stream()) == ["d7", "d8", "d9"]
    assert ids(by_n.start_after({"n": 7}).stream()) == ["d8", "d9"]
    assert ids(by_n.end_at({"n": 1}).stream()) == ["d0", "d1"]
    assert ids(by_n.end_before({"n": 1}).stream()) == ["d0"]


def test_cursors_follow_a_descending_order(numbers: Any) -> None:
    """'After' means further on in the results, not a larger value."""
    newest_first = numbers.order_by("n", direction="DESCENDING")

    assert ids(newest_first.start_after({"n": 2}).stream()) == ["d1", "d0"]
    assert ids(newest_first.end_at({"n": 8}).stream()) == ["d9", "d8"]


def test_a_cursor_with_time_and_name_reads_every_tie_once(db: Any) -> None:
    """The cursor of our Firestore source: strictly after (time, name), whatever the page size."""
    for document_id in "abcdefg":
        db.collection("ties").document(document_id).set({"at": MORNING})
    query = db.collection("ties").order_by("at").order_by("__name__").limit(2)
    seen: list[str] = []
    page = query.get()
    while page:
        seen += ids(page)
        last = page[-1]
        page = query.start_after({"at": last.get("at"), "__name__": last.reference}).get()

    assert seen == list("abcdefg")


def test_a_snapshot_as_cursor_goes_on_behind_it(db: Any) -> None:
    """With one order_by the client adds the name itself, so ties are safe."""
    for document_id in "abcd":
        db.collection("ties").document(document_id).set({"at": MORNING})
    query = db.collection("ties").order_by("at")

    second = query.get()[1]

    assert ids(query.start_after(second).stream()) == ["c", "d"]
    assert ids(query.end_before(second).stream()) == ["a"]


def test_two_ranges_and_no_order_make_the_client_skip_ties(db: Any) -> None:
    """A trap of client 2.34: it names the field twice and drops __name__ from the cursor."""
    for document_id in "abcd":
        db.collection("ties").document(document_id).set({"at": MORNING})
    day = timedelta(days=1)
    trap = (
        db.collection("ties")
        .where(filter=where("at", ">=", MORNING - day))
        .where(filter=where("at", "<", MORNING + day))
    )
    first = trap.limit(1).get()[0]

    assert ids(trap.start_after(first).stream()) == [], "b, c and d are lost"
    assert ids(trap.order_by("at").start_after(first).stream()) == ["b", "c", "d"]


def test_a_cursor_outside_the_filter_is_refused(numbers: Any) -> None:
    """The service answers INVALID_ARGUMENT; a source must not move its window past its cursor."""
    with pytest.raises(exceptions.InvalidArgument, match="outside the range"):
        numbers.where(filter=where("n", ">=", 5)).order_by("n").start_after({"n": 3}).get()


def test_offset_skips_and_limit_cuts(numbers: Any) -> None:
    """In this order: cursor, offset, limit."""
    page = numbers.order_by("n").start_at({"n": 2}).offset(3).limit(2)

    assert ids(page.stream()) == ["d5", "d6"]
    assert ids(numbers.order_by("n").limit(3).offset(9).stream()) == ["d9"]


def test_limit_to_last_gives_the_end_and_reverses_the_query_for_good(numbers: Any) -> None:
    """A trap of client 2.34: get() turns the query object round, so it must not be used again."""
    query = numbers.order_by("n").limit_to_last(2)

    assert ids(query.get()) == ["d8", "d9"]
    assert ids(query.get()) == ["d9", "d8"], "the same object now reads backwards"


def test_a_projection_returns_only_the_named_fields(db: Any) -> None:
    """Reading less per document is how a source keeps its memory small."""
    db.document("parts/a").set({"name": "belt", "size": {"w": 1, "h": 2}, "a.b": 3})
    parts = db.collection("parts")

    assert parts.select(["name", "size.h"]).get()[0].to_dict() == {"name": "belt", "size": {"h": 2}}
    assert parts.select(["`a.b`"]).get()[0].to_dict() == {"a.b": 3}
    assert parts.select([]).get()[0].to_dict() == {}, "names only"
    assert parts.select(["nothing"]).get()[0].to_dict() == {}, "a projection does not filter"


# Filters


@pytest.mark.parametrize(
    ("field", "operator", "value", "expected"),
    [
        ("x", "==", 1, ["float", "one"]),
        ("x", "==", "1", ["text"]),
        ("x", "!=", 1, ["array", "nan", "text", "two"]),
        ("x", ">", 1, ["two"]),
        ("x", ">=", 1, ["float", "one", "two"]),
        ("x", "<", 2, ["float", "nan", "one"]),
        ("x", "<=", "1", ["text"]),
        ("x", "in", [2, "1"], ["text", "two"]),
        ("x", "not-in", [2, "1"], ["array", "float", "nan", "one"]),
        ("x", "not-in", [2, None], []),
        ("x", "array_contains", 5, ["array"]),
        ("x", "array_contains_any", [4, 6], ["array"]),
        ("x", "==", None, ["null"]),
        ("x", "!=", None, ["array", "float", "nan", "one", "text", "two"]),
        ("x", "==", float("nan"), ["nan"]),
        ("x", "!=", float("nan"), ["array", "float", "one", "text", "two"]),
    ],
)
def test_each_operator_selects_what_firestore_selects(
    db: Any, field: str, operator: str, value: Any, expected: list[str]
) -> None:
    """Ranges stay within one type, and negations leave out null and the missing field."""
    contents = {
        "one": 1,
        "float": 1.0,
        "two": 2,
        "text": "1",
        "null": None,
        "nan": float("nan"),
        "array": [5, 6],
    }
    for document_id, content in contents.items():
        db.collection("mixed").document(document_id).set({"x": content})
    db.collection("mixed").document("missing").set({"y": 1})

    found = db.collection("mixed").where(filter=where(field, operator, value)).stream()

    assert sorted(ids(found)) == expected


def test_filters_combine_with_and_and_or(numbers: Any) -> None:
    """A nested filter is one tree, not a list of conditions."""
    outer = Or([where("n", "==", 0), And([where("parity", "==", "odd"), where("n", ">", 6)])])

    assert ids(numbers.where(filter=outer).stream()) == ["d0", "d7", "d9"]


def test_the_name_can_be_filtered_by_reference(numbers: Any) -> None:
    """Looking up a set of ids in one query; anything but a reference is refused."""
    query = numbers.where(
        filter=where("__name__", "in", [numbers.document("d3"), numbers.document("d1")])
    )

    assert ids(query.stream()) == ["d1", "d3"]
    assert ids(numbers.where(filter=where("__name__", ">", numbers.document("d7"))).get()) == [
        "d8",
        "d9",
    ]


def test_more_disjunctions_than_firestore_allows_are_refused(numbers: Any) -> None:
    """A list of ids that works here with 31 would fail in production."""
    with pytest.raises(exceptions.InvalidArgument, match="30 disjunctions"):
        numbers.where(filter=where("n", "in", list(range(31)))).get()


# Collections


def test_a_collection_and_a_group_reach_different_documents(db: Any) -> None:
    """A group reads every collection of that id; a collection never reads below itself."""
    db.document("orders/top").set({"n": 1})
    db.document("shops/s1/orders/deep").set({"n": 2})
    db.document("shops/s1/orders/deep/orders/deeper").set({"n": 3})
    db.document("shops/s1/borders/other").set({"n": 4})

    assert ids(db.collection("orders").stream()) == ["top"]
    assert ids(db.collection("shops/s1/orders").stream()) == ["deep"]
    assert ids(db.collection_group("orders").order_by("n").stream()) == ["top", "deep", "deeper"]
    assert count(db.collection_group("orders")) == 3


def test_a_recursive_query_reads_a_whole_subtree(db: Any) -> None:
    """What the client's recursive_delete builds on."""
    db.document("shops/s1").set({})
    db.document("shops/s1/orders/o1").set({})
    db.document("shops2/other").set({})

    assert ids(db.collection("shops").recursive().stream()) == ["s1", "o1"]
    assert db.recursive_delete(db.collection("shops")) == 2
    assert count(db.collection_group("orders")) == 0


def test_collections_and_missing_parents_can_be_listed(db: Any) -> None:
    """A document that exists only as a parent is listed and cannot be read."""
    db.document("shops/real").set({})
    db.document("shops/phantom/orders/o1").set({})
    db.document("parts/p1").set({})

    assert [collection.id for collection in db.collections()] == ["parts", "shops"]
    assert [collection.id for collection in db.document("shops/phantom").collections()] == [
        "orders"
    ]
    listed = db.collection("shops").list_documents(page_size=1)
    assert [reference.id for reference in listed] == ["phantom", "real"]
    assert not db.document("shops/phantom").get().exists


def test_projects_and_databases_do_not_see_each_other(server: FirestoreServer, db: Any) -> None:
    """One server can stand for several applications."""
    other = server.client(project="other")
    db.document("parts/a").set({"n": 1})

    assert not other.document("parts/a").get().exists
    other.close()


# Aggregations


def test_count_sum_and_average_follow_the_query(numbers: Any) -> None:
    """Daily reconciliation counts with the same filters that it reads with."""
    odd = numbers.where(filter=where("parity", "==", "odd"))

    assert count(odd) == 5
    assert count(odd.limit(3)) == 3
    assert odd.sum("n").get()[0][0].value == 25
    assert odd.avg("n").get()[0][0].value == 5.0


def test_sums_skip_what_is_not_a_number(db: Any) -> None:
    """Integers stay integers until they overflow, and the client shows a null average as 0.0."""
    things = db.collection("things")
    for value in ("text", None, True):
        things.add({"x": value})
    empty = things.sum("x", alias="s").avg("x", alias="a").get()[0]
    assert {result.alias: result.value for result in empty} == {"s": 0, "a": 0.0}

    things.add({"x": 2**62})
    assert things.sum("x").get()[0][0].value == 2**62

    things.add({"x": 2**62})
    assert things.sum("x").get()[0][0].value == float(2**63)


def test_a_count_beside_a_sum_counts_only_documents_with_the_field(db: Any) -> None:
    """Documented, and easy to trip over when a count is used to check completeness."""
    db.document("things/with").set({"x": 1})
    db.document("things/without").set({"y": 1})

    both = db.collection("things").count(alias="n").sum("x", alias="s").get()[0]

    assert {result.alias: result.value for result in both} == {"n": 1, "s": 1}


# Writes


def test_create_set_update_and_delete_keep_their_promises(db: Any) -> None:
    """Preconditions are what makes a second creation or an update of nothing fail."""
    part = db.document("parts/a")
    part.create({"n": 1})
    with pytest.raises(exceptions.AlreadyExists):
        part.create({"n": 2})
    with pytest.raises(exceptions.NotFound):
        db.document("parts/b").update({"n": 1})

    part.delete()

    assert not part.get().exists
    part.delete()


def test_an_update_changes_only_the_fields_in_its_mask(db: Any) -> None:
    """Nested paths, quoted paths and deletions all travel in the mask."""
    part = db.document("parts/a")
    part.set({"keep": 1, "drop": 2, "nest": {"x": 1, "y": 2}, "a.b": 1})

    part.update(
        {
            "drop": firestore.DELETE_FIELD,
            "nest.y": 3,
            "nest.z.deep": 4,
            firestore.Client.field_path("a.b"): 5,
        }
    )
    assert part.get().to_dict() == {
        "keep": 1,
        "nest": {"x": 1, "y": 3, "z": {"deep": 4}},
        "a.b": 5,
    }

    part.set({"nest": {"x": 9}}, merge=True)
    assert part.get().to_dict()["nest"] == {"x": 9, "y": 3, "z": {"deep": 4}}

    part.set({"only": True})
    assert part.get().to_dict() == {"only": True}


def test_an_update_time_precondition_detects_another_writer(db: Any) -> None:
    """Optimistic locking without a transaction."""
    part = db.document("parts/a")
    part.set({"n": 1})
    seen = part.get().update_time
    part.set({"n": 2})

    with pytest.raises(exceptions.FailedPrecondition):
        part.update({"n": 3}, option=db.write_option(last_update_time=seen))

    part.update({"n": 3}, option=db.write_option(last_update_time=part.get().update_time))
    assert part.get().get("n") == 3


def test_a_batch_is_applied_whole_or_not_at_all(db: Any) -> None:
    """One refused write must not leave half a batch behind."""
    batch = db.batch()
    batch.set(db.document("parts/a"), {"n": 1})
    batch.update(db.document("parts/missing"), {"n": 1})

    with pytest.raises(exceptions.NotFound):
        batch.commit()

    assert not db.document("parts/a").get().exists


def test_a_bulk_writer_writes_each_document_on_its_own(db: Any) -> None:
    """BatchWrite: the refused one is reported, the others stand."""
    refused: list[str] = []
    db.document("parts/b").set({})
    writer = db.bulk_writer()
    writer.on_write_error(lambda error, _writer: refused.append(error.operation.reference.id))
    writer.create(db.document("parts/a"), {"n": 1})
    writer.create(db.document("parts/b"), {"n": 1})
    writer.close()

    assert refused == ["b"]
    assert db.document("parts/a").get().exists


def test_transforms_compute_on_the_server(db: Any) -> None:
    """Counters and sets that several writers share."""
    part = db.document("parts/a")
    part.set({"n": 5, "f": 1, "top": 3, "low": 3, "tags": ["a", "b", "b"], "text": "x"})

    part.update(
        {
            "n": firestore.Increment(2),
            "f": firestore.Increment(0.5),
            "text": firestore.Increment(1),
            "top": firestore.Maximum(3.0),
            "low": firestore.Minimum(1),
            "new": firestore.ArrayUnion([1, 1.0, 2]),
            "tags": firestore.ArrayRemove(["b"]),
        }
    )

    assert part.get().to_dict() == {
        "n": 7,
        "f": 1.5,
        "text": 1,
        "top": 3,
        "low": 1,
        "new": [1, 2],
        "tags": ["a"],
    }
    part.update({"n": firestore.Increment(2**63 - 1)})
    assert part.get().get("n") == 2**63 - 1, "integers stop at the largest"


def test_the_single_document_methods_keep_the_same_promises(
    server: FirestoreServer, db: Any
) -> None:
    """The client's own layer does not call them; other tools over the same protocol do."""
    api, root = db._firestore_api, f"{db._database_string}/documents"
    value = {"fields": {"n": {"integer_value": 1}, "m": {"integer_value": 2}}}
    creation = {"parent": root, "collection_id": "parts", "document": value}

    named = api.create_document({**creation, "document_id": "a"})
    unnamed = api.create_document(creation)
    assert (named.name, len(unnamed.name)) == (f"{root}/parts/a", len(f"{root}/parts/") + 20)
    with pytest.raises(exceptions.AlreadyExists):
        api.create_document({**creation, "document_id": "a"})

    changed = {"name": named.name, "fields": {"n": {"integer_value": 5}}}
    api.update_document({"document": changed, "update_mask": {"field_paths": ["n"]}})
    assert db.document("parts/a").get().to_dict() == {"n": 5, "m": 2}
    masked = api.get_document({"name": named.name, "mask": {"field_paths": ["m"]}})
    assert list(masked.fields) == ["m"]

    api.delete_document({"name": named.name})
    with pytest.raises(exceptions.NotFound):
        api.get_document({"name": named.name})
    assert (server.meter.writes, server.meter.deletes, server.meter.reads) == (3, 1, 3)


def test_an_array_inside_an_array_is_refused(db: Any) -> None:
    """The service refuses it, so test data must not contain it."""
    with pytest.raises(exceptions.InvalidArgument, match="array"):
        db.document("parts/a").set({"x": [[1]]})


# Time


def test_a_server_timestamp_is_the_time_of_the_request_in_milliseconds(
    db: Any, clock: FakeClock
) -> None:
    """Published precision: two writes in one millisecond tie, so a cursor needs the name too."""
    clock.now = MORNING + timedelta(microseconds=123_456)

    db.document("parts/a").set({"at": firestore.SERVER_TIMESTAMP})
    clock.advance(timedelta(microseconds=500))
    db.document("parts/b").set({"at": firestore.SERVER_TIMESTAMP, "nest": {"at": 0}})

    a, b = db.collection("parts").get()
    assert a.get("at") == b.get("at") == MORNING + timedelta(milliseconds=123)
    assert a.update_time < b.update_time


def test_times_are_stored_in_microseconds(db: Any) -> None:
    """Finer digits are rounded down: what is read back compares equal to what was read before."""
    with_nanoseconds: Any = DatetimeWithNanoseconds
    precise = with_nanoseconds(2026, 11, 21, 8, 30, nanosecond=123_456_789, tzinfo=UTC)
    db.document("parts/a").set({"at": precise, "list": [precise]})

    stored = db.document("parts/a").get()

    assert stored.get("at") == MORNING + timedelta(microseconds=123_456)
    for field, operator in (("at", "=="), ("list", "array_contains")):
        rounded = where(field, operator, stored.get("at"))
        assert count(db.collection("parts").where(filter=rounded)) == 1
        exact = where(field, operator, precise)
        assert count(db.collection("parts").where(filter=exact)) == 0


def test_times_never_go_back_even_if_the_clock_does(db: Any, clock: FakeClock) -> None:
    """Update times order the commits; a read time covers every commit before it."""
    times = []
    for n in range(3):
        db.document("parts/a").set({"n": n})
        snapshot = db.document("parts/a").get()
        times += [snapshot.update_time, snapshot.read_time]
        clock.advance(timedelta(seconds=-10))

    assert times == sorted(times)
    assert len({*times[::2]}) == 3
    assert snapshot.create_time == times[0]
    assert times[0].replace(microsecond=0) == MORNING


def test_a_write_that_changes_nothing_keeps_the_update_time(db: Any) -> None:
    """A re-read of unchanged documents must not look like news."""
    part = db.document("parts/a")
    part.set({"n": 1})
    before = part.get().update_time

    part.set({"n": 1})

    assert part.get().update_time == before


def test_a_query_can_read_the_past(db: Any) -> None:
    """All pages of a backfill can be read as of one moment."""
    part = db.document("parts/a")
    part.set({"n": 1})
    then = part.get().read_time
    part.set({"n": 2})
    db.document("parts/b").set({"n": 2})

    assert [d.get("n") for d in db.collection("parts").get(read_time=then)] == [1]
    assert part.get(read_time=then).get("n") == 1
    assert db.collection("parts").count().get(read_time=then)[0][0].value == 1
    with pytest.raises(exceptions.FailedPrecondition):
        part.get(read_time=then - timedelta(hours=2))


def test_every_answer_carries_the_time_it_is_true_for(db: Any, clock: FakeClock) -> None:
    """A source measures its lag from the server's read time, not from its own clock."""
    db.document("parts/a").set({"n": 1})
    clock.advance(timedelta(minutes=1))

    from_query = db.collection("parts").get()[0].read_time
    from_count = db.collection("nothing").count().get()[0][0].read_time

    assert from_query == from_count == MORNING + timedelta(minutes=1)


# Late commits


def test_a_late_commit_appears_behind_the_cursor_of_a_reader(
    server: FirestoreServer, db: Any, clock: FakeClock
) -> None:
    """The reason for a lag: the row's server timestamp is older than rows already read."""
    late = server.late_commit("parts/late", {"at": firestore.SERVER_TIMESTAMP})
    clock.advance(timedelta(seconds=5))
    db.document("parts/prompt").set({"at": firestore.SERVER_TIMESTAMP})
    query = db.collection("parts").order_by("at")
    seen = query.get()
    assert ids(seen) == ["prompt"]

    late.release()

    assert ids(query.start_after(seen[-1]).get()) == [], "a trusting reader never sees it"
    document = db.document("parts/late").get()
    assert document.get("at") == MORNING
    assert document.update_time >= MORNING + timedelta(seconds=5)


def test_a_late_commit_can_be_a_block_and_can_have_been_requested_long_ago(
    server: FirestoreServer, db: Any
) -> None:
    """Invisible inside the block, there when it ends."""
    with server.late_commit(
        "parts/late", {"at": firestore.SERVER_TIMESTAMP}, requested_at=MORNING
    ) as late:
        assert not db.document("parts/late").get().exists

    assert late.is_released
    assert db.document("parts/late").get().get("at") == MORNING


def test_a_clients_own_commit_can_be_held(
    server: FirestoreServer, db: Any, clock: FakeClock
) -> None:
    """The same lateness for writes of a real application in another thread or process."""
    with ThreadPoolExecutor(1) as pool, server.hold_commits("parts") as held:
        writing = pool.submit(db.document("parts/a").set, {"at": firestore.SERVER_TIMESTAMP})
        wait_until(lambda: held.n_waiting == 1, 30, "the commit to be held")
        clock.advance(timedelta(seconds=30))
        db.document("other/b").set({"n": 1})
        assert not db.document("parts/a").get().exists

        held.release()
        writing.result(timeout=30)

    document = db.document("parts/a").get()
    assert document.get("at") == MORNING
    assert document.update_time >= MORNING + timedelta(seconds=30)


# Transactions


def test_a_transaction_is_run_again_when_what_it_read_has_changed(db: Any) -> None:
    """ABORTED on conflict is what makes the client's decorator retry with fresh data."""
    counter = db.document("counters/c")
    counter.set({"n": 1})
    attempts: list[int] = []

    @firestore.transactional
    def double(transaction: Any) -> None:
        n = counter.get(transaction=transaction).get("n")
        attempts.append(n)
        if len(attempts) == 1:
            counter.update({"n": 10})
        transaction.update(counter, {"n": n * 2})

    double(db.transaction())

    assert attempts == [1, 10]
    assert counter.get().get("n") == 20


def test_concurrent_increments_in_transactions_lose_nothing(db: Any) -> None:
    """Several writers at once: each increment is either applied or retried."""
    counter = db.document("counters/c")
    counter.set({"n": 0})

    @firestore.transactional
    def increment(transaction: Any) -> None:
        n = counter.get(transaction=transaction).get("n")
        transaction.update(counter, {"n": n + 1})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: increment(db.transaction(max_attempts=50)), range(12)))

    assert counter.get().get("n") == 12


def test_a_new_match_of_a_query_aborts_the_transaction_that_ran_it(db: Any, numbers: Any) -> None:
    """Phantoms count as conflicts too, also those that were only counted."""
    attempts: list[int] = []

    @firestore.transactional
    def total(transaction: Any) -> None:
        found = len(list(transaction.get(numbers.where(filter=where("n", ">", 6)))))
        attempts.append(found)
        if len(attempts) == 1:
            numbers.document("new").set({"n": 100})
        transaction.set(db.document("totals/t"), {"found": found})

    total(db.transaction())

    assert attempts == [3, 4]


def test_a_transaction_reads_one_snapshot(db: Any) -> None:
    """Two reads in it agree, whatever is written between them."""
    db.document("parts/a").set({"n": 1})
    db.document("parts/b").set({"n": 1})

    @firestore.transactional
    def read_both(transaction: Any) -> tuple[int, int]:
        a = db.document("parts/a").get(transaction=transaction).get("n")
        db.document("parts/b").set({"n": 2})
        return a, db.document("parts/b").get(transaction=transaction).get("n")

    assert read_both(db.transaction(read_only=True)) == (1, 1)


def test_a_transaction_that_fails_leaves_nothing(db: Any) -> None:
    """The client rolls back, and the exception comes through unchanged."""

    @firestore.transactional
    def fail(transaction: Any) -> None:
        transaction.set(db.document("parts/a"), {"n": 1})
        raise KeyError("on purpose")

    with pytest.raises(KeyError):
        fail(db.transaction())

    assert not db.document("parts/a").get().exists


# Listeners


def test_a_listener_gets_what_is_there_and_then_every_change(db: Any, numbers: Any) -> None:
    """Added, modified, out of the results, deleted: each arrives as its own change."""
    watched = Watched()
    watch = numbers.where(filter=where("n", ">", 7)).order_by("n").on_snapshot(watched)
    wait_until(lambda: watched.snapshots == [["d8", "d9"]], 30, "the first snapshot")

    numbers.document("new").set({"n": 50})
    wait_until(lambda: watched.changes[-1] == ("ADDED", "new"), 30, "the addition")
    numbers.document("new").update({"n": 60})
    wait_until(lambda: watched.changes[-1] == ("MODIFIED", "new"), 30, "the modification")
    numbers.document("d8").update({"n": 0})
    wait_until(lambda: watched.changes[-1] == ("REMOVED", "d8"), 30, "the removal")
    numbers.document("d9").delete()
    wait_until(lambda: watched.snapshots[-1] == ["new"], 30, "the deletion")
    numbers.document("d1").update({"n": -1})
    db.document("elsewhere/x").set({"n": 99})

    watch.unsubscribe()
    assert watched.snapshots[-1] == ["new"]
    assert len(watched.snapshots) == 5, "changes that do not concern the query are not sent"


def test_a_listener_to_an_empty_query_is_told_so(db: Any) -> None:
    """The first snapshot comes even if it has no documents."""
    watched = Watched()
    watch = db.collection("nothing").on_snapshot(watched)
    wait_until(lambda: watched.snapshots == [[]], 30, "the empty snapshot")
    watch.unsubscribe()


def test_a_document_can_be_listened_to_before_it_exists(db: Any) -> None:
    """A settings document that an operator creates later."""
    watched = Watched()
    watch = db.document("settings/s").on_snapshot(watched)
    wait_until(lambda: watched.snapshots == [[]], 30, "the empty snapshot")

    db.document("settings/s").set({"n": 1})
    wait_until(lambda: watched.snapshots[-1] == ["s"], 30, "the document")
    db.document("settings/s").delete()
    wait_until(lambda: watched.snapshots[-1] == [], 30, "the deletion")
    watch.unsubscribe()


def test_a_dropped_listener_resumes_and_pays_only_for_what_it_missed(
    server: FirestoreServer, db: Any, numbers: Any
) -> None:
    """A lost connection must lose no change and must not read the collection again."""
    watched = Watched()
    watch = numbers.order_by("n").on_snapshot(watched)
    wait_until(lambda: len(watched.snapshots) == 1, 30, "the first snapshot")
    server.meter.reset()

    with server.faults.unavailable(times=2, method="Listen"):
        server.drop_listeners()
        numbers.document("d0").delete()
        numbers.document("new").set({"n": 50})
        wait_until(lambda: watched.snapshots[-1][-1] == "new", 10, "the missed changes")

    watch.unsubscribe()
    assert watched.snapshots[-1] == [f"d{n}" for n in range(1, 10)] + ["new"]
    assert server.meter.reads == 1


def test_a_listener_that_was_away_for_long_starts_again(
    server: FirestoreServer, clock: FakeClock, numbers: Any
) -> None:
    """After half an hour Firestore bills a listener as if it were a new one."""
    watched = Watched()
    watch = numbers.order_by("n").on_snapshot(watched)
    wait_until(lambda: len(watched.snapshots) == 1, 30, "the first snapshot")
    server.meter.reset()

    clock.advance(timedelta(minutes=31))
    server.drop_listeners()
    wait_until(lambda: server.meter.reads == 10, 30, "the whole collection")
    numbers.document("d0").delete()
    wait_until(lambda: len(watched.snapshots[-1]) == 9, 30, "the change after that")
    watch.unsubscribe()


def test_a_listener_sorts_ascending_whatever_the_query_says(db: Any, numbers: Any) -> None:
    """A trap of client 2.34: it sorts again itself, and takes descending for ascending."""
    watched = Watched()
    watch = numbers.order_by("n", direction="DESCENDING").limit(3).on_snapshot(watched)
    wait_until(lambda: len(watched.snapshots) == 1, 30, "the first snapshot")
    watch.unsubscribe()

    assert watched.snapshots == [["d7", "d8", "d9"]]


def test_a_listener_that_hangs_up_leaves_nothing_behind(server: FirestoreServer, db: Any) -> None:
    """Each open listener keeps a thread of the server."""
    watch = db.collection("parts").on_snapshot(Watched())
    wait_until(lambda: server.n_listeners == 1, 30, "the listener")
    watch.unsubscribe()
    wait_until(lambda: server.n_listeners == 0, 30, "its end")


# The bill


def test_each_returned_document_is_one_read(server: FirestoreServer, numbers: Any) -> None:
    """The price of a poll is its new rows."""
    with server.meter.measured() as used:
        numbers.order_by("n").limit(4).get()

    assert used.reads == 4


def test_a_query_without_results_costs_one_read(server: FirestoreServer, numbers: Any) -> None:
    """A poll of an unchanged collection costs one read, never none."""
    with server.meter.measured() as used:
        numbers.where(filter=where("n", ">", 100)).get()

    assert used.reads == 1


def test_documents_skipped_by_an_offset_are_billed(server: FirestoreServer, numbers: Any) -> None:
    """Why paging by offset is never used."""
    with server.meter.measured() as used:
        numbers.order_by("n").offset(6).limit(2).get()
        numbers.order_by("n").offset(20).get()

    assert used.reads == (6 + 2) + 10


def test_an_aggregation_costs_one_read_for_each_started_thousand(
    server: FirestoreServer, db: Any
) -> None:
    """Counting a day is cheap, and counting nothing still costs one."""
    big = db.collection("big")
    for start in range(0, 2001, 500):
        batch = db.batch()
        for n in range(start, min(start + 500, 2001)):
            batch.set(big.document(), {"n": n})
        batch.commit()

    def reads_of(query: Any) -> int:
        with server.meter.measured() as used:
            query.get()
        return used.reads

    assert reads_of(big.count()) == 3
    assert reads_of(big.limit(1000).count()) == 1
    assert reads_of(big.limit(1001).sum("n").avg("n")) == 2
    assert reads_of(db.collection("nothing").count()) == 1


def test_lookups_cost_one_read_each_found_or_not(server: FirestoreServer, db: Any) -> None:
    """A missing document was looked for, and that is what is paid."""
    db.document("parts/a").set({"n": 1})

    with server.meter.measured() as used:
        found = list(db.get_all([db.document("parts/a"), db.document("parts/missing")]))
        db.document("parts/missing").get()

    assert sorted(snapshot.exists for snapshot in found) == [False, True]
    assert used.reads == 3


def test_writes_and_deletes_are_counted_by_collection(server: FirestoreServer, db: Any) -> None:
    """The ledger of a source is checked against this breakdown."""
    db.document("parts/a").set({"n": 1})
    db.document("parts/a").set({"n": 1})
    db.document("shops/s/parts/b").set({"n": 1})
    db.document("other/x").delete()
    db.collection("other").get()

    usage = server.meter.by_collection

    assert (usage["parts"].writes, usage["parts"].reads) == (3, 0)
    assert (usage["other"].deletes, usage["other"].reads) == (1, 1)
    assert (server.meter.writes, server.meter.deletes, server.meter.reads) == (3, 1, 1)
    server.meter.reset()
    assert server.meter.by_collection == {}


def test_a_listener_pays_for_what_it_is_sent(server: FirestoreServer, numbers: Any) -> None:
    """Added, changed and pushed out cost one each; deleted costs nothing; empty costs one."""
    watched = Watched()
    query = numbers.where(filter=where("n", ">", 7)).order_by("n")
    with server.meter.measured() as used:
        watch = query.on_snapshot(watched)
        wait_until(lambda: len(watched.snapshots) == 1, 30, "the first snapshot")
    assert used.reads == 2

    with server.meter.measured() as used:
        numbers.document("d8").update({"n": 80})
        wait_until(lambda: len(watched.snapshots) == 2, 30, "the change")
        numbers.document("d8").update({"n": 0})
        wait_until(lambda: len(watched.snapshots) == 3, 30, "the removal")
        numbers.document("d9").delete()
        wait_until(lambda: len(watched.snapshots) == 4, 30, "the deletion")
    watch.unsubscribe()
    assert used.reads == 2

    with server.meter.measured() as used:
        empty = Watched()
        watch = query.on_snapshot(empty)
        wait_until(lambda: len(empty.snapshots) == 1, 30, "the empty snapshot")
    watch.unsubscribe()
    assert used.reads == 1


# Faults


def test_the_client_gets_over_a_short_outage_by_itself(
    server: FirestoreServer, numbers: Any
) -> None:
    """Two refusals are retried by default; our own back-off begins after that."""
    fault = server.faults.unavailable(times=2)

    assert len(numbers.get()) == 10
    assert fault.n_hits == 2


def test_an_outage_lasts_until_it_is_cleared(server: FirestoreServer, numbers: Any) -> None:
    """Every method is refused, and all is well at once afterwards."""
    requests: list[Callable[[], Any]] = [
        lambda: numbers.get(retry=NO_RETRY),
        lambda: numbers.count().get(retry=NO_RETRY),
        lambda: numbers.document("d1").get(retry=NO_RETRY),
        lambda: numbers.document("d1").set({"n": 1}, retry=NO_RETRY),
    ]
    with server.faults.unavailable():
        for request in requests:
            with pytest.raises(exceptions.ServiceUnavailable):
                request()

    assert len(numbers.get(retry=NO_RETRY)) == 10


def test_an_outage_can_last_for_a_while_by_the_servers_clock(
    server: FirestoreServer, numbers: Any, clock: FakeClock
) -> None:
    """With a fake clock the end of the outage is a line of the test, not a wait."""
    server.faults.unavailable(duration=timedelta(minutes=5))
    with pytest.raises(exceptions.ServiceUnavailable):
        numbers.get(retry=NO_RETRY)

    clock.advance(timedelta(minutes=5))

    assert len(numbers.get(retry=NO_RETRY)) == 10


def test_a_deadline_and_any_other_status_can_be_injected(
    server: FirestoreServer, numbers: Any
) -> None:
    """A missing index is answered with FAILED_PRECONDITION: stop and tell a person."""
    server.faults.deadline_exceeded(times=1)
    with pytest.raises(exceptions.DeadlineExceeded):
        numbers.get(retry=NO_RETRY)

    server.faults.fail(
        grpc.StatusCode.FAILED_PRECONDITION,
        "The query requires an index.",
        times=1,
        method="RunQuery",
    )
    assert numbers.document("d1").get().exists, "other methods are left alone"
    with pytest.raises(exceptions.FailedPrecondition, match="requires an index"):
        numbers.get(retry=NO_RETRY)


def test_a_stalled_server_runs_into_the_clients_timeout(
    server: FirestoreServer, numbers: Any
) -> None:
    """A database that accepts and never answers must not hang a daemon."""
    with server.faults.stall(), pytest.raises((exceptions.DeadlineExceeded, exceptions.RetryError)):
        numbers.get(timeout=0.2, retry=NO_RETRY)

    assert len(numbers.get()) == 10


def test_an_error_in_mid_stream_breaks_the_client_unless_retry_is_given(
    server: FirestoreServer, numbers: Any
) -> None:
    """A trap of client 2.34: with the default retry it raises AttributeError."""
    server.faults.break_stream(after_documents=3, times=3)

    with pytest.raises(AttributeError):
        numbers.order_by("n").get()
    with pytest.raises(exceptions.ServiceUnavailable):
        numbers.order_by("n").get(retry=NO_RETRY)
    assert ids(numbers.order_by("n").get(retry=FAST_RETRY)) == [f"d{n}" for n in range(10)]


def test_a_resumed_stream_forgets_how_much_of_its_limit_it_used(
    server: FirestoreServer, numbers: Any
) -> None:
    """A trap of client 2.34: a page can be longer than its limit, so a full page proves nothing."""
    server.faults.break_stream(after_documents=3)

    page = numbers.order_by("n").limit(4).get(retry=FAST_RETRY)

    assert ids(page) == ["d0", "d1", "d2", "d3", "d4", "d5", "d6"]


def test_a_broken_stream_bills_what_it_delivered(server: FirestoreServer, numbers: Any) -> None:
    """Three documents, then the remaining seven after the client resumed."""
    server.faults.break_stream(after_documents=3)

    with server.meter.measured() as used:
        numbers.order_by("n").get(retry=FAST_RETRY)

    assert used.reads == 10


def test_a_stream_can_end_early_without_an_error(server: FirestoreServer, numbers: Any) -> None:
    """A short page is no proof that there is nothing left, if the stream was cut."""
    server.faults.shorten_stream(after_documents=4)

    assert ids(numbers.order_by("n").limit(8).stream()) == ["d0", "d1", "d2", "d3"]
    assert len(ids(numbers.order_by("n").limit(8).stream())) == 8


def test_the_database_can_go_away_and_come_back_with_its_data(
    server: FirestoreServer, db: Any, numbers: Any
) -> None:
    """Same port, same documents, same client; listeners find their way back."""
    watched = Watched()
    watch = numbers.on_snapshot(watched)
    wait_until(lambda: len(watched.snapshots) == 1, 30, "the first snapshot")
    port = server.port

    server.stop()
    with pytest.raises(exceptions.ServiceUnavailable):
        numbers.get(retry=NO_RETRY)
    server.start()

    assert server.port == port
    assert len(numbers.get()) == 10
    numbers.document("new").set({"n": 10})
    wait_until(lambda: "new" in watched.snapshots[-1], 10, "the listener to come back")
    watch.unsubscribe()


def test_two_servers_never_share_a_port(server: FirestoreServer) -> None:
    """A forgotten server must not answer half of the requests."""
    with pytest.raises(OSError, match="in use"):
        FirestoreServer(port=server.port).start()


# As a process


def test_it_serves_as_a_process_until_it_is_told_to_stop() -> None:
    """Daemons in other processes are tested against this."""
    root = Path(__file__).parent.parent.parent.parent
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.firestore_server", "--project", "from-outside"],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        name, host = process.stdout.readline().strip().split("=")
        assert name == "FIRESTORE_EMULATOR_HOST"
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(os.environ, name, host)
            client: Any = firestore.Client(project="from-outside")
        client.document("parts/a").set({"n": 1})
        assert client.document("parts/a").get().get("n") == 1
        client.close()
        process.send_signal(signal.SIGTERM)
        bill, _ = process.communicate(timeout=60)
    finally:
        process.kill()

    assert process.returncode == 0
    assert json.loads(bill) == {"reads": 1, "writes": 1, "deletes": 0}


def test_nothing_is_left_running_after_a_server_was_closed() -> None:
    """Hundreds of tests start one each."""
    before = threading.active_count()
    with FirestoreServer() as server:
        client = server.client()
        client.document("parts/a").set({"n": 1})
        client.close()

    wait_until(lambda: threading.active_count() <= before, 30, "the server's threads to end")
    assert not server.is_serving
