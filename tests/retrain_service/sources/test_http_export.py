"""The HTTP export's own traits: compared whole, or by `since`; pages, ETags, and broken answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from retrain_service.buffer.ingest import StreamIngestor
from retrain_service.buffer.store import Buffer
from retrain_service.sources import open_source
from retrain_service.sources.base import Source
from retrain_service.sources.http_export.export_diff import DAY_US, ExportWindow
from retrain_service.sources.http_export.rows import rows_of
from shared.documents.time_policy import TimePolicy
from shared.errors import SourceMisconfigured, SourceUnavailable
from shared.records import Cursor, to_epoch_us
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings
from tests.support.export_server import ExportServer
from tests.support.waiting import wait_until

NOW = datetime.now(UTC).replace(microsecond=0)
Shop = ExportServer


@pytest.fixture
def shop(export_server: ExportServer) -> Iterator[ExportServer]:
    for n in range(1, 8):
        put(export_server, n, price=n, updated_at=(NOW - timedelta(hours=20 - n)).isoformat())
    yield export_server
    for source in OPENED:
        source.close()
    OPENED.clear()


OPENED: list[Source] = []


def put(shop: ExportServer, id_: int, **fields: Any) -> None:
    shop.lists["products"][str(id_)] = {"id": id_, **fields}


def open_shop(shop: ExportServer, stream: dict[str, Any] | None = None, **settings: Any) -> Source:
    defaults: dict[str, Any] = {"url": shop.url, "lag_s": 0, "timeout_s": 5}
    source = open_source(
        SourceSettings(kind="http_export", **(defaults | settings)),
        StreamSettings(**({"collection": "products"} | (stream or {}))),
    )
    OPENED.append(source)
    return source


def read(source: Source, cursor: Cursor = None, limit: int = 50) -> tuple[list[Any], Cursor]:
    """What came, as ids, with a minus for deletions; and the cursor, as the buffer keeps it."""
    found: list[str] = []
    while True:
        batch = source.read_after(cursor, limit)
        found += ["-" * record.is_deleted + record.id for record in batch.records]
        cursor = json.loads(json.dumps(batch.cursor))
        if batch.is_last:
            return found, cursor


ALL = ["1", "2", "3", "4", "5", "6", "7"]


# -- whole exports ---------------------------------------------------------------------------------


def test_only_what_is_new_changed_or_gone_comes_again(shop: Shop) -> None:
    """An export has everything each time; a model must not retrain on what it knows."""
    source = open_shop(shop)
    first, cursor = read(source)
    put(shop, 8, price=1, updated_at=(NOW - timedelta(days=3)).isoformat())  # committed late
    shop.lists["products"]["2"]["price"] = 99  # and its updated_at forgotten
    del shop.lists["products"]["5"]

    second, cursor = read(source, cursor)
    third, _ = read(source, cursor)

    assert first == ALL
    assert sorted(second) == ["-5", "2", "8"]
    assert third == []


def test_the_comparison_survives_a_restart(shop: Shop) -> None:
    """All of it is in the cursor: a new process knows what the old one had seen."""
    _, cursor = read(open_shop(shop))
    shop.lists["products"]["2"]["price"] = 99

    found, _ = read(open_shop(shop), cursor)

    assert found == ["2"]


def test_a_record_without_a_time_is_dated_by_the_change_of_its_content(shop: Shop) -> None:
    """Otherwise it could not be ordered, windowed or told from an older version of itself."""
    put(shop, 9, price=1)
    source = open_shop(shop)
    first = source.read_after(None, 50)
    again = open_shop(shop).read_after(first.cursor, 50)
    put(shop, 9, price=2)
    changed = open_shop(shop).read_after(json.loads(json.dumps(first.cursor)), 50)

    dated = next(record for record in first.records if record.id == "9")

    assert abs((dated.updated_at - datetime.now(UTC)).total_seconds()) < 10
    assert again.records == ()
    assert [record.id for record in changed.records] == ["9"]
    assert changed.records[0].updated_at >= dated.updated_at


def test_an_undated_record_keeps_its_time_in_the_daily_second_look(shop: Shop) -> None:
    """A time that moved with every look would make it a changed record every day."""
    put(shop, 9, price=1)
    source = open_shop(shop)
    first = source.read_after(None, 50)
    look = source.read_after(source.cursor_at(NOW - timedelta(hours=1)), 50)

    dated = next(record for record in first.records if record.id == "9")

    assert look.records == (dated,)
    assert source.count_by_day([dated.updated_at.date()]).by_day[dated.updated_at.date()] >= 1


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_a_reading_goes_on_in_another_process(shop: Shop, limit: int) -> None:
    """The daemon is restarted in the middle of the first load."""
    batch = open_shop(shop).read_after(None, limit)
    rest, _ = read(open_shop(shop), json.loads(json.dumps(batch.cursor)), limit)

    assert [record.id for record in batch.records] + rest == ALL


def test_an_export_that_changed_in_between_is_begun_again(shop: Shop) -> None:
    """Pages of two exports put together would lose what changed in the part that was read."""
    batch = open_shop(shop).read_after(None, 3)
    shop.lists["products"]["1"]["price"] = 99

    rest, cursor = read(open_shop(shop), json.loads(json.dumps(batch.cursor)), 3)

    assert rest == ALL
    assert read(open_shop(shop), cursor)[0] == []


def test_what_is_in_memory_is_not_fetched_again_for_the_next_page(shop: Shop) -> None:
    """Twenty megabytes for each five hundred records would be gigabytes for one load."""
    read(open_shop(shop), limit=2)

    assert shop.n_bodies == 1


def test_an_unchanged_export_is_not_sent_again(shop: Shop) -> None:
    """A poll each half minute of an export that changes once a day."""
    source = open_shop(shop)
    _, cursor = read(source)
    n_bodies = shop.n_bodies

    found = [read(source, cursor) for _ in range(3)]

    assert found == [([], cursor)] * 3
    assert shop.n_bodies == n_bodies


def test_a_record_too_young_is_not_hidden_by_the_etag(shop: Shop) -> None:
    """The same bytes have news when the lag is over."""
    put(shop, 8, price=1, updated_at=(datetime.now(UTC) + timedelta(seconds=1)).isoformat())
    source = open_shop(shop)
    first, cursor = read(source)

    late = wait_until(lambda: read(source, cursor)[0], 30, "the young record to be old enough")

    assert (first, late) == (ALL, ["8"])


def test_a_known_record_with_a_change_too_young_is_still_known(shop: Shop) -> None:
    """Forgotten, it could be deleted meanwhile without anybody telling the buffer."""
    source = open_shop(shop)
    _, cursor = read(source)
    put(shop, 3, price=99, updated_at=(NOW + timedelta(days=300)).isoformat())
    put(shop, 8, price=1, updated_at=(NOW - timedelta(hours=1)).isoformat())

    second, cursor = read(source, cursor)
    del shop.lists["products"]["3"]
    third, _ = read(source, cursor)

    assert (second, third) == (["8"], ["-3"])


# -- the window ------------------------------------------------------------------------------------


def test_what_the_window_has_moved_past_is_not_deleted() -> None:
    """An interaction of 91 days ago left the export of 90 days because it is old."""
    yesterday, today = 1000 * DAY_US, 1001 * DAY_US
    window = ExportWindow(today, window_days=90)

    assert window.has_expired(910 * DAY_US + 5, yesterday)
    assert not window.has_expired(950 * DAY_US, yesterday)
    assert not window.has_expired(500 * DAY_US, yesterday), "it was there without a window"
    assert not ExportWindow(today).has_expired(910 * DAY_US, yesterday)


def test_deletions_are_not_looked_for_in_days_that_the_export_does_not_cover(shop: Shop) -> None:
    """All that is older than the export would be taken for deleted."""
    with pytest.raises(SourceMisconfigured, match="90 days"):
        open_shop(shop, reconcile_days=120)


# -- since -----------------------------------------------------------------------------------------


def test_since_is_used_where_the_endpoint_says_so(shop: Shop) -> None:
    """What changed is a few records; the export is all of them."""
    shop.can.since = True
    source = open_shop(shop)
    first, cursor = read(source, limit=3)
    put(shop, 3, price=99, updated_at=(NOW - timedelta(minutes=1)).isoformat())
    del shop.lists["products"]["4"]

    second, cursor = read(open_shop(shop), cursor)
    third, _ = read(open_shop(shop), cursor)

    assert (first, second, third) == (ALL, ["3"], [])
    assert "since=" not in shop.requests[0]
    assert "since=" in shop.requests[-1]
    assert len(json.dumps(cursor)) < 100
    assert source.missing(["4", "5"]).ids == {"4"}


def test_a_back_end_that_forgot_since_is_read_whole_and_deletes_nothing(shop: Shop) -> None:
    """An answer to `since` that is taken for the whole export would delete all the rest."""
    shop.can.since = True
    _, cursor = read(open_shop(shop))
    shop.can.since = False
    put(shop, 3, price=99, updated_at=(NOW - timedelta(minutes=1)).isoformat())

    found, _ = read(open_shop(shop), cursor)

    assert found == ["3"]


def test_an_answer_to_since_that_may_be_a_part_is_not_compared_with(shop: Shop) -> None:
    """It filters, but says so no more: taken for the whole, all the rest would be new again."""
    shop.can.since = True
    _, cursor = read(open_shop(shop))
    shop.can.says_since = False
    put(shop, 3, price=99, updated_at=(NOW - timedelta(minutes=1)).isoformat())

    second, cursor = read(open_shop(shop), cursor)
    third, _ = read(open_shop(shop), cursor)

    assert (second, third) == (["3"], [])


# -- pages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("paging", ["next", "relative", "page", "offset"])
def test_pages_are_put_together(shop: Shop, paging: Any) -> None:
    """Half an export, taken for a whole one, deletes the other half."""
    shop.can.paging = paging
    source = open_shop(shop)

    found, cursor = read(source)
    again, _ = read(source, cursor)

    assert (found, again) == (ALL, [])
    assert len(shop.requests) == 6
    assert all("days=90" in request for request in shop.requests)


def test_the_key_is_sent_to_no_other_host(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The `next` link names http://internal:8000; what is there is not ours to ask."""
    monkeypatch.setenv("SHOP_KEY", "topsecret")
    shop.can.paging, shop.can.api_key = "next", "topsecret"

    found, _ = read(open_shop(shop, api_key_env="SHOP_KEY"))

    assert found == ALL


