"""Read product documents in the shapes that real shops hold.

Says why a document cannot be used instead of guessing. Knows no model and no database; a
document is a mapping of JSON values.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

NO_NAME = "product without a name"


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text: a list of names that can be read side by side."""
    return tuple(text.split())


APPROVED_WORDS = frozenset(
    words_of(
        "approved active published live enabled available visible public online instock yes true "
        "ok 1"
    )
)
"""A status says that a product may be shown when it is one of these; any other says it may not."""

_NAMES = ("name", "title", "product_name", "productName")
_DESCRIPTIONS = ("description", "short_description", "shortDescription", "summary", "details")
_EXTRAS = ("brand", "tags", "keywords", "features")
_CATEGORIES = ("category", "category_name", "categoryName", "categories", "product_type")
_PRICES = ("price", "sale_price", "salePrice", "unit_price", "unitPrice")
_RATINGS = ("rating", "average_rating", "averageRating", "avg_rating", "avgRating", "stars")
_IDS = ("product_id", "productId", "id", "_id")
_STATUSES = ("status", "approval_status", "approvalStatus", "state", "visibility")
_MUST_BE_TRUE = words_of(
    "approved is_approved isApproved active is_active isActive published is_published isPublished "
    "enabled is_enabled isEnabled"
)
_MUST_BE_FALSE = words_of(
    "deleted is_deleted isDeleted deleted_at deletedAt archived is_archived isArchived disabled "
    "hidden is_hidden isHidden"
)
_SAYS_NO = frozenset(("", "0", "false", "no", "off", "none", "null", "n", "f"))

_MAX_TEXT = 4_000  # characters; more of one product's description says nothing new
_MAX_PRICE = 1e9
_MAX_RATING = 5.0
_TAG = re.compile(r"<[^<>]{1,200}>")
_NUMBER = re.compile(r"[-+]?\d[\d.,'\u00a0 ]*")


@dataclass(frozen=True, slots=True)
class Product:
    """One product as a document tells it.

    words : what it is about, beside its name and category. category : "" where none is given.
    price : in the shop's currency, None where unknown. rating : 0 to 5 stars, None where unknown.
    is_approved : it may be recommended.
    """

    id: str
    name: str
    words: str
    category: str
    price: float | None
    rating: float | None
    is_approved: bool


def reject_reason(fields: Mapping[str, Any]) -> str | None:
    """None when the document is a product, approved or not; otherwise why not."""
    return None if _first_text(fields, _NAMES) else NO_NAME


def read_product(
    record_id: str, fields: Mapping[str, Any], approved_words: frozenset[str] = APPROVED_WORDS
) -> Product | str:
    """A product, or the reason why the document is none.

    record_id : used where the fields name no id; of a path, its last part.
    """
    reason = reject_reason(fields)
    if reason is not None:
        return reason
    own_id = next((found for name in _IDS if (found := identity(fields.get(name)))), None)
    words = " ".join(_text(fields.get(name)) for name in (*_DESCRIPTIONS, *_EXTRAS))
    return Product(
        id=own_id or record_id.rpartition("/")[2] or record_id,
        name=_first_text(fields, _NAMES),
        words=_without_tags(words),
        category=_category(fields),
        price=next(
            (p for n in _PRICES if (p := _amount(fields.get(n), _MAX_PRICE)) is not None), None
        ),
        rating=next(
            (r for n in _RATINGS if (r := _amount(fields.get(n), _MAX_RATING)) is not None), None
        ),
        is_approved=is_approved(fields, approved_words),
    )


def identity(value: object) -> str | None:
    """An id as text: a number, a text, or an object that holds one; None when it is none.

    >>> [identity(v) for v in (7, "7 ", 7.0, {"$oid": "ab"}, True, "", None)]
    ['7', '7', '7', 'ab', None, None, None]
    """
    if isinstance(value, Mapping):
        inner = (value.get(name) for name in ("id", "_id", "$oid", "product_id", "productId"))
        return next((found for one in inner if (found := _plain_identity(one))), None)
    return _plain_identity(value)


