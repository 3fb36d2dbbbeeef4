"""Validate records that clients send, and append them to the feed.

Knows no HTTP. One instance per worker; any thread may call it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from api_service.config.feed import FedModel, FeedConfig
from shared.errors import (
    NotFound,
    RequestInvalid,
    SchemaTooNew,
    StateConflict,
    StorageUnavailable,
    TooManyRecords,
)
from shared.feed.writer import FedRecord, Feed, Limit
from shared.records import composite_id
from shared.workloads import open_workload
from shared.workloads.contract import Workload
from shared.workloads.training import Admitted

if TYPE_CHECKING:
    from shared.mapping.fields import RecordMapping
    from shared.settings.streams import StreamSettings

log = structlog.get_logger()

_NAMED_REASONS = 100
_YES = frozenset({"true", "1", "yes"})
_encode = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True, slots=True)
class Destination:
    """Where records go: one stream of one model, or of one entity of it."""

    model: str
    entity: str | None
    stream: str
    kept_in: StreamSettings
    workload: Workload
    mapping: RecordMapping


class RecordIngest:
    """The way of a record from a request into the feed."""

    def __init__(self, config: FeedConfig, clock: Callable[[], datetime]) -> None:
        self._config = config
        self._clock = clock
        self._opening = threading.Lock()
        self._feed: Feed | None = None
        self._workloads: dict[str, Workload] = {}
        self._mappings: dict[str, Mapping[str, RecordMapping]] = {}

    def prepare(self) -> None:
        """Make the file when records may be sent, so that its reader finds it. Never raises."""
        if any(model.source_kind == "feed" for model in self._config.models.values()):
            try:
                self._open_feed()
            except StorageUnavailable as error:
                log.warning(
                    "feed_not_opened",
                    sentence="The feed could not be opened; the first record tries it again.",
                    reason=str(error),
                )

    # -- where to ---------------------------------------------------------------------------------

    def destination(self, name: str, stream: str | None) -> Destination:
        """Of a model's whole name, slash and all, and the stream that was asked for.

        Raises:
            NotFound: no such configured model. StateConflict: it is not fed through the API.
            RequestInvalid: no such stream, or several and none was named.
        """
        base, _, entity = name.partition("/")
        model = self._config.models.get(base)
        if model is None:
            raise NotFound(f"no configured model {base!r}.")
        if model.source_kind != "feed":
            raise StateConflict(
                f"{base} learns from the source {model.source!r} ({model.source_kind});"
                ' records are taken only for models whose source is of the kind "feed".'
            )
        workload = self._workload(base, model)
        named = _stream(workload, stream)
        mapping = self._mapping(base, model, workload)[named]
        return Destination(base, entity or None, named, model.stream(named), workload, mapping)

    def windowed(self, name: str | None = None) -> Destination:
        """The model whose streams have rolling windows: the named one, or the only one.

        Raises:
            NotFound: there is none, or there are several and none was named.
        """
        found = [
            self.destination(base, stream.name)
            for base, model in self._config.models.items()
            if model.source_kind == "feed" and name in (None, base)
            for workload in (self._workload(base, model),)
            for stream in workload.streams
            if workload.window_of(stream.name) is not None
        ]
        if len(found) == 1:
            return found[0]
        known = ", ".join(one.model for one in found)
        raise NotFound(
            f"several models take server rows ({known}): name one with ?model=."
            if found
            else "no configured model takes server rows: none has rolling windows and a source"
            ' of the kind "feed".'
        )

    def _workload(self, base: str, model: FedModel) -> Workload:
        if base not in self._workloads:
            self._workloads[base] = open_workload(model.workload, model.parameters)
        return self._workloads[base]

    def _mapping(
        self, base: str, model: FedModel, workload: Workload
    ) -> Mapping[str, RecordMapping]:
        from shared.mapping.fields import open_mappings  # pydantic: only who is fed pays for it

        if base not in self._mappings:
            self._mappings[base] = open_mappings(
                base, workload.read_fields, model.streams, model.time_zone
            )
        return self._mappings[base]

    # -- keeping ----------------------------------------------------------------------------------

    def take(
        self,
        to: Destination,
        rows: Sequence[object],
        deleted: Sequence[object],
        sender: str,
        waiting: AbstractContextManager[None],
    ) -> dict[str, Any]:
        """Judge rows and keep the good ones; they are on the disk when this returns.

        Args:
            deleted: ids of records that exist no more.
            sender: who is limited.
            waiting: entered while the disk is waited for.

        Raises:
            TooManyRecords, RateLimited: nothing was kept. StorageUnavailable: likewise.
        """
        n = len(rows) + len(deleted)
        if n > self._config.max_records_per_request:
            raise TooManyRecords(
                f"{n} records; at most {self._config.max_records_per_request} are taken in one"
                " request (feed.max_records_per_request). None was kept."
            )
        now = self._clock()
        records: list[FedRecord] = []
        reasons: list[dict[str, Any]] = []
        for found in [
            *(_validated(to, row, i, now) for i, row in enumerate(rows)),
            *(_tombstone(one, i) for i, one in enumerate(deleted)),
        ]:
            if isinstance(found, FedRecord):
                records.append(found)
            else:
                reasons.append(found)
        receipt_fields = {"new": 0, "updated": 0, "duplicates": 0}
        if records:
            feed = self._open_feed()
            with waiting:
                receipt = feed.append(
                    to.kept_in.collection,
                    records,
                    window=to.workload.window_of(to.stream),
                    limit=self._limit(sender, to),
                    retention_days=self._config.retention_days,
                )
            receipt_fields = {
                "new": receipt.n_new,
                "updated": receipt.n_changed,
                "duplicates": receipt.n_duplicate,
            }
        return {
            "model": to.model,
            "stream": to.stream,
            "accepted": receipt_fields["new"] + receipt_fields["updated"],
            **receipt_fields,
            "rejected": len(reasons),
            "reasons": reasons[:_NAMED_REASONS],
            "received_at": now,
        }

    def _limit(self, sender: str, to: Destination) -> Limit | None:
        a_minute = self._config.max_records_a_minute
        return Limit(f"{sender} {to.model}", a_minute) if a_minute else None

    def _open_feed(self) -> Feed:
        with self._opening:
            if self._feed is None:
                if self._config.path is None:
                    raise StorageUnavailable("no feed is configured.")
                try:
                    self._feed = Feed(self._config.path, self._clock)
                except SchemaTooNew as error:
                    # Nothing that a client could do about it: as when the disk is full.
                    raise StorageUnavailable(str(error)) from None
            return self._feed


def _stream(workload: Workload, named: str | None) -> str:
    names = [stream.name for stream in workload.streams]
    if named is not None and named in names:
        return named
    counted = [stream.name for stream in workload.streams if stream.is_counted]
    if named is None and len(counted) == 1:
        return counted[0]
    raise RequestInvalid(f"one of the streams {', '.join(names)}", named, "stream")


def _validated(
    to: Destination, row: object, index: int, now: datetime
) -> FedRecord | dict[str, Any]:
    """The record to keep, or where and why not."""
    if not isinstance(row, dict):
        return {"index": index, "reason": f"expected an object, found {type(row).__name__}"}
    id_fields, deleted_field = to.kept_in.id_fields, to.kept_in.deleted_field
    id_field = ", ".join(id_fields)
    parts = [row.get(name) for name in id_fields]
    if any(part is not None and not _is_id(part) for part in parts):
        return {"index": index, "reason": f"{id_field}: expected a text or a whole number"}
    own_id: object = None
    if None not in parts:
        own_id = parts[0] if len(parts) == 1 else composite_id([str(part) for part in parts])
    if deleted_field and str(row.get(deleted_field)).lower() in _YES:
        if own_id is None:
            return {"index": index, "reason": f"{id_field}: missing; which record is deleted?"}
        return FedRecord(str(own_id), {}, is_deleted=True)
    fields = to.mapping(row, str(own_id) if own_id is not None else "")
    reason = to.workload.reject_reason(to.stream, fields)
    if reason is None:
        admitted = to.workload.admit(to.stream, fields, now)
        if isinstance(admitted, Admitted):
            if to.entity is None or admitted.entity in ("", to.entity):
                return _kept(admitted, own_id)
            reason = f"belongs to {admitted.entity!r}, not to {to.entity!r}"
        else:
            reason = admitted
    return {"index": index, **({"id": own_id} if own_id is not None else {}), "reason": reason}


def _kept(admitted: Admitted, own_id: object) -> FedRecord:
    id_ = admitted.id if admitted.id is not None else own_id
    if id_ is None:
        # Sent again after a broken connection, the same content is the same record.
        id_ = hashlib.sha256(_encode(admitted.fields)).hexdigest()[:32]
    return FedRecord(str(id_), admitted.fields, admitted.entity, admitted.at, admitted.sample)


def _tombstone(found: object, index: int) -> FedRecord | dict[str, Any]:
    if _is_id(found):
        return FedRecord(str(found), {}, is_deleted=True)
    return {"deleted_index": index, "reason": "expected an id: a text or a whole number"}


def _is_id(value: object) -> bool:
    return bool(isinstance(value, str) and value) or type(value) is int
