"""Read product documents in the shapes that real shops hold.

Says why a document cannot be used instead of guessing. Knows no model and no database; a
document is a mapping of JSON values.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.documents.ids import first_id
from shared.documents.numbers import ANY, NumberPolicy, Unread, parse_number
from shared.documents.texts import tidy, word_key
from shared.documents.times import means_never

NO_NAME = "product without a name"


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text: a list of names that can be read side by side."""
    return tuple(text.split())


APPROVED_WORDS = frozenset(
    words_of(
        "approved active published live enabled available visible public online instock yes true "
        "ok publish 1"
    )
)
"""A status says that a product may be shown when it is one of these; any other says it may not."""

_NAMES = ("name", "title", "product_name", "productName")
_DESCRIPTIONS = ("description", "short_description", "shortDescription", "summary", "details")
_EXTRAS = ("brand", "tags", "keywords", "features")
_CATEGORIES = ("category", "category_name", "categoryName", "categories", "product_type")
PRICES = ("price", "sale_price", "salePrice", "unit_price", "unitPrice")
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
    record_id: str,
    fields: Mapping[str, Any],
    approved_words: frozenset[str] = APPROVED_WORDS,
    prices: NumberPolicy = ANY,
) -> Product | str:
    """A product, or the reason why the document is none.

    record_id : used where the fields name no id; of a path, its last part.
    prices : how the shop writes them.
    """
    reason = reject_reason(fields)
    if reason is not None:
        return reason
    words = " ".join(_text(fields.get(name)) for name in (*_DESCRIPTIONS, *_EXTRAS))
    return Product(
        id=first_id(fields, _IDS) or record_id.rpartition("/")[2] or record_id,
        name=_first_text(fields, _NAMES),
        words=_without_tags(words),
        category=_category(fields),
        price=next(
            (p for n in PRICES if (p := _amount(fields.get(n), _MAX_PRICE, prices)) is not None),
            None,
        ),
        rating=next(
            (r for n in _RATINGS if (r := _amount(fields.get(n), _MAX_RATING)) is not None), None
        ),
        is_approved=is_approved(fields, approved_words),
    )


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
    return word_key(str(value)) if isinstance(value, (str, int)) else ""


def _denies(value: object) -> bool:
    if isinstance(value, (bool, int, float)):
        return not value
    return isinstance(value, str) and (tidy(value).casefold() in _SAYS_NO or means_never(value))


def _category(fields: Mapping[str, Any]) -> str:
    for name in _CATEGORIES:
        value = fields.get(name)
        if isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, Mapping):
            value = value.get("name", value.get("title"))
        if isinstance(value, str) and tidy(value):
            return tidy(value)[:200]
    return ""


def _first_text(fields: Mapping[str, Any], names: Iterable[str]) -> str:
    return next((found for name in names if (found := _text(fields.get(name)))), "")[:500]


def _text(value: object, depth: int = 0) -> str:
    """Text of a text, of a list of texts, or of an object of texts (one per language, say)."""
    if isinstance(value, str):
        return tidy(value[:_MAX_TEXT])
    if depth > 2:
        return ""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return " ".join(filter(None, (_text(one, depth + 1) for one in value[:50])))[:_MAX_TEXT]
    return ""


def _without_tags(text: str) -> str:
    if "<" in text or "&" in text:
        text = html.unescape(_TAG.sub(" ", text))
    return " ".join(text.split())


def _amount(value: object, most: float, policy: NumberPolicy = ANY) -> float | None:
    """A number from 0 to `most`, in any of the ways in which shops write one.

    >>> [_amount(v, 1e9) for v in ("1,299.00", "€ 1.299,50", "12,5 kr", {"amount": 3}, -1, "free")]
    [1299.0, 1299.5, 12.5, 3.0, None, None]
    """
    found = parse_number(value, policy)
    return found if not isinstance(found, Unread) and 0 <= found <= most else None
