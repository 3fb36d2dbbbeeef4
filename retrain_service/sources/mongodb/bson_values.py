"""Convert BSON values to JSON and to record ids, and order them as MongoDB does. Knows no query."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from bson import json_util
from bson.binary import Binary, UuidRepresentation
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.errors import InvalidId
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

from retrain_service.sources.json_values import to_rfc3339

# https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/ — of the types that
# an _id may have. $gt stays within one type, the order does not.
_ORDER = (
    "minKey",
    "null",
    "number",
    "string",
    "object",
    "binData",
    "objectId",
    "bool",
    "date",
    "timestamp",
    "maxKey",
)

_EXACT = json_util.JSONOptions(
    json_mode=json_util.JSONMode.CANONICAL,
    uuid_representation=UuidRepresentation.STANDARD,
    tz_aware=True,
    tzinfo=UTC,
)
_INT64 = range(-(2**63), 2**63)


def from_bson(value: Any) -> Any:
    """BSON's own types as JSON values, for `to_json`."""
    if isinstance(value, Decimal128):
        return value.to_decimal()
    if isinstance(value, Timestamp):
        return value.as_datetime()
    if isinstance(value, DatetimeMS):  # before year 1 or after 9999
        return None
    if isinstance(value, DBRef):
        return {"collection": value.collection, "id": id_text(value.id)}
    if isinstance(value, Regex):
        return value.pattern
    return str(value)  # ObjectId, UUID and what has no meaning elsewhere


def pack_id(value: Any) -> str:
    """An _id of any type as text that gives back the very same value."""
    return json_util.dumps(value, json_options=_EXACT)


def unpack_id(text: str) -> Any:
    return json_util.loads(text, json_options=_EXACT)


def id_text(value: Any) -> str:
    """An _id as the record's id: what a person would write, else MongoDB's extended JSON."""
    match value:
        case str():
            return str(value)
        case bool():
            return "true" if value else "false"
        case int() | float() | ObjectId() | UUID() | Decimal128():
            return str(value)
        case datetime():
            return to_rfc3339(value)
        case Binary() | bytes() if getattr(value, "subtype", 0) == 0:
            return bytes(value).hex()
    return pack_id(value)


def possible_ids(text: str) -> list[Any]:
    """Every _id that `id_text` may have turned into `text`; more than there are, never fewer."""
    found: list[Any] = [text]
    if ObjectId.is_valid(text):
        found.append(ObjectId(text))
    if re.fullmatch(r"-?\d+", text) and int(text) in _INT64:
        found.append(int(text))
    for read in (float, Decimal128, UUID, datetime.fromisoformat, bytes.fromhex, unpack_id):
        try:
            found.append(read(text))
        except (ValueError, ArithmeticError, InvalidId, TypeError, KeyError):
            continue
    return found


def greater_ids(value: Any) -> list[dict[str, Any]]:
    """Conditions on _id, any of which holds exactly for the ids that come after `value`."""
    sink = _ORDER.index(_type_of(value))
    later: list[dict[str, Any]] = [{"_id": {"$type": list(_ORDER[sink + 1 :])}}]
    if sink == len(_ORDER) - 1:
        return []
    if _is_nan(value):  # before all other numbers, but $gt finds nothing
        return [{"_id": {"$gte": -math.inf}}, *later]
    if value is None or isinstance(value, MinKey):  # one value each
        return later
    return [{"_id": {"$gt": value}}, *later]


def _is_nan(value: Any) -> bool:
    if isinstance(value, Decimal128):
        return bool(value.to_decimal().is_nan())
    return isinstance(value, float) and math.isnan(value)


def _type_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int() | float() | Decimal128():
            return "number"
        case str():
            return "string"
        case bytes() | UUID():
            return "binData"
        case ObjectId():
            return "objectId"
        case datetime() | DatetimeMS():
            return "date"
        case Timestamp():
            return "timestamp"
        case MinKey():
            return "minKey"
        case MaxKey():
            return "maxKey"
    return "object"
