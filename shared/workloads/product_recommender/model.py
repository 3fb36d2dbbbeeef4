"""The blend: learnt weights of the parts of an answer, and how fast a customer's past fades.

Knows no events and no clock; the parts come in as numbers of which the highest counts as 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import msgspec
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from shared.errors import SettingsInvalid
from shared.stored_types import reduced

Floats32 = NDArray[np.float32]

TIE_BREAK = 1e-3
"""Popularity counts at least so much, so that a customer without a history gets what is popular."""

FADES = ((0.3, 10.0), (0.2, 10.0), (1.0, 10.0))
"""(lasting, half_life) that are tried; the first one where too little is known to choose."""

RECENT = (0.0, 0.5, 1.0)
_CONTENT = (0.0, 0.1, 0.25, 0.5, 1.0)
_POPULARITY = (0.0, 0.05, 0.15, 0.4, 1.0)
_OF_REGRESSION = (0.0, 0.25, 0.5, 0.75, 1.0)
_AGAIN = (0.2, 0.4, 0.6, 0.8)


class Blend(msgspec.Struct, frozen=True):
    """The shares of the parts; they add up to 1.

    content : like what the customer met. collaborative : met by others who met the same.
    popularity : met by many. n_learnt_from : held-out meetings that the shares were chosen on;
        0 when they are the configured ones.
    regression : foretold by all that the customer met together. again : bought by them before.
    recent : how much of the popularity is that of the last days.
    lasting, half_life : what a customer met counts `lasting` for good, and of the rest half after
        so many products; half_life 0: as the model is configured (versions of release 0.1.0).
    """

    content: float
    collaborative: float
    popularity: float
    n_learnt_from: int = 0
    regression: float = 0.0
    again: float = 0.0
    recent: float = 0.0
    lasting: float = 0.0
    half_life: float = 0.0

    __reduce__ = reduced

    @classmethod
    def of(
        cls, content: float, collaborative: float, popularity: float, fade: tuple[float, float]
    ) -> Blend:
        """Any weights, brought to a sum of 1; both collaborative parts have half each.

        fade : (lasting, half_life).

        Raises:
            SettingsInvalid: all are 0.
        """
        total = content + collaborative + popularity
        if not total > 0:
            raise SettingsInvalid(
                "parameters: of content_weight, collaborative_weight and popularity_weight at"
                " least one must be above 0."
            )
        half = collaborative / total / 2
        lasting, half_life = fade
        return cls(
            content / total,
            half,
            popularity / total,
            regression=half,
            lasting=lasting,
            half_life=half_life,
        )

    def fade(self, back: NDArray[np.int64]) -> Floats32:
        """How much an item counts after `back` newer ones."""
        faded = 0.5 ** (back / self.half_life) if self.half_life else np.ones(len(back))
        return np.asarray(self.lasting + (1 - self.lasting) * faded, dtype=np.float32)

    def scores(self, parts: Sequence[Floats32], popularity: Floats32) -> Floats32:
        """Mix the parts of an answer; any shapes that go together.

        parts : content, collaborative, regression, again. They are brought to a highest value of 1
            along the last axis before: their scales depend on how long a history is.
        """
        mixed = np.zeros(parts[0].shape, dtype=np.float32)
        mixed += np.float32(max(self.popularity, TIE_BREAK)) * popularity
        for share, part in zip(self.shares, parts, strict=True):
            if share:
                mixed += np.float32(share) * of_highest(part)
        return mixed

    @property
    def shares(self) -> tuple[float, float, float, float]:
        """Of the parts that `scores` takes."""
        return self.content, self.collaborative, self.regression, self.again

    def popularity_of(self, long: Floats32, recent: Floats32) -> Floats32:
        """(n_products,) of both whiles."""
        return np.asarray((1 - self.recent) * long + self.recent * recent, dtype=np.float32)


ONLY_POPULAR = Blend(0.0, 0.0, 1.0)
"""The naive baseline."""


def of_highest(part: Floats32) -> Floats32:
    """Divided by the highest along the last axis; zeros stay zeros."""
    highest = part.max(axis=-1, keepdims=True, initial=0.0)
    return np.asarray(part / np.where(highest > 0, highest, 1.0), dtype=np.float32)


def every_blend(like: Blend, *, has_again: bool) -> Iterator[Blend]:
    """The mixtures that are tried, each part alone among them, with the fade and the recency of
    `like`.

    has_again : what customers bought before is a part of its own; see `with_again` for mixtures.
    """
    for content, popularity in product(_CONTENT, _POPULARITY):
        rest = 1 - content - popularity
        for share in _OF_REGRESSION if rest > 0 else (0.0,) if rest == 0 else ():
            yield structs.replace(
                like,
                content=content,
                collaborative=rest * (1 - share),
                popularity=popularity,
                regression=rest * share,
                again=0.0,
            )
    if has_again:
        yield structs.replace(
            like, content=0.0, collaborative=0.0, popularity=0.0, regression=0.0, again=1.0
        )


def with_again(blend: Blend) -> Iterator[Blend]:
    """A blend mixed with what the customer bought before."""
    for again in _AGAIN:
        yield structs.replace(
            blend,
            content=blend.content * (1 - again),
            collaborative=blend.collaborative * (1 - again),
            popularity=blend.popularity * (1 - again),
            regression=blend.regression * (1 - again),
            again=again,
        )