def test_pages_that_lead_round_in_a_circle_are_refused(shop: Shop) -> None:
    """An endless export would hold the loop for ever."""
    shop.faults.body = json.dumps({"products": [], "next": shop.url}).encode()

    with pytest.raises(SourceMisconfigured, match="circle"):
        read(open_shop(shop))


# -- answers that are none -------------------------------------------------------------------------


@pytest.mark.parametrize("says_its_length", [True, False])
def test_half_an_answer_is_no_export(shop: Shop, says_its_length: bool) -> None:
    """A proxy that gives up in the middle must not delete the second half."""
    source = open_shop(shop)
    _, cursor = read(source)
    shop.can.etag = False
    shop.faults.cut_off_at, shop.faults.says_its_length = 200, says_its_length

    with pytest.raises(SourceUnavailable):
        read(source, cursor)
    shop.faults.cut_off_at, shop.faults.says_its_length = None, True

    assert read(source, cursor)[0] == []


def test_a_slow_answer_is_given_up(shop: Shop) -> None:
    """The limit is for the whole of it, not for each byte."""
    shop.faults.delay_s = 30

    with pytest.raises(SourceUnavailable, match=r"within 0\.3 s"):
        read(open_shop(shop, timeout_s=0.3))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_overload_is_waited_out(shop: Shop, status: int) -> None:
    """A back end that restarts is no mistake of the configuration."""
    shop.faults.status = status

    with pytest.raises(SourceUnavailable, match=str(status)):
        read(open_shop(shop))


