"""Keep rolling windows: the newest samples of each entity, one for each slot of time.

A window survives swaps and restarts because it is no part of a version. Functions that take a
connection must be called inside its transaction. Knows no clock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import msgspec

from shared.records import to_epoch_us

FORGOTTEN_AFTER_US = 24 * 3600 * 1_000_000
"""An entity that was silent for so long is not shown any more."""

_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """How much of each entity is kept: one sample of each slot, for so many slots.

    Of several samples in one slot the newest value of each name counts, so that what comes in rows
    of their own (one for the processor, one for the memory) stands together.

    However often an entity sends, its window has at most `n_slots` samples.
    """

    n_slots: int
    slot_s: int


class Sampled(Protocol):
    """The part of a record that a window keeps."""

    @property
    def entity(self) -> str: ...

    @property
    def at(self) -> datetime | None: ...

    @property
    def sample(self) -> Mapping[str, Any] | None: ...


def samples_of(
    records: Sequence[Sampled], window: WindowSpec
) -> dict[tuple[str, int], tuple[int, bytes]]:
    """(entity, slot) -> (time in microseconds, sample as JSON), the newest value of each name."""
    newest: dict[tuple[str, int], tuple[int, Mapping[str, Any]]] = {}
    for record in records:
        if record.at is None or record.sample is None:
            continue
        at_us = to_epoch_us(record.at)
        key = (record.entity, at_us // (window.slot_s * 1_000_000))
        before_us, before = newest.get(key, (at_us, {}))
        if before_us <= at_us:
            newest[key] = (at_us, {**before, **record.sample})
        else:
            newest[key] = (before_us, {**record.sample, **before})
    return {key: (at_us, _encode(sample)) for key, (at_us, sample) in newest.items()}


def keep(
    connection: sqlite3.Connection,
    collection: str,
    window: WindowSpec,
    samples: Mapping[tuple[str, int], tuple[int, bytes]],
) -> None:
    """Put samples into their slots and let go of what the windows do not reach any more."""
    connection.executemany(
        "INSERT INTO window_rows VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET"
        " at_us=max(at_us, excluded.at_us), body=CAST(CASE WHEN excluded.at_us >= at_us"
        " THEN json_patch(CAST(body AS TEXT), CAST(excluded.body AS TEXT))"
        " ELSE json_patch(CAST(excluded.body AS TEXT), CAST(body AS TEXT)) END AS BLOB)",
        [
            (collection, entity, slot, at_us, body)
            for (entity, slot), (at_us, body) in samples.items()
        ],
    )
    entities = {entity for entity, _ in samples}
    connection.executemany(
        "DELETE FROM window_rows WHERE collection=? AND entity=? AND slot <= -? +"
        " (SELECT max(slot) FROM window_rows WHERE collection=? AND entity=?)",
        [(collection, entity, window.n_slots, collection, entity) for entity in entities],
    )


def drop_stale_entities(connection: sqlite3.Connection, collection: str, now_us: int) -> None:
    """Let go of entities that have sent nothing for a day."""
    connection.execute(
        "DELETE FROM window_rows WHERE collection=? AND entity IN (SELECT entity FROM window_rows"
        " WHERE collection=? GROUP BY entity HAVING max(at_us) < ?)",
        (collection, collection, now_us - FORGOTTEN_AFTER_US),
    )


def read(connection: sqlite3.Connection, collection: str) -> dict[str, list[dict[str, Any]]]:
    """Entity -> its samples, oldest first."""
    found: dict[str, list[dict[str, Any]]] = {}
    rows = connection.execute(
        "SELECT entity, body FROM window_rows WHERE collection=? ORDER BY entity, slot",
        (collection,),
    )
    for entity, body in rows:
        found.setdefault(entity, []).append(_decode(body))
    return found
