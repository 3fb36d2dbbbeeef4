"""Read interaction documents in the shapes that shops and trackers write.

Says why an event cannot be used instead of guessing. Knows no model and no database; a document
is a mapping of JSON values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.documents.ids import first_id, read_id, read_person
from shared.documents.numbers import Unread, parse_number
from shared.documents.texts import word_key
from shared.documents.times import read_moment
from shared.workloads.product_catalogue.records import words_of

NO_USER = "event without a user or session"
NO_PRODUCT = "event without a product"
NO_VIEWED_PRODUCT = "view of a page that shows no product"
UNKNOWN_KIND = "event that says nothing about interest"
VOID_ORDER = "order that was cancelled, refused or paid back"
BAD_RATING = "rating that is not from 1 to 5"

VIEW, CART, PURCHASE, RATE = "view", "add_to_cart", "purchase", "rate"
RETURN, REMOVAL = "return", "remove_from_cart"
TAKES_BACK: Mapping[str, str] = {RETURN: PURCHASE, REMOVAL: CART}
"""What takes back which: the newest such event of the customer and product no longer counts."""
OWNED_KINDS = frozenset((PURCHASE, RATE))
"""Who bought or rated a product has it; it is not recommended again unless asked."""

INTEREST: Mapping[str, float] = {VIEW: 1.0, CART: 3.0, PURCHASE: 5.0, RETURN: 5.0, REMOVAL: 3.0}
"""How much an event says, or takes back, in views. A rating says as much as it has stars."""

_LONG_LOOK_S = 180.0
"""A look of this long counts as two views; a longer one may be a forgotten window."""

MEANINGS: Mapping[str, str] = {
    VIEW: "view viewed pageview productview productviewed viewedproduct viewitem viewproduct"
    " viewcontent click clicked productclicked selectitem detail visit dwell",
    CART: "addtocart addedtocart addcart cart addtobasket basket addtobag productadded addedproduct"
    " wishlist addtowishlist productaddedtowishlist favorite favourite like liked",
    PURCHASE: "purchase purchased buy bought order ordered ordercompleted completedorder orderpaid"
    " checkout checkoutcompleted transaction sale paid",
    RATE: "rate rated rating review reviewed productreviewed",
    RETURN: "return returned refund refunded orderrefunded ordercancelled ordercanceled"
    " cancelledorder chargeback",
    REMOVAL: "removefromcart removedfromcart productremoved removedproduct removefrombasket"
    " removefromwishlist productremovedfromwishlist",
}
_WORDS = {word: kind for kind, words in MEANINGS.items() for word in words_of(words)}
_OF_PAGES = frozenset(words_of("pageview click clicked visit dwell"))
KINDS = words_of(
    "type event event_type eventType interaction_type interactionType interaction action kind "
    "event_name eventName"
)
_NAMES_A_KIND = re.compile(
    r"(user_?)?(event|action|activity|behaviou?r|interaction|operation|verb)_?"
    r"(name|type|kind|code|action|label)?",
    re.IGNORECASE,
)
USERS = words_of("user_id userId user customer_id customerId customer uid")
VISITS = words_of(
    "visitor_id visitorId visitorid session_id sessionId session user_pseudo_id anonymous_id "
    "anonymousId client_id clientId guest_id guestId"
)
_ORDERS = words_of("order_id orderId order_number orderNumber transaction_id transactionId id _id")
"""What tells the visits of people apart whom nobody knows: the order, or else its record."""
PRODUCTS = words_of("product_id productId product item_id itemId item sku")
LISTS = ("items", "products", "line_items", "lineItems")
_QUANTITIES = ("quantity", "qty")
_SIGNS_OF_AN_ORDER = ("order_id", "orderId", "line_items", "lineItems", *_QUANTITIES)
_ORDER_STATES = words_of(
    "status state order_status orderStatus financial_status financialStatus payment_status"
)
_VOID = frozenset(
    words_of(
        "cancelled canceled cancelledorder failed failure void voided declined rejected refused"
        " expired abandoned trash draft checkoutdraft refunded chargeback storniert annule annulee"
        " cancelado cancelada annullato annulliert"
    )
)
RATINGS = ("rating", "value", "stars", "score", "rate")
TIMES = words_of(
    "timestamp event_timestamp eventTimestamp created_at createdAt event_time eventTime occurred_at"
    " time date at updated_at"
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


@dataclass(frozen=True, slots=True)
class Interaction:
    """One thing that one customer did with one product.

    interest : above 0, in views; of a kind in TAKES_BACK what is taken back.
    at : UTC; None where the event does not say when.
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
    kind = _kind(fields)
    lines = next((fields[name] for name in LISTS if isinstance(fields.get(name), list)), None)
    user_id = _visitor(fields, is_order=lines is not None or kind == PURCHASE)
    if user_id is None:
        yield NO_USER
        return
    if kind is None:
        yield UNKNOWN_KIND
        return
    if kind == PURCHASE and _is_void(fields):
        yield VOID_ORDER
        return
    at = next((found for name in TIMES if (found := read_moment(fields.get(name)))), None)
    product_id = first_id(fields, PRODUCTS)
    parts: Sequence[object] = [fields] if product_id is not None else lines or ()
    if not parts:
        yield NO_VIEWED_PRODUCT if _shows_a_page(fields) else NO_PRODUCT
    interest = _interest(kind, fields)
    for part in parts:
        id_ = product_id or _line_id(part)
        its_kind = RETURN if kind == PURCHASE and _is_taken_back(part) else kind
        if id_ is None:
            yield NO_PRODUCT
        elif interest is None:
            yield BAD_RATING
        else:
            yield Interaction(user_id, id_, its_kind, interest, at)