def _plain_identity(value: object) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else None
    if isinstance(value, int):
        return str(value) if abs(value) < 10**40 else None
    return _one_line(value) or None if isinstance(value, str) else None


def is_approved(fields: Mapping[str, Any], approved_words: frozenset[str] = APPROVED_WORDS) -> bool:
    """Whether a product may be shown: no field says otherwise.

    A shop without such fields has approved everything; a status that is not known to be a yes
    is a no, because showing a draft is worse than not showing a product.

    >>> [is_approved(f) for f in ({}, {"status": "Approved"}, {"status": "pending"},
    ...                           {"approved": "false"}, {"active": True, "deleted_at": "2026"})]
    [True, True, False, False, False]
    """
    for name in _STATUSES:
        status = fields.get(name)
        if isinstance(status, Mapping):
            status = status.get("status", status.get("name"))
        if status is not None and _word(status) not in approved_words:
            return False
    if any(fields.get(name) is not None and _denies(fields[name]) for name in _MUST_BE_TRUE):
        return False
    return all(fields.get(name) is None or _denies(fields[name]) for name in _MUST_BE_FALSE)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return re.sub(r"[\W_]+", "", str(value).casefold()) if isinstance(value, (str, int)) else ""


def _denies(value: object) -> bool:
    if isinstance(value, (bool, int, float)):
        return not value
    return isinstance(value, str) and value.strip().casefold() in _SAYS_NO


def _category(fields: Mapping[str, Any]) -> str:
    for name in _CATEGORIES:
        value = fields.get(name)
        if isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, Mapping):
            value = value.get("name", value.get("title"))
        if isinstance(value, str) and _one_line(value):
            return _one_line(value)[:200]
    return ""


def _first_text(fields: Mapping[str, Any], names: Iterable[str]) -> str:
    return next((found for name in names if (found := _text(fields.get(name)))), "")[:500]


def _text(value: object, depth: int = 0) -> str:
    """Text of a text, of a list of texts, or of an object of texts (one per language, say)."""
    if isinstance(value, str):
        return _one_line(value[:_MAX_TEXT])
    if depth > 2:
        return ""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return " ".join(filter(None, (_text(one, depth + 1) for one in value[:50])))[:_MAX_TEXT]
    return ""


def _one_line(text: str) -> str:
    # A lone surrogate is valid in JSON and in no file.
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").split())


def _without_tags(text: str) -> str:
    if "<" in text or "&" in text:
        text = html.unescape(_TAG.sub(" ", text))
    return " ".join(text.split())


def _amount(value: object, most: float) -> float | None:
    """A number from 0 to `most`, in any of the ways in which shops write one.

    >>> [_amount(v, 1e9) for v in ("1,299.00", "€ 1.299,50", "12,5 kr", {"amount": 3}, -1, "free")]
    [1299.0, 1299.5, 12.5, 3.0, None, None]
    """
    if isinstance(value, Mapping):
        names = ("amount", "value", "average", "price", "rate")
        value = next((value[name] for name in names if name in value), None)
    if isinstance(value, str):
        match = _NUMBER.search(value[:100])
        value = _number(match[0]) if match else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 <= value <= most and math.isfinite(value) else None


def _number(text: str) -> float | None:
    """The last of point and comma marks the decimals, unless just three digits follow it once."""
    digits = re.sub(r"['\u00a0 ]", "", text).rstrip(".,")
    at = max(digits.rfind("."), digits.rfind(","))
    if at >= 0:
        mark = digits[at]
        is_thousands = digits.count(mark) > 1 or (mark == "," and len(digits) - at == 4)
        whole, part = re.sub(r"[.,]", "", digits[:at]), digits[at + 1 :]
        digits = whole + part if is_thousands else f"{whole or '0'}.{part}"
    try:
        return float(digits)
    except ValueError:
        return None
