"""Bring the mirror up to date with the files, a piece at a time. Knows no cursor.

A file that grew is read from its old end on, when everything before it is as it was; any other
change is read whole, beside the former rows, which go when the new ones are complete. A file that
is cut off is left as it was until nothing has been written to it for a while.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import islice
from typing import Any

import msgspec

from retrain_service.sources.base import ids_repeat
from retrain_service.sources.files.contents import (
    FileOptions,
    Incomplete,
    Place,
    digest_of,
    read_records,
)
from retrain_service.sources.files.listing import FoundFile
from retrain_service.sources.files.mirror import Mirror, Row
from retrain_service.sources.files.text_records import UNREADABLE
from retrain_service.sources.json_values import decode_json_text
from shared.documents.ids import read_id
from shared.documents.time_columns import column_times
from shared.documents.time_policy import TimePolicy
from shared.documents.times import read_time_us
from shared.errors import SourceMisconfigured, SourceUnavailable
from shared.records import composite_id

POSITION = "#"
"""As id_field: the file's name and the number of the record in it."""

_PIECE = 2000
_SHORTEST_REST_US = 2_000_000
_LONGEST_RESTART_US = 3600 * 1_000_000
_encode = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """What is in the mirror of a file.

    digest : of its complete records. tail : of a last one whose line has no end yet.
    restarted_us : when it was found with another content than before, not only with more; None:
        it has rested since.
    """

    stamp: tuple[int, int, int]
    place: Place
    digest: str
    tail: str = ""
    has_rest: bool = False
    restarted_us: int | None = None

    @property
    def version(self) -> str:
        return self.digest + self.tail