def _shows_a_page(fields: Mapping[str, Any]) -> bool:
    """Whether an event is about a page or a click, which need be no product's."""
    word = next((fields[name] for name in KINDS if isinstance(fields.get(name), str)), "")
    return word_key(word) in _OF_PAGES


def _visitor(fields: Mapping[str, Any], *, is_order: bool) -> str | None:
    """Who it was: the customer, else the visit, else an order counts as a visitor of its own."""
    for name in (*USERS, *VISITS):
        value = fields.get(name)
        if value is not None and (found := read_person(value)) is not None:
            return found
    order = first_id(fields, _ORDERS) if is_order else None
    return f"order {order}" if order is not None else None


def _line_id(line: object) -> str | None:
    if isinstance(line, Mapping):
        return first_id(line, (*PRODUCTS, "id"))
    return read_id(line)


def _is_taken_back(part: object) -> bool:
    """A negative quantity is a return, as many shops write one."""
    if not isinstance(part, Mapping):
        return False
    return any((_number(part.get(name)) or 0.0) < 0 for name in _QUANTITIES)


def _kind(fields: Mapping[str, Any]) -> str | None:
    for name in KINDS:
        value = fields.get(name)
        if value is not None and not isinstance(value, Mapping | list):
            return _WORDS.get(word_key(value)) if isinstance(value, str) else None
    # A word whose field nobody knows may say anything; it is not taken for a view.
    for name, value in fields.items():
        if isinstance(value, str) and _NAMES_A_KIND.fullmatch(name):
            return _WORDS.get(word_key(value))
    if any(fields.get(name) is not None for name in ("rating", "stars")):
        return RATE
    if any(fields.get(name) is not None for name in _SIGNS_OF_AN_ORDER):
        return PURCHASE
    return VIEW


def _is_void(fields: Mapping[str, Any]) -> bool:
    """Whether an order came to nothing; one whose state nobody knows did not."""
    states = (fields.get(name) for name in _ORDER_STATES)
    return any(isinstance(state, str) and word_key(state) in _VOID for state in states)


def _interest(kind: str, fields: Mapping[str, Any]) -> float | None:
    if kind == RATE:
        stars = next((s for n in RATINGS if (s := _number(fields.get(n))) is not None), None)
        return stars if stars is not None and 1 <= stars <= 5 else None
    if kind == VIEW:
        looks = (s * unit for n, unit in _DWELLS if (s := _number(fields.get(n))) is not None)
        return INTEREST[VIEW] * (1 + min(max(next(looks, 0.0), 0.0), _LONG_LOOK_S) / _LONG_LOOK_S)
    return INTEREST[kind]


def _number(value: object) -> float | None:
    found = parse_number(value)
    return None if isinstance(found, Unread) else found
