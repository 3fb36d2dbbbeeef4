"""The settings of one stream of a model, [models.NAME.streams.STREAM]: place, fields and words.

What each setting is, takes and means; the tables of docs/settings.md are made from it. Knows no
workload: which fields there are is checked where the workload is known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from shared.settings.sections import Section
from shared.settings.values import LONGEST_DAYS, TimeZone

Scalar = str | bool | int | float
"""A value that TOML writes without brackets."""


def _as_tuple(value: object) -> object:
    """One value stands for a list of one."""
    return value if isinstance(value, list | tuple) else (value,)


def _as_constant(value: object) -> object:
    """A text, a bool or a number that JSON can write."""
    is_number = isinstance(value, int | float) and abs(value) < 1e300  # NaN fails
    if not is_number and not isinstance(value, str | bool):
        raise ValueError("expected a text, a number, true or false")
    return value


Constant = Annotated[Any, BeforeValidator(_as_constant)]
Words = Annotated[tuple[Scalar, ...], BeforeValidator(_as_tuple)]
Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class FieldSettings(Section):
    """[models.NAME.streams.STREAM.fields.FIELD]: where one field of the workload is found."""

    path: str = Field(
        "", description="JMESPath expression over the record, or the name of a field of it"
    )
    first: Names = Field(
        (), description="several such expressions; the first that finds something counts"
    )
    constant: Constant = Field(None, description="the same value for every record")
    time_zone: TimeZone | None = Field(
        None, description="of a time without a zone; empty: the stream's"
    )
    format: str = Field(
        "", description='of a time that is a text, as Python\'s strptime has it: "%d.%m.%Y %H:%M"'
    )
    decimal: str | None = Field(
        None,
        pattern=r"^[.,]$",
        description="decimal sign of numbers that are texts; empty: the stream's",
    )
    unit: str = Field(
        "", description='of a number: "fraction" of 1 for a percentage; of a time: s, ms, us or ns'
    )
    missing: Words = Field((), description="values that mean that there is none")

    @model_validator(mode="before")
    @classmethod
    def _take_a_path_alone(cls, values: Any) -> Any:
        return {"path": values} if isinstance(values, str) else values

    @model_validator(mode="after")
    def _has_one_place(self) -> FieldSettings:
        n_places = bool(self.path) + bool(self.first) + (self.constant is not None)
        if n_places != 1:
            raise ValueError(
                'expected an expression such as "lines[].qty", or a table with one of path, first'
                f" and constant; found {n_places} of them"
            )
        return self


class StreamSettings(Section):
    """[models.NAME.streams.STREAM]: where one stream of records lives, and what its fields are."""

    collection: str = Field("", description="collection or table; empty: the stream's own name")
    query: str = Field(
        "", description="sql: a SELECT to read instead of a table; it must have the id and the time"
    )
    filter: dict[str, Any] = Field(
        default_factory=dict,
        description="mongodb, elasticsearch: read only what this query of the database finds",
    )
    pipeline: tuple[dict[str, Any], ...] = Field(
        (), description="mongodb: stages of an aggregation over the collection"
    )
    collection_group: bool = Field(
        False, description="firestore: read all collections of that name, below any document"
    )
    records_path: str = Field(
        "", description="http_export: where the list of records is in the answer; empty: as usual"
    )
    queries: dict[str, str] = Field(
        default_factory=dict,
        description="prometheus: field -> expression; empty: the metrics of the node exporter",
    )
    id_field: str | tuple[str, ...] = Field(
        "id",
        description="sql, http_export, feed: column or field with the unique id, or a list of those"
        " that are unique together",
    )
    updated_at_field: str = Field("updated_at", description="field that grows with every change")
    updated_at_format: str = Field(
        "",
        description="http_export, files: how that field is written where it is another text than"
        ' ISO 8601, as Python\'s strptime has it: "%d.%m.%Y %H:%M"; SQLite: whether the day or the'
        " month comes first, where the dates themselves do not say",
    )
    read_by: Literal["cursor", "log"] = Field(
        "cursor",
        description="sql: log: by PostgreSQL's log of changes, which misses no late commit and no"
        " deletion; needs a slot",
    )
    slot: str = Field(
        "",
        pattern=r"^[a-z0-9_]{0,63}$",
        description="sql: name of the replication slot that the stream makes for itself alone",
    )
    publication: str = Field(
        "hotfit",
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
        description='sql: publication that has the table, for read_by = "log"',
    )
    deleted_field: str = Field("", description="field that is true on a tombstone; empty: none")
    retention_days: int = Field(
        0,
        ge=0,
        le=LONGEST_DAYS,
        description="forget records not changed for so many days; 0: keep everything",
    )
    shape: str = Field("", description="name of a mapping that ships with Hotfit; empty: none")
    time_zone: TimeZone | None = Field(
        None, description="IANA name, for times without a zone; empty: the source's"
    )
    decimal: str | None = Field(
        None,
        pattern=r"^[.,]$",
        description='decimal sign of all numbers that are texts: "," or "."; empty: as each column'
        " shows",
    )
    fields: dict[str, FieldSettings] = Field(
        default_factory=dict, description="field of the workload -> where it is in the record"
    )
    words: dict[str, Words] = Field(
        default_factory=dict,
        description="meaning -> the words that stand for it, instead of the usual ones",
    )

    @property
    def id_fields(self) -> tuple[str, ...]:
        """The fields that make the id, one or several."""
        return (self.id_field,) if isinstance(self.id_field, str) else self.id_field

    @property
    def part_digest(self) -> str:
        """Tells what part of the collection is read from other parts; "" where all of it is."""
        if not self.filter and not self.pipeline:
            return ""
        part = json.dumps([self.filter, self.pipeline], sort_keys=True, default=str)
        return f" where {hashlib.sha256(part.encode()).hexdigest()[:12]}"

    @model_validator(mode="after")
    def _has_a_slot_for_the_log(self) -> StreamSettings:
        if self.read_by == "log" and not self.slot:
            raise ValueError(
                'read_by = "log" needs the name of a slot that nobody else reads, such as'
                ' slot = "hotfit_orders"'
            )
        return self

    @model_validator(mode="after")
    def _has_an_id(self) -> StreamSettings:
        names = self.id_fields
        if not names or not all(names) or len(set(names)) < len(names):
            raise ValueError(f"id_field: expected different names of fields, found {list(names)}")
        return self


def named_stream(streams: Mapping[str, StreamSettings], name: str) -> StreamSettings:
    """Settings of one stream of those that are configured, its collection filled in."""
    found = streams.get(name, StreamSettings())
    return found if found.collection else found.model_copy(update={"collection": name})
