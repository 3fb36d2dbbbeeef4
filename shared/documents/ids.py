"""Read ids of foreign documents: which are one id, and which mean nobody.

Knows no field and no workload.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from shared.documents.texts import tidy
from shared.records import composite_id

_INNER = ("$oid", "$uuid", "$numberLong", "$numberInt", "$numberDouble", "id", "_id", "$id")
_REFERENCES = ("__ref__", "_path", "referenceValue", "path")
_MAX_DEPTH = 3
_EXACT = 2**53

_WHOLE_FLOAT = re.compile(r"([+-]?\d{1,18})\.0+")
_HEX = re.compile(r"[0-9a-f]{24}|[0-9a-f]{32}", re.IGNORECASE)
_UUID = re.compile(
    r"(?:urn:uuid:)?\{?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\}?",
    re.IGNORECASE,
)
_DOCUMENT_NAME = re.compile(r"projects/[^/]+/databases/[^/]+/documents/(?:[^/]+/)+([^/]+)")
_NOTHING = frozenset(
    ("null", "none", "nil", "nan", "undefined", "(null)", "(none)", "n/a", "na", "#n/a", "<na>",
     "nat", "missing", "unknown", "not set", "(not set)", "[object object]", "-", "--")
)  # fmt: skip
_NOBODY = frozenset(
    ("guest", "guests", "anonymous", "anon", "anonymous user", "anonymoususer", "anonymous-user",
     "anonymous_user", "visitor", "nobody", "no user", "not logged in", "loggedout", "logged out",
     "system", "false", "-1")
)  # fmt: skip
_ALL_ZERO = re.compile(r"[+-]?0[0.\-]*")


def read_id(value: object) -> str | None:
    """An id as text; None where there is none. The same thing written differently is one id.

    Takes numbers (7, 7.0 and "7" are one), texts, MongoDB's extended JSON, references of
    documents, objects that hold an id, and lists of them as one composite id. UUIDs and hex ids
    are lower case; the case of other texts is kept, since some sources tell "a1" and "A1" apart.

    >>> [read_id(v) for v in (7, "7 ", 7.0, "7.0", "007", {"$oid": "5FA"}, 7.5, True, "", None)]
    ['7', '7', '7', '7', '007', '5FA', None, None, None, None]
    >>> read_id(["shop 1", 7.0]), read_id("{3F2504E0-4F89-11D3-9A0C-0305E82C3301}")
    ('shop 1|7', '3f2504e0-4f89-11d3-9a0c-0305e82c3301')
    """
    return _read_id(value, 0)


def read_person(value: object) -> str | None:
    """The id of a user or customer; None where it means nobody: a guest, 0, "undefined".

    >>> [read_person(v) for v in (0, "0", "guest", "NaN", -1, "00000000-0000-0000", "u7")]
    [None, None, None, None, None, None, 'u7']
    """
    found = read_id(value)
    return None if found is None or means_nobody(found) else found


def means_nothing(id_: str) -> bool:
    """Whether a text is a program's way to write "no value", not an id."""
    return id_.casefold() in _NOTHING


def means_nobody(id_: str) -> bool:
    """Whether an id stands for all those who have none."""
    word = id_.casefold()
    return word in _NOTHING or word in _NOBODY or _ALL_ZERO.fullmatch(word) is not None


def id_of_several(parts: Iterable[object]) -> str | None:
    """Several fields as one id, as sources make it; None where one of them is missing.

    >>> id_of_several(["a|b", 2]), id_of_several(["a", None])
    ('a%7Cb|2', None)
    """
    texts = [read_id(part) for part in parts]
    known = [text for text in texts if text is not None]
    return composite_id(known) if known and len(known) == len(texts) else None


def first_id(fields: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """The first of these fields that holds an id."""
    for name in names:
        value = fields.get(name)
        if value is not None:
            found = read_id(value)
            if found is not None and not means_nothing(found):
                return found
    return None


def _read_id(value: object, depth: int) -> str | None:
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, bool) or value is None or depth > _MAX_DEPTH:
        return None
    if isinstance(value, int):
        return str(value) if abs(value) < 10**40 else None
    if isinstance(value, float):
        # Above 2**53 several whole numbers share a float, so several ids would.
        return str(int(value)) if value.is_integer() and abs(value) <= _EXACT else None
    if isinstance(value, Mapping):
        return _of_object(value, depth)
    if isinstance(value, (list, tuple)) and value:
        return id_of_several(value) if depth == 0 else None
    return None


def _of_object(value: Mapping[Any, Any], depth: int) -> str | None:
    for name in _INNER:
        if name in value:
            found = _read_id(value[name], depth + 1)
            if found is not None:
                return found
    for name in _REFERENCES:
        path = value.get(name)
        if isinstance(path, Mapping):
            path = "/".join(map(str, path.get("segments") or ()))
        if isinstance(path, str) and path.strip("/"):
            return _of_text(path.strip("/").rpartition("/")[2])
    if "__datatype__" in value:
        inner = value.get("value")
        return _of_text(inner.rpartition("/")[2]) if isinstance(inner, str) else None
    return next(
        (found for name in ("product_id", "productId", "user_id", "userId", "value")
         if (found := _read_id(value.get(name), depth + 1)) is not None),
        None,
    )  # fmt: skip


def _of_text(text: str) -> str | None:
    found = tidy(text)
    if not found:
        return None
    if found[0].isdigit() or found[0] in "+-":
        match = _WHOLE_FLOAT.fullmatch(found)
        if match:
            return str(int(match[1]))
    if len(found) in (24, 32) and _HEX.fullmatch(found):
        return found.lower()
    if len(found) >= 36:
        if match := _UUID.fullmatch(found):
            return match[1].lower()
        if match := _DOCUMENT_NAME.fullmatch(found):
            return match[1]
    return found
