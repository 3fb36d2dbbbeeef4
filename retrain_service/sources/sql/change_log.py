"""PostgreSQL's log of changes: a logical slot, and which ids the messages in it are about.

Decoded by pgoutput, which comes with the server. Only the columns of the id are looked at: what a
row holds is read from the table. Knows no cursor.
https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from shared.errors import SourceMisconfigured
from shared.records import composite_id


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot as the server tells it.

    confirmed : up to where its changes were taken, as bytes of the log since its beginning.
    current : the end of the log now. held_bytes : of the log that the server keeps for the slot.
    is_lost : the server has thrown away what it would need.
    """

    confirmed: int
    current: int
    held_bytes: int
    is_lost: bool


def find_slot(connection: sa.Connection, name: str) -> Slot | None:
    """The slot of that name in this database.

    Raises:
        SourceMisconfigured: it is there, but belongs to somebody else.
    """
    found = connection.execute(
        sa.text(
            "SELECT plugin, database = current_database(), wal_status,"
            " pg_wal_lsn_diff(COALESCE(confirmed_flush_lsn, '0/0'), '0/0')::bigint,"
            " pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint,"
            " COALESCE(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint"
            " FROM pg_replication_slots WHERE slot_name = :name"
        ),
        {"name": name},
    ).one_or_none()
    if found is None:
        return None
    plugin, is_here, status, confirmed, current, held = found
    if plugin != "pgoutput" or not is_here:
        raise SourceMisconfigured(
            f"slot {name!r}: expected one of this database decoded by pgoutput, found one of"
            f" {plugin or 'physical replication'}; choose another name."
        )
    return Slot(confirmed, current, held, status == "lost")


def make_slot(connection: sa.Connection, name: str) -> None:
    """Waits until the transactions that are open now have ended.

    Raises:
        SourceMisconfigured: the server keeps no such log.
    """
    level = connection.execute(sa.text("SHOW wal_level")).scalar_one()
    if level != "logical":
        raise SourceMisconfigured(
            f'read_by = "log" needs the server\'s wal_level = logical, found {level}; set it in'
            ' postgresql.conf and restart the server, or read_by = "cursor".'
        )
    connection.execute(
        sa.text("SELECT pg_create_logical_replication_slot(:name, 'pgoutput')"), {"name": name}
    )


def drop_slot(connection: sa.Connection, name: str) -> bool:
    """False when there is none."""
    if find_slot(connection, name) is None:
        return False
    connection.execute(sa.text("SELECT pg_drop_replication_slot(:name)"), {"name": name})
    return True


def confirm(connection: sa.Connection, name: str, up_to: int) -> None:
    """Let the server forget the log before `up_to`."""
    connection.execute(
        sa.text("SELECT pg_replication_slot_advance(:name, CAST(:up_to AS pg_lsn))"),
        {"name": name, "up_to": _lsn(up_to)},
    )


def check_table(
    connection: sa.Connection, table: str, publication: str, id_fields: Sequence[str]
) -> frozenset[int]:
    """The numbers of the table and its partitions, as messages name them.

    Raises:
        SourceMisconfigured: not a table, not in the publication, or deletions would not tell ids.
    """
    kind, identity, keys = connection.execute(
        sa.text(
            "SELECT c.relkind, c.relreplident, (SELECT array_agg(a.attname::text) FROM pg_index i"
            " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)"
            " WHERE i.indrelid = c.oid AND CASE c.relreplident WHEN 'i' THEN i.indisreplident"
            " ELSE i.indisprimary END) FROM pg_class c WHERE c.oid = to_regclass(:table)"
        ),
        {"table": table},
    ).one()
    if kind not in ("r", "p"):
        raise SourceMisconfigured(
            f'{table}: read_by = "log" needs a table; a view has no log. Write read_by = "cursor".'
        )
    if identity == "n" or (identity != "f" and not set(id_fields) <= set(keys or ())):
        raise SourceMisconfigured(
            f"{table}: a deletion would not tell {' and '.join(id_fields)}, because that is not the"
            f" primary key. Run: ALTER TABLE {table} REPLICA IDENTITY FULL;"
        )
    published = connection.execute(
        sa.text(
            "SELECT pubinsert AND pubupdate AND pubdelete, EXISTS (SELECT FROM"
            " pg_publication_tables t JOIN pg_class c ON c.relname = t.tablename"
            " JOIN pg_namespace n"
            " ON n.oid = c.relnamespace AND n.nspname = t.schemaname WHERE t.pubname = p.pubname"
            " AND c.oid IN (SELECT to_regclass(:table) UNION"
            " SELECT relid FROM pg_partition_tree(to_regclass(:table))))"
            " FROM pg_publication p WHERE pubname = :publication"
        ),
        {"table": table, "publication": publication},
    ).one_or_none()
    if published is None or not all(published):
        verb = (
            f"CREATE PUBLICATION {publication} FOR TABLE"
            if published is None
            else f"ALTER PUBLICATION {publication} ADD TABLE"
        )
        if published is not None and not published[0]:
            raise SourceMisconfigured(
                f"publication {publication}: expected inserts, updates and deletes to be published."
            )
        raise SourceMisconfigured(
            f"{table}: its changes are not published. Run as its owner: {verb} {table};"
        )
    oids = connection.execute(
        sa.text(
            "SELECT to_regclass(:table)::oid UNION"
            " SELECT relid::oid FROM pg_partition_tree(to_regclass(:table))"
        ),
        {"table": table},
    )
    return frozenset(int(oid) for oid in oids.scalars())


