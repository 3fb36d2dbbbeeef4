"""Elasticsearch's own traits: ties without an order, refreshes, mappings, patterns."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig, TlsError
from elasticsearch import ApiError, Elasticsearch, NotFoundError
from elasticsearch.helpers import bulk

from retrain_service.sources import open_source
from retrain_service.sources.base import Source
from retrain_service.sources.elasticsearch.errors import translate_errors
from shared.errors import SourceMisconfigured, SourceUnavailable
from shared.records import Cursor
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings
from tests.contracts.document_places import ElasticsearchPlace
from tests.support.elasticsearch import ElasticsearchServer

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
STAMP = "2026-03-01T09:30:00.000Z"


@pytest.fixture
def place(elasticsearch_server: ElasticsearchServer) -> Iterator[ElasticsearchPlace]:
    found = ElasticsearchPlace(elasticsearch_server)
    yield found
    found.close()


@pytest.fixture
def client(elasticsearch_server: ElasticsearchServer) -> Iterator[Elasticsearch]:
    with Elasticsearch(elasticsearch_server.url, max_retries=0) as found:
        yield found
        for index in ("shop-1", "shop-2", "other"):
            try:
                found.indices.delete(index=index)
            except NotFoundError:
                continue


def create(client: Elasticsearch, index: str, kind: str = "date", **settings: Any) -> None:
    client.indices.create(
        index=index,
        mappings={"properties": {"updated_at": {"type": kind}}},
        settings={f"index.{name}": value for name, value in settings.items()},
    )


def open_index(server: ElasticsearchServer, collection: str, lag_s: float = 0) -> Source:
    return open_source(
        SourceSettings(kind="elasticsearch", url=server.url, lag_s=lag_s, timeout_s=5),
        StreamSettings(collection=collection),
    )


def read_ids(source: Source, limit: int, cursor: Cursor = None) -> list[str]:
    found: list[str] = []
    while True:
        batch = source.read_after(cursor, limit)
        assert len(batch.records) <= limit
        found += [record.id for record in batch.records]
        if batch.is_last:
            return found
        assert batch.cursor != cursor, "a page that is not the last must lead on"
        cursor = json.loads(json.dumps(batch.cursor))


@pytest.mark.parametrize("limit", [1, 2, 5, 30, 200])
def test_a_bulk_of_equal_times_is_read_once_each_and_in_order(
    place: ElasticsearchPlace, limit: int
) -> None:
    """update_by_query gives a whole index one time, and the server no order that lasts."""
    ids = [f"t{i:03d}" for i in range(60)]
    shuffled = random.Random(7).sample(ids, len(ids))
    place.put_many({"before": AT - timedelta(seconds=1), "later": AT + timedelta(seconds=1)})
    place.put_many(dict.fromkeys(shuffled, AT))
    source = place.source()

    found = read_ids(source, limit)

    assert found == ["before", *ids, "later"]


def test_a_reader_that_starts_anew_inside_a_group_goes_on_there(place: ElasticsearchPlace) -> None:
    """Only the cursor survives a restart; no point in time does."""
    place.put_many({f"t{i:02d}": AT for i in range(20)})
    first = place.source().read_after(None, 7)

    rest = read_ids(place.source(), 7, first.cursor)

    assert [record.id for record in first.records] + rest == [f"t{i:02d}" for i in range(20)]


def test_a_group_that_shrinks_while_it_is_read_holds_nobody_up(place: ElasticsearchPlace) -> None:
    """A document that is changed meanwhile has moved to a later time, and comes from there."""
    place.put_many({f"t{i:02d}": AT for i in range(12)})
    source = place.source()
    first = source.read_after(None, 5)
    for i in range(5, 12):
        place.put(f"t{i:02d}", AT + timedelta(minutes=1))

    rest = read_ids(source, 5, first.cursor)

    assert sorted(rest) == [f"t{i:02d}" for i in range(5, 12)]


def test_a_second_look_at_a_group_lists_it_anew(place: ElasticsearchPlace) -> None:
    """It is there to find what came late; what was remembered of the group does not have that."""
    place.put_many({f"t{i:02d}": AT for i in range(12)})
    source = place.source()
    source.read_after(None, 5)
    place.put("late", AT)

    found = read_ids(source, 5, source.cursor_at(AT))

    assert found == ["late", *(f"t{i:02d}" for i in range(12))]


def test_a_search_of_an_unchanged_index_is_one_request(place: ElasticsearchPlace) -> None:
    """A poll every few seconds for months should cost next to nothing."""
    place.put_many({f"t{i:02d}": AT for i in range(3)})
    source = place.source()
    cursor = source.read_after(None, 5).cursor
    asked: list[str] = []
    transport = source._client.transport  # type: ignore[attr-defined]
    perform = transport.perform_request

    def listen(method: str, target: str, **options: Any) -> Any:
        asked.append(target)
        return perform(method, target, **options)

    transport.perform_request = listen

    batch = source.read_after(cursor, 5)

    assert (batch.records, batch.cursor, batch.is_last) == ((), cursor, True)
    assert len(asked) == 1


def test_documents_are_left_until_a_refresh_must_have_shown_them(
    client: Elasticsearch, elasticsearch_server: ElasticsearchServer
) -> None:
    """What is written but not refreshed is invisible; a cursor that runs ahead would lose it."""
    create(client, "shop-1", refresh_interval="20m")
    now = datetime.now(UTC)
    for id_, age in (("old", timedelta(hours=1)), ("young", timedelta(minutes=10))):
        client.index(
            index="shop-1", id=id_, document={"updated_at": (now - age).isoformat()}, refresh=True
        )

    found = read_ids(open_index(elasticsearch_server, "shop-1"), 5)

    assert found == ["old"]


def test_an_index_that_never_refreshes_is_refused(
    client: Elasticsearch, elasticsearch_server: ElasticsearchServer
) -> None:
    """Its documents become visible at no known time."""
    create(client, "shop-1", refresh_interval="-1")

    with pytest.raises(SourceMisconfigured, match="refresh_interval"):
        open_index(elasticsearch_server, "shop-1").read_after(None, 5)


@pytest.mark.parametrize("kind", ["keyword", "long", "text"])
def test_a_time_field_that_is_no_date_is_refused(
    client: Elasticsearch, elasticsearch_server: ElasticsearchServer, kind: str
) -> None:
    """It could be sorted by, but not compared with the server's time."""
    create(client, "shop-1", kind)

    with pytest.raises(SourceMisconfigured, match=f"mapped as {kind}"):
        open_index(elasticsearch_server, "shop-1").read_after(None, 5)