def test_retry_after_is_obeyed(shop: Shop) -> None:
    """Who asks again at once is asked to wait longer, or is locked out."""
    shop.faults.status, shop.faults.headers = 429, {"Retry-After": "300"}
    source = open_shop(shop)
    with pytest.raises(SourceUnavailable, match="300 s"):
        read(source)
    shop.faults.status = 0

    with pytest.raises(SourceUnavailable, match="wait"):
        read(source)

    assert len(shop.requests) == 1


@pytest.mark.parametrize(
    ("after", "sentence"),
    [
        ("Sat, 21 Nov 2099 08:00:00 -0000", "again in 3600 s"),
        ("Sat, 21 Nov 2099 08:00:00", "again in 3600 s"),
        ("Sat, 99 Nov 2099 08:00:00 GMT", "answered 503."),
        ("nan", "answered 503."),
    ],
)
def test_a_retry_after_that_names_a_date_needs_no_zone(
    shop: Shop, after: str, sentence: str
) -> None:
    """HTTP's dates are UTC; one that does not say so, or is none, ended the reading."""
    shop.faults.status, shop.faults.headers = 503, {"Retry-After": after}

    with pytest.raises(SourceUnavailable, match=sentence):
        read(open_shop(shop))


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (401, b"no", "api_key_env"),
        (403, b"no", "may not read"),
        (404, b"no", "nothing at this address"),
        (0, b"<html>Please log in</html>", "expected JSON, found text/html"),
        (0, b"[]", "found a list"),
        (0, b'{"items": [], "users": []}', "its lists are: items, users"),
        (0, b'{"products": [{"sku": 1, "name": "x"}]}', "the fields are: sku, name"),
    ],
)
def test_a_wrong_answer_asks_for_a_person(
    shop: Shop, status: int, body: bytes, sentence: str
) -> None:
    """The sentence names what was expected and what is there."""
    shop.faults.status, shop.faults.body = status, body

    with pytest.raises(SourceMisconfigured, match=sentence):
        read(open_shop(shop))