def peek(
    connection: sa.Connection, name: str, publication: str, up_to: int
) -> Iterator[memoryview | bytes]:
    """The messages of what was committed up to there; they stay in the slot."""
    found = connection.execution_options(yield_per=5000).execute(
        sa.text(
            "SELECT data FROM pg_logical_slot_peek_binary_changes(:name, CAST(:up_to AS pg_lsn),"
            " NULL, 'proto_version', '1', 'publication_names', :publication)"
        ),
        {"name": name, "up_to": _lsn(up_to), "publication": publication},
    )
    return iter(found.scalars())


def changed_ids(
    messages: Iterable[memoryview | bytes], oids: Collection[int], id_fields: Sequence[str]
) -> list[str]:
    """Ids that were inserted, updated or deleted, as texts, each once, in their order.

    Raises:
        SourceMisconfigured: the publication leaves the id out.
    """
    found: dict[str, None] = {}
    places: dict[int, list[int]] = {}
    for message in messages:
        reader = _Reader(bytes(message))
        match reader.char():
            case "R":
                oid = reader.integer("I")
                if oid in oids:
                    places[oid] = _places(reader, id_fields)
            case "I" | "U" | "D":
                oid = reader.integer("I")
                if oid not in places:
                    continue
                while not reader.is_over():
                    reader.char()  # K or O: the row as it was; N: as it is
                    values = reader.row()
                    parts = [values[place] for place in places[oid]]
                    if all(part is not None for part in parts):
                        found[composite_id([str(part) for part in parts])] = None
    return list(found)


def _places(reader: _Reader, id_fields: Sequence[str]) -> list[int]:
    reader.text()
    reader.text()
    reader.char()
    columns: list[str] = []
    for _ in range(reader.integer("H")):
        reader.char()
        columns.append(reader.text())
        reader.integer("I")
        reader.integer("i")
    missing = sorted(set(id_fields) - set(columns))
    if missing:
        raise SourceMisconfigured(
            f"publication: its list of columns leaves {missing[0]!r} out, which is the id."
        )
    return [columns.index(name) for name in id_fields]


class _Reader:
    """Takes a message apart, from its beginning to its end."""

    def __init__(self, message: bytes) -> None:
        self._message, self._at = message, 0

    def is_over(self) -> bool:
        return self._at >= len(self._message)

    def char(self) -> str:
        self._at += 1
        return chr(self._message[self._at - 1])

    def integer(self, kind: str) -> int:
        (found,) = struct.unpack_from(f">{kind}", self._message, self._at)
        self._at += struct.calcsize(f">{kind}")
        return int(found)

    def text(self) -> str:
        end = self._message.index(0, self._at)
        found = self._message[self._at : end].decode()
        self._at = end + 1
        return found

    def row(self) -> list[str | None]:
        values: list[str | None] = []
        for _ in range(self.integer("H")):
            if self.char() in "nu":  # null, or large and unchanged
                values.append(None)
                continue
            length = self.integer("I")
            values.append(self._message[self._at : self._at + length].decode("utf-8", "replace"))
            self._at += length
        return values


def _lsn(place: int) -> str:
    return f"{place >> 32:X}/{place & 0xFFFFFFFF:X}"


def described(held_bytes: Any) -> str:
    """For people."""
    return f"{held_bytes / 1e6:,.0f} MB" if held_bytes < 1e9 else f"{held_bytes / 1e9:,.1f} GB"