class Loader:
    """One thread; lives as long as its mirror."""

    def __init__(
        self,
        mirror: Mirror,
        options: FileOptions,
        *,
        id_fields: Sequence[str],
        updated_at_field: str,
        policy: TimePolicy,
        rest_us: int,
    ) -> None:
        """rest_us: a file that was written less than this ago may still be being written."""
        self.files: dict[str, LoadedFile] = {}
        self._mirror, self._options = mirror, options
        self._id_fields, self._time_field, self._policy = id_fields, updated_at_field, policy
        self._rest_us = rest_us

    def is_current(self, found: Sequence[FoundFile], now_us: int) -> bool:
        """Whether load() would find nothing to do."""
        if {each.name for each in found} != self.files.keys():
            return False
        for each in found:
            loaded = self.files[each.name]
            if loaded.stamp != each.stamp or (loaded.has_rest and self._rests(each, now_us)):
                return False
        return True

    def unsettled(self, found: Sequence[FoundFile], now_us: int) -> str | None:
        """The file that is being written anew, so that what it lacks may yet come."""
        for each in found:
            loaded = self.files.get(each.name)
            if loaded is None or loaded.restarted_us is None:
                continue
            is_over = now_us - loaded.restarted_us > _LONGEST_RESTART_US
            if not is_over and abs(now_us - each.written_us) < self._rest_us:
                return each.name
            self.files[each.name] = replace(loaded, restarted_us=None)
        return None

    def load(self, found: Sequence[FoundFile], now_us: int) -> Iterator[None]:
        """Read what has changed; yields after each piece.

        Raises:
            SourceMisconfigured: a file that is whole cannot be read; its name and line are said.
        """
        added: dict[str, int] = {}
        only_added = True
        for name in self.files.keys() - {each.name for each in found}:
            self._mirror.cut(name)
            del self.files[name]
            only_added = False
        for each in found:
            loaded = self.files.get(each.name)
            if (
                loaded is None
                or loaded.stamp != each.stamp
                or (loaded.has_rest and self._rests(each, now_us))
            ):
                yield from self._load(each, loaded, now_us)
                now = self.files.get(each.name)
                if loaded is None or now is None or loaded.tail or now.restarted_us == now_us:
                    only_added = False
                else:
                    added[each.name] = loaded.place.n_records
        yield  # what follows takes a while with many rows: in a call of its own
        if only_added:
            for name, n_before in added.items():
                self._mirror.settle_more(name, n_before)
        else:
            self._mirror.settle()
            self._insist_on_ids()
        yield

    def begins_with(self, found: FoundFile, end: int, version: str) -> bool:
        """Whether the first `end` bytes are those that had this version."""
        loaded = self.files[found.name]
        if not 0 < end <= loaded.place.end:
            return False
        with suppress(OSError), found.path.open("rb") as file:
            return version.startswith(digest_of(file, end))
        return False

    def _rests(self, found: FoundFile, now_us: int) -> bool:
        return abs(now_us - found.written_us) >= max(self._rest_us, _SHORTEST_REST_US)

    def _load(self, found: FoundFile, loaded: LoadedFile | None, now_us: int) -> Iterator[None]:
        try:
            with found.path.open("rb") as file:
                about = os.fstat(file.fileno())
                stamp = (about.st_size, about.st_mtime_ns, about.st_ino)
                found = replace(found, stamp=stamp)
                since = Place()
                if loaded is not None and found.grows and 0 < loaded.place.end <= stamp[0]:
                    is_same = digest_of(file, loaded.place.end) == loaded.digest
                    since = loaded.place if is_same else since
                target = found.name if since.end else f"{found.name}\0"
                self._mirror.cut(target, since.n_records)
                place, tail, has_rest = since, "", False
                records = read_records(file, found, self._options, since)
                while piece := list(islice(records, _PIECE)):
                    rows: list[Row] = []
                    self._learn_times(found, [fields for fields, _, _ in piece])
                    for fields, behind, is_complete in piece:
                        if not is_complete:
                            has_rest = True
                        if has_rest and not self._rests(found, now_us):
                            break
                        rows.append(self._row(found, fields, behind, now_us))
                        if has_rest:
                            tail = blake2b(tail.encode() + rows[-1][5], digest_size=6).hexdigest()
                        else:
                            place = behind
                    self._mirror.add(target, rows)
                    yield
                    if len(rows) < len(piece):
                        break
                digest = digest_of(file, place.end or (0 if found.grows else stamp[0]))
        except Incomplete as error:
            self._mirror.cut(f"{found.name}\0")
            if self._rests(found, now_us):
                raise SourceMisconfigured(f"{found.name}: {error}.") from error
            if loaded is None:
                self.files[found.name] = LoadedFile((0, 0, 0), Place(), "", has_rest=True)
            return
        except FileNotFoundError:
            return  # the next look finds the folder without it
        except PermissionError as error:
            raise SourceMisconfigured(f"{found.path}: may not be read.") from error
        except OSError as error:
            raise SourceUnavailable(f"{found.path}: {error.strerror or error}.") from error
        restarted_us = loaded.restarted_us if loaded is not None else None
        if target != found.name:
            self._mirror.keep_times(target, found.name)
            self._mirror.cut(found.name)
            self._mirror.rename(target, found.name)
            restarted_us = now_us if loaded is not None else None
        self.files[found.name] = LoadedFile(stamp, place, digest, tail, has_rest, restarted_us)

    # -- records ---------------------------------------------------------------------------------

    def _learn_times(self, found: FoundFile, records: Sequence[Mapping[str, Any]]) -> None:
        if self._policy.day_first is not None:
            return
        learnt = column_times((fields.get(self._time_field) for fields in records), self._policy)
        if learnt.problem:
            raise SourceMisconfigured(f"{found.name}: {self._time_field}: {learnt.problem}.")
        self._policy = learnt.policy

    def _row(self, found: FoundFile, fields: Mapping[str, Any], behind: Place, now_us: int) -> Row:
        position = f"{found.name}#{behind.n_records}"
        at_us = None
        id_: str | None = position
        if UNREADABLE not in fields:
            fields = {name: decode_json_text(value) for name, value in fields.items()}
            at_us = read_time_us(fields.get(self._time_field), self._policy)
            if tuple(self._id_fields) != (POSITION,) or POSITION in fields:
                id_ = self._id(found, fields)
        body = _encode(fields)
        digest = blake2b(body, digest_size=9).hexdigest()
        is_dated = at_us is not None
        return (
            behind.n_records,
            id_,
            at_us if at_us is not None else min(found.written_us, now_us),
            is_dated,
            digest,
            body,
        )

    def _insist_on_ids(self) -> None:
        """A row may come again with a newer time; rows of one id and time replace each other.

        Raises:
            SourceMisconfigured: many do, so the id is a wrong one.
        """
        n_rows, n_ids = self._mirror.told_apart()
        if ids_repeat(n_rows, n_ids):
            raise SourceMisconfigured(
                f"{', '.join(sorted(self.files)[:3])}: {n_rows:,} rows have only {n_ids:,}"
                f" different ids: id_field {', '.join(self._id_fields)!r} does not tell them"
                f' apart. Name several columns, or id_field = "{POSITION}", the place in the file.'
            )

    def _id(self, found: FoundFile, fields: Mapping[str, Any]) -> str | None:
        parts = []
        for name in self._id_fields:
            if name not in fields and found.form in ("csv", "parquet"):
                raise SourceMisconfigured(
                    f"{found.name}: id_field is {name!r}, but the columns are"
                    f' {", ".join(fields)}. Without an id: id_field = "{POSITION}", the place in'
                    " the file."
                )
            value = fields.get(name)
            if isinstance(value, dict):  # {"$oid": "…"}, as document databases export one
                value = read_id(value)
            if value is None or value == "" or isinstance(value, list):
                return None
            with suppress(TypeError, ValueError):
                value = int(value) if isinstance(value, float) and value.is_integer() else value
            parts.append(str(value))
        return composite_id(parts)
