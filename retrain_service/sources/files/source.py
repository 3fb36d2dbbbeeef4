"""Files as a source: CSV, Parquet and JSON lines, one file or a folder that is watched.

**What counts** is what the files hold now. A row that is new or has changed is told, wherever its
file lies and however old its time is; a row that no file has any more is deleted. A file that grows
is read from its old end on, and its last record when it is complete.

**Time.** A row without a time in `updated_at` has that of its file, when its content was first
seen, and keeps it until its content changes. Rows later than the clock less the lag wait.

**Deletes** are told while the rows are few enough to be named in the cursor, and as long as the
process lives; of more rows after a restart, the daily comparison finds them. None is told while a
file is being written anew, and none when all files are gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

import msgspec

from retrain_service.sources.base import DayCounts, IdSet, Inspection, Source
from retrain_service.sources.files.contents import FileOptions
from retrain_service.sources.files.listing import FoundFile, find_files
from retrain_service.sources.files.loading import Loader
from retrain_service.sources.files.mirror import Mirror, News
from retrain_service.sources.json_values import is_set
from shared.documents.time_policy import TimePolicy
from shared.errors import SourceUnavailable
from shared.records import Batch, Cursor, Record, from_epoch_us, to_epoch_us
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings

MOST_NAMED = 50_000
"""Rows of a stream whose ids and digests are kept in the cursor, some 50 bytes each."""

_BEFORE_ALL = -(2**62)
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class FilesSource(Source):
    """One stream of files.

    Cursor, by its keys:
    {"files", "until_us", "known"}: all was told; file -> [records, bytes, digest], up to which
    time, and id -> [digest, time] of each row, or null where they are too many.
    {"base", "look", "until_us", "at_us", "id"}: in the middle of what is new since "base".
    {"at_us"}: from that time on.
    """

    def __init__(
        self, settings: SourceSettings, stream: StreamSettings, clock: Callable[[], datetime]
    ) -> None:
        """Nothing is opened before the first read."""
        self._root = _path(settings.url)
        self._stream, self._clock = stream, clock
        self._lag_us = round(settings.lag_s * 1_000_000)
        self._options = FileOptions(settings.encoding, settings.delimiter)
        self._policy = TimePolicy(
            time_zone=ZoneInfo(stream.time_zone or settings.time_zone or "UTC"),
            format=stream.updated_at_format,
            first_year=1971,
        )
        self._budget_s = settings.timeout_s / 2
        self._mirror: Mirror | None = None
        self._loader: Loader | None = None
        self._work: Iterator[None] | None = None
        self._found: list[FoundFile] = []
        self._news: tuple[Cursor, str, int, bool] | None = None
        self._final: Cursor = None

    @property
    def origin(self) -> str:
        fields = f"{','.join(self._stream.id_fields)},{self._stream.updated_at_field}"
        return f"files:{self._root.absolute().as_posix()}/{self._stream.collection}({fields})"

    def close(self) -> None:
        mirror, self._mirror = self._mirror, None
        self._loader, self._work, self._news = None, None, None
        if mirror is not None:
            mirror.close()

    # -- reading ---------------------------------------------------------------------------------

    def read_after(self, cursor: Cursor, limit: int) -> Batch:
        if cursor is not None and cursor == self._final and self._mirror is not None:
            self._mirror.forget_gone()  # who comes with this cursor has stored that they are gone
            self._final = None
        loaded = self._refresh()
        if loaded is None:
            return Batch((), cursor, is_last=False)  # the next call goes on
        mirror, loader = loaded
        now_us = to_epoch_us(self._clock())
        look = _digest({name: each.version for name, each in loader.files.items()})
        base, until_us, after = cursor, now_us - self._lag_us, (_BEFORE_ALL, "")
        if cursor is not None and "look" in cursor:
            base = cursor["base"]
            if cursor["look"] == look:
                until_us, after = cursor["until_us"], (cursor["at_us"], cursor["id"])
        with_gone = loader.unsettled(self._found, now_us) is None
        wanted = (base, look, until_us, with_gone)
        if self._news != wanted and not self._find(mirror, loader, wanted):
            return Batch((), cursor, is_last=True)
        page = mirror.page(*after, limit + 1)
        if not page:
            return Batch((), cursor, is_last=True)
        records = tuple(self._record(each) for each in page[:limit])
        if len(page) > limit:
            last = page[limit - 1]
            place = {"at_us": last.at_us, "id": last.id}
            between = {"base": base, "look": look, "until_us": until_us, **place}
            return Batch(records, between, is_last=False)
        self._final = self._told(mirror, loader, wanted)
        return Batch(records, self._final, is_last=len(page) < limit)

    def cursor_at(self, at: datetime) -> Cursor:
        return {"at_us": to_epoch_us(at)}

    def count_by_day(self, days: Sequence[date]) -> DayCounts:
        mirror = self._whole()
        return DayCounts({day: mirror.count_between(*_bounds(day)) for day in days})

    def ids_of_day(self, day: date) -> IdSet:
        return IdSet(frozenset(self._whole().ids_between(*_bounds(day))))

    def missing(self, ids: Collection[str]) -> IdSet:
        return IdSet(frozenset(self._whole().missing(ids)))

    def inspect(self, n_sample: int = 0) -> Inspection:
        loaded = self._refresh()
        if loaded is None:
            raise SourceUnavailable(f"{self._root}: still reading {len(self._found)} files.")
        n_rows, n_without = loaded[0].counts()
        sample = tuple(self._record(each) for each in loaded[0].newest(n_sample))
        newest = sample[0].updated_at if sample else None
        return Inspection(n_rows, n_without, newest, sample, ids=loaded[0].told_apart())

    # -- files -----------------------------------------------------------------------------------

    def _refresh(self) -> tuple[Mirror, Loader] | None:
        """The mirror as the files are now; None when the time did not do to read them all."""
        if self._mirror is None or self._loader is None:
            self._mirror = Mirror()
            self._loader = Loader(
                self._mirror,
                self._options,
                id_fields=self._stream.id_fields,
                updated_at_field=self._stream.updated_at_field,
                policy=self._policy,
                rest_us=self._lag_us,
            )
        now_us = to_epoch_us(self._clock())
        if self._work is None:
            self._found = find_files(self._root, self._stream.collection)
            if self._loader.is_current(self._found, now_us):
                return self._mirror, self._loader
            self._work = self._loader.load(self._found, now_us)
        deadline_s = time.monotonic() + self._budget_s
        try:
            for _ in self._work:
                if time.monotonic() > deadline_s:
                    return None
        except Exception:
            self.close()  # half a file is in the mirror
            raise
        self._work = None
        return self._mirror, self._loader

    def _whole(self) -> Mirror:
        """The mirror, for questions about what is not there.

        Raises:
            SourceUnavailable: a file is being read or written.
        """
        loaded = self._refresh()
        if loaded is None:
            raise SourceUnavailable(f"{self._root}: still reading {len(self._found)} files.")
        mirror, loader = loaded
        name = loader.unsettled(self._found, to_epoch_us(self._clock()))
        if name is not None:
            raise SourceUnavailable(f"{self._root}: {name} is being written.")
        return mirror

    # -- news ------------------------------------------------------------------------------------

    def _find(self, mirror: Mirror, loader: Loader, wanted: tuple[Cursor, str, int, bool]) -> bool:
        """Collect what is new since a complete cursor; False when there is nothing."""
        base, _, until_us, with_gone = wanted
        self._news = None
        parts: dict[str, int] = {}
        since_us, known = _BEFORE_ALL, None
        if base is not None and "files" in base:
            parts, since_us, known = (
                self._new_parts(loader, base["files"]),
                base["until_us"],
                base["known"],
            )
            if (
                not parts
                and base["files"].keys() <= loader.files.keys()
                and not mirror.count_between(since_us + 1, until_us + 1)
                and not mirror.has_gone()
                and (known is None or len(known) == mirror.count_between(_BEFORE_ALL, since_us + 1))
            ):
                return False
        elif base is not None:
            since_us = base["at_us"] - 1
        n_news = mirror.find_news(
            parts=parts, since_us=since_us, until_us=until_us, known=known, with_gone=with_gone
        )
        self._news = wanted
        return n_news > 0

    def _new_parts(self, loader: Loader, told: dict[str, list[Any]]) -> dict[str, int]:
        """File -> how many of its records were told, for each that has others or more."""
        parts: dict[str, int] = {}
        for found in self._found:
            loaded = loader.files.get(found.name)
            if loaded is None:
                continue
            n_records, end, version = told.get(found.name, [0, 0, ""])
            if version == loaded.version:
                continue
            has_grown = found.grows and loader.begins_with(found, end, version)
            parts[found.name] = n_records if has_grown else 0
        return parts

    def _told(
        self, mirror: Mirror, loader: Loader, wanted: tuple[Cursor, str, int, bool]
    ) -> Cursor:
        base, _, until_us, with_gone = wanted
        known = mirror.told(until_us, MOST_NAMED)
        if known is not None and not with_gone and base is not None and base.get("known"):
            known = {**base["known"], **known}  # what may be gone is still to be told
        return {
            "files": {
                name: [each.place.n_records, each.place.end, each.version]
                for name, each in loader.files.items()
            },
            "until_us": until_us,
            "known": known,
        }

    def _record(self, news: News) -> Record:
        at = from_epoch_us(news.at_us)
        fields = {} if news.body is None else _decode(news.body)
        deleted_field = self._stream.deleted_field
        is_gone = news.body is None or (deleted_field and is_set(fields.get(deleted_field)))
        return Record(news.id, at, {} if is_gone else fields, is_deleted=bool(is_gone))


def _path(url: str) -> Path:
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else Path(url)


def _bounds(day: date) -> tuple[int, int]:
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return to_epoch_us(begin), to_epoch_us(begin + timedelta(days=1))


def _digest(value: Any) -> str:
    return blake2b(msgspec.json.encode(value, order="sorted"), digest_size=12).hexdigest()
