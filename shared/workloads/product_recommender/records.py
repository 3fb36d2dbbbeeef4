"""Read interaction documents in the shapes that shops and trackers write.

Says why an event cannot be used instead of guessing. Knows no model and no database; a document
is a mapping of JSON values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.workloads.product_catalogue.records import identity, words_of

NO_USER = "event without a user or session"
NO_PRODUCT = "event without a product"
UNKNOWN_KIND = "event that says nothing about interest"
BAD_RATING = "rating that is not from 1 to 5"

VIEW, CART, PURCHASE, RATE = "view", "add_to_cart", "purchase", "rate"
OWNED_KINDS = frozenset((PURCHASE, RATE))
"""Who bought or rated a product has it; it is not recommended again unless asked."""

INTEREST: Mapping[str, float] = {VIEW: 1.0, CART: 3.0, PURCHASE: 5.0}
"""How much an event says, in views. A rating says as much as it has stars."""

_LONG_LOOK_S = 180.0
"""A look of this long counts as two views; a longer one may be a forgotten window."""

_WORDS: Mapping[str, str] = {
    **dict.fromkeys(
        words_of("view viewed pageview productview click clicked detail visit dwell"), VIEW
    ),
    **dict.fromkeys(
        words_of(
            "addtocart addedtocart addcart cart addtobasket basket addtobag wishlist "
            "addtowishlist favorite favourite like liked"
        ),
        CART,
    ),
    **dict.fromkeys(
        words_of("purchase purchased buy bought order ordered checkout transaction sale paid"),
        PURCHASE,
    ),
    **dict.fromkeys(words_of("rate rated rating review reviewed"), RATE),
}
_KINDS = words_of(
    "type event event_type eventType interaction_type interactionType interaction action kind"
)
_USERS = words_of(
    "user_id userId user customer_id customerId customer uid visitor_id visitorId "
    "session_id sessionId session"
)
_PRODUCTS = words_of("product_id productId product item_id itemId item sku")
_LISTS = ("items", "products", "line_items", "lineItems")
_RATINGS = ("rating", "value", "stars", "score", "rate")
_TIMES = words_of(
    "timestamp created_at createdAt event_time eventTime occurred_at time date at updated_at"
)
_DWELLS: tuple[tuple[str, float], ...] = (
    ("dwell_time", 1.0),
    ("dwellTime", 1.0),
    ("dwell_time_s", 1.0),
    ("dwell_seconds", 1.0),
    ("duration", 1.0),
    ("dwell_ms", 1e-3),
    ("dwell_time_ms", 1e-3),
    ("duration_ms", 1e-3),
)
_FIRST_YEAR, _LAST_YEAR = 1990, 2099


@dataclass(frozen=True, slots=True)
class Interaction:
    """One thing that one customer did with one product.

    interest : above 0, in views. at : UTC; None where the event does not say when.
    """

    user_id: str
    product_id: str
    kind: str
    interest: float
    at: datetime | None


def reject_reason(fields: Mapping[str, Any]) -> str | None:
    """None when at least one interaction can be read; otherwise why not."""
    reason: str | None = None
    for found in read_interactions(fields):
        if isinstance(found, Interaction):
            return None
        reason = reason or found
    return reason


def read_interactions(fields: Mapping[str, Any]) -> Iterator[Interaction | str]:
    """The interactions of an event: one, or one for each line of an order; or why there is none."""
    user_id = _first_identity(fields, _USERS)
    if user_id is None:
        yield NO_USER
        return
    kind = _kind(fields)
    if kind is None:
        yield UNKNOWN_KIND
        return
    at = next((found for name in _TIMES if (found := read_moment(fields.get(name)))), None)
    product_id = _first_identity(fields, _PRODUCTS)
    if product_id is None:
        lines: list[Any] = next((fields[n] for n in _LISTS if isinstance(fields.get(n), list)), [])
        ids = [_line_identity(line) for line in lines]
    else:
        ids = [product_id]
    if not ids:
        yield NO_PRODUCT
    interest = _interest(kind, fields)
    for one in ids:
        if one is None:
            yield NO_PRODUCT
        elif interest is None:
            yield BAD_RATING
        else:
            yield Interaction(user_id, one, kind, interest, at)


def _first_identity(fields: Mapping[str, Any], names: Iterable[str]) -> str | None:
    for name in names:
        value = fields.get(name)
        if value is not None and (found := identity(value)) is not None:
            return found
    return None


def _line_identity(line: object) -> str | None:
    if isinstance(line, Mapping):
        return _first_identity(line, (*_PRODUCTS, "id"))
    return identity(line)


def _kind(fields: Mapping[str, Any]) -> str | None:
    for name in _KINDS:
        value = fields.get(name)
        if isinstance(value, str):
            return _WORDS.get(re.sub(r"[\W_]+", "", value.casefold()))
    if any(fields.get(name) is not None for name in ("rating", "stars")):
        return RATE
    if any(fields.get(name) is not None for name in ("order_id", "orderId", "quantity")):
        return PURCHASE
    return VIEW


def _interest(kind: str, fields: Mapping[str, Any]) -> float | None:
    if kind == RATE:
        stars = next((s for n in _RATINGS if (s := _number(fields.get(n))) is not None), None)
        return stars if stars is not None and 1 <= stars <= 5 else None
    if kind == VIEW:
        looks = (s * unit for n, unit in _DWELLS if (s := _number(fields.get(n))) is not None)
        return INTEREST[VIEW] * (1 + min(max(next(looks, 0.0), 0.0), _LONG_LOOK_S) / _LONG_LOOK_S)
    return INTEREST[kind]


def _number(value: object) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value[:40].replace(",", "."))
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 1e15 else None  # NaN and infinity fail


def read_moment(value: object) -> datetime | None:
    """A moment in UTC from a text, an epoch (seconds to nanoseconds) or an object that holds one.

    A text without an offset is UTC. None where it cannot be read or lies outside 1990 to 2099.

    >>> [str(read_moment(v)) for v in ("2025-11-26T10:00:00+02:00", 1764151200000, "soon")]
    ['2025-11-26 08:00:00+00:00', '2025-11-26 10:00:00+00:00', 'None']
    """
    try:
        moment = _read_moment(value)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment is not None and _FIRST_YEAR <= moment.year <= _LAST_YEAR else None


def _read_moment(value: object, depth: int = 0) -> datetime | None:
    if isinstance(value, Mapping) and depth < 3:
        names = ("seconds", "_seconds", "$date", "$numberLong", "value")
        inner = next((value[name] for name in names if name in value), None)
        return _read_moment(inner, depth + 1)
    if isinstance(value, str):
        text = value.strip()
        if not re.fullmatch(r"\d{9,19}(\.\d+)?", text):
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        value = float(text)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    epoch = float(value)
    if not math.isfinite(epoch) or epoch <= 0:
        return None
    while epoch >= 1e11:  # milli-, micro- or nanoseconds; 1e11 s would be the year 5138
        epoch /= 1000
    return datetime.fromtimestamp(epoch, UTC)
