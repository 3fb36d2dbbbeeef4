"""A made-up shop as values: products of a few categories, customers who each like one of them.

SYNTHETIC. Standard library only, no disk, no clock.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

SEED = 20251126
CATEGORIES = ("Bicycles", "Kitchen", "Garden", "Books", "Lamps")
_WORDS = {
    "Bicycles": "wheel saddle frame chain pedal brake gear tyre bell basket",
    "Kitchen": "pan knife steel oven cup plate spoon kettle bowl grater",
    "Garden": "seed soil spade hose grass pot rake bench lantern fence",
    "Books": "novel story author pages paper cover print reader travel history",
    "Lamps": "bulb shade desk floor switch dimmer reading bedside cable glow",
}
_COMMON = [
    "new",
    "classic",
    "strong",
    "light",
    "red",
    "blue",
    "green",
    "small",
    "large",
    "best",
    "quality",
    "value",
]
_PRICE = {"Bicycles": 60.0, "Kitchen": 25.0, "Garden": 18.0, "Books": 12.0, "Lamps": 40.0}
_KINDS = (("view", 0.72), ("add_to_cart", 0.14), ("purchase", 0.09), ("rate", 0.05))
_LIKED = 0.8


class Product(NamedTuple):
    id: str
    name: str
    description: str
    category: str
    price: float
    rating: float
    status: str


class Visit(NamedTuple):
    """What one customer did with one product. dwell_time : seconds."""

    id: str
    user_id: str
    product_id: str
    type: str
    rating: int | None
    session_id: str
    dwell_time: float
    timestamp: datetime


def product(number: int, seed: int = SEED) -> Product:
    """The product of a number; one in twenty is not approved yet."""
    dice = random.Random(f"{seed}:product:{number}")
    category = CATEGORIES[number % len(CATEGORIES)]
    words = dice.sample(_WORDS[category].split(), 4) + dice.sample(_COMMON, 3)
    return Product(
        id=f"p{number:03d}",
        name=f"{words[4]} {words[0]} {number}".capitalize(),
        description=f"A {words[5]} {words[0]} with {words[1]}, {words[2]} and {words[3]}.",
        category=category,
        price=round(_PRICE[category] * dice.uniform(0.5, 2.0), 2),
        rating=round(dice.uniform(2.5, 5.0), 1),
        status="pending" if number % 20 == 19 else "approved",
    )


def visits(
    first: datetime, last: datetime, n_users: int, n_products: int, seed: int = SEED
) -> Iterator[Visit]:
    """A few sessions of each customer, who mostly looks at one category, and at some often."""
    for user in range(n_users):
        dice = random.Random(f"{seed}:user:{user}")
        for session in range(dice.randint(2, 6)):
            at = first + (last - first) * dice.random()
            for i in range(dice.randint(2, 5)):
                yield _visit(dice, user, session, i, at, n_products)
                at += timedelta(seconds=dice.randint(20, 300))


def visits_now(n: int, now: datetime, n_users: int, n_products: int) -> list[Visit]:
    """`n` more of them, just now."""
    dice = random.Random(f"added:{now.isoformat()}")
    found = []
    for i in range(n):
        one = _visit(dice, dice.randrange(n_users), 0, i, now, n_products)
        session = f"added-{now:%Y%m%dT%H%M%S%f}"
        found.append(one._replace(id=f"{session}-{i:04d}", session_id=session))
    return found


def _visit(
    dice: random.Random, user: int, session: int, i: int, at: datetime, n_products: int
) -> Visit:
    n_categories = len(CATEGORIES)
    is_liked = dice.random() < _LIKED
    category = user % n_categories if is_liked else dice.randrange(n_categories)
    nth = min(int(dice.expovariate(0.15)), n_products // n_categories - 1)
    kind = dice.choices([name for name, _ in _KINDS], [share for _, share in _KINDS])[0]
    return Visit(
        id=f"u{user:03d}-{session}-{i}",
        user_id=f"u{user:03d}",
        product_id=f"p{category + nth * n_categories:03d}",
        type=kind,
        rating=dice.randint(3, 5) if kind == "rate" else None,
        session_id=f"u{user:03d}-{session}",
        dwell_time=round(dice.uniform(3, 180), 1),
        timestamp=at,
    )