def test_a_redirect_is_told_not_followed(shop: Shop) -> None:
    """Following it would carry the key to wherever it points."""
    shop.faults.status, shop.faults.headers = 301, {"Location": "https://elsewhere/x"}

    with pytest.raises(SourceMisconfigured, match="https://elsewhere/x"):
        read(open_shop(shop))


def test_a_key_that_is_named_must_be_set(shop: Shop) -> None:
    """Without it the answer would be 401, which says less."""
    with pytest.raises(SourceMisconfigured, match="SHOP_KEY_NOT_SET"):
        open_shop(shop, api_key_env="SHOP_KEY_NOT_SET")


# -- with the buffer -------------------------------------------------------------------------------


def test_the_buffer_follows_the_export(shop: Shop, tmp_path: Path) -> None:
    """Source, cursor, buffer and loop together: counted once, deleted when gone."""
    put(shop, 9, price=1)
    buffer = Buffer(tmp_path / "m.duckdb", NOW)
    ingestor = StreamIngestor(
        stream="products",
        source_name="shop",
        settings=SourceSettings(
            kind="http_export", url=shop.url, lag_s=0, page_size=3, poll_interval_s=1
        ),
        stream_settings=StreamSettings(collection="products"),
        buffer=buffer,
        reject_reason=lambda _fields: None,
    )

    def poll_all(now: datetime) -> tuple[int, int, int]:
        n_new = n_changed = n_deleted = 0
        while True:
            result = ingestor.poll(now)
            n_new += result.applied.n_new
            n_changed += result.applied.n_changed
            n_deleted += result.applied.n_deleted
            if not result.has_more:
                return n_new, n_changed, n_deleted

    first = poll_all(NOW)
    del shop.lists["products"]["4"]
    shop.lists["products"]["9"]["price"] = 2
    second = poll_all(NOW + timedelta(seconds=5))
    day_after = poll_all(NOW + timedelta(days=1, seconds=10))

    assert (first, second) == ((8, 0, 0), (0, 1, 1))
    assert day_after == (0, 0, 1), "the tombstone itself is tidied away"
    assert buffer.statistics()["products"].n_usable == 7
    ingestor.close()
    buffer.close()


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("2026-03-01T09:30:00Z", "2026-03-01T09:30:00+00:00"),
        ("2026-03-01 10:30:00+01:00", "2026-03-01T09:30:00+00:00"),
        ("2026-03-01T09:30:00.25", "2026-03-01T09:30:00.250000+00:00"),
        (1772357400, "2026-03-01T09:30:00+00:00"),
        (1772357400000, "2026-03-01T09:30:00+00:00"),
        (1772357400.5, "2026-03-01T09:30:00.500000+00:00"),
        ("soon", None),
        (True, None),
        (None, None),
    ],
)
def test_times_are_read_as_back_ends_write_them(value: Any, at: str | None) -> None:
    """Without a zone it is UTC; what is no time counts as none."""
    (row,) = rows_of([{"id": 7.0, "at": value}], ["id"], "at", TimePolicy()).values()

    assert row.id == "7"
    assert row.at_us == (None if at is None else to_epoch_us(datetime.fromisoformat(at)))


def test_a_time_of_another_form_and_zone_is_read_as_it_is_configured(shop: Shop) -> None:
    """A back end of one country writes its own clock, in its own order."""
    put(shop, 9, seen="26.11.2025 10:00")
    stream = {
        "updated_at_field": "seen", "updated_at_format": "%d.%m.%Y %H:%M",
        "time_zone": "Europe/Berlin",
    }  # fmt: skip

    found = open_shop(shop, stream).read_after(None, 50).records

    at = {record.id: record.updated_at for record in found}["9"]
    assert at == datetime(2025, 11, 26, 9, 0, tzinfo=UTC)