def test_a_missing_mapping_is_legal_only_without_documents(
    client: Elasticsearch, elasticsearch_server: ElasticsearchServer
) -> None:
    """A new index has no fields yet; a mistyped setting has none for ever."""
    client.indices.create(index="shop-1")
    source = open_index(elasticsearch_server, "shop-1")

    empty = source.read_after(None, 5)
    client.index(index="shop-1", document={"changed": STAMP}, refresh=True)

    assert (empty.records, empty.is_last) == ((), True)
    with pytest.raises(SourceMisconfigured, match="updated_at"):
        source.read_after(None, 5)


def test_a_pattern_reads_all_its_indices_and_keeps_equal_ids_apart(
    client: Elasticsearch, elasticsearch_server: ElasticsearchServer
) -> None:
    """Two shops may both have a product 1."""
    for index in ("shop-1", "shop-2"):
        create(client, index)
        client.index(index=index, id="1", document={"updated_at": STAMP}, refresh=True)
    client.indices.create(index="other")
    source = open_index(elasticsearch_server, "shop-*")

    assert read_ids(source, 1) == ["shop-1/1", "shop-2/1"]
    assert source.missing(["shop-1/1", "shop-2/2"]).ids == {"shop-2/2"}
    assert source.ids_of_day(AT.date()).ids == {"shop-1/1", "shop-2/1"}


def test_more_than_one_search_can_hold_is_listed_whole(place: ElasticsearchPlace) -> None:
    """10,000 hits are the most of one search: days are compared by all their ids."""
    with place.client() as client:
        actions = (
            {"_index": place.index, "_id": f"n{i}", "_source": {"updated_at": STAMP}}
            for i in range(10_050)
        )
        bulk(client, actions, chunk_size=5_000, refresh=True)
    source = place.source()

    assert source.count_by_day([AT.date()]).by_day == {AT.date(): 10_050}
    assert len(source.ids_of_day(AT.date()).ids) == 10_050
    assert len(source.read_after({"at": STAMP, "id": "n998"}, 5_000).records) == 21


def test_the_time_is_what_the_index_sorts_by(place: ElasticsearchPlace) -> None:
    """A document may hold any text that the mapping takes; the cursor must follow the index."""
    with place.client() as client:
        document = {"updated_at": "2026-03-01T11:30:00.000+02:00", "n": 2**53}
        client.index(index=place.index, id="1", document=document, refresh=True)

    (record,) = place.source().read_after(None, 5).records

    assert record.updated_at == AT
    assert record.fields == document


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (429, SourceUnavailable),
        (503, SourceUnavailable),
        (401, SourceMisconfigured),
        (403, SourceMisconfigured),
        (400, SourceMisconfigured),
        (TlsError("self-signed certificate"), SourceMisconfigured),
    ],
    ids=repr,
)
def test_errors_are_told_apart_by_what_helps(error: int | Exception, kind: type[Exception]) -> None:
    """An overloaded node passes; a key without rights does not."""
    if isinstance(error, int):
        node = NodeConfig("http", "host", 9200)
        meta = ApiResponseMeta(error, "1.1", HttpHeaders(), 0.1, node)
        cause = {"type": "some_exception", "reason": "because of that"}
        error = ApiError("some_exception", meta, {"error": {"root_cause": [cause]}})

    with (
        pytest.raises(kind, match="host:9200/appointments"),
        translate_errors("Elasticsearch host:9200/appointments", 1),
    ):
        raise error


def test_the_key_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, elasticsearch_server: ElasticsearchServer
) -> None:
    """Keys have no place in a file that is checked in."""
    settings = SourceSettings(
        kind="elasticsearch", url=elasticsearch_server.url, api_key_env="SHOP_KEY"
    )
    stream = StreamSettings(collection="nowhere")

    with pytest.raises(SourceMisconfigured, match="SHOP_KEY"):
        open_source(settings, stream)
    monkeypatch.setenv("SHOP_KEY", "topsecret")
    source = open_source(settings, stream)
    with pytest.raises(SourceMisconfigured, match="no such index") as refused:
        source.read_after(None, 5)
    source.close()

    assert "topsecret" not in str(refused.value) + source.origin
