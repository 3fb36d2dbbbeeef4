"""The blend: learnt weights of the content, collaborative and popularity parts.

Knows no events and no clock; `Parts` come in as numbers between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import SettingsInvalid
from shared.stored_types import reduced

Floats32 = NDArray[np.float32]

TIE_BREAK = 1e-3
"""Popularity counts at least so much, so that a customer without a history gets what is popular."""

_STEPS = 10


class Blend(msgspec.Struct, frozen=True):
    """The shares of the three parts; they add up to 1.

    content : like what the customer met. collaborative : met by others who met the same.
    popularity : met by many. n_learnt_from : held-out meetings that the shares were chosen on;
        0 when they are the configured ones.
    """

    content: float
    collaborative: float
    popularity: float
    n_learnt_from: int = 0

    __reduce__ = reduced

    @classmethod
    def of(cls, content: float, collaborative: float, popularity: float) -> Blend:
        """Any weights, brought to a sum of 1.

        Raises:
            SettingsInvalid: all are 0.
        """
        total = content + collaborative + popularity
        if not total > 0:
            raise SettingsInvalid(
                "parameters: of content_weight, collaborative_weight and popularity_weight at"
                " least one must be above 0."
            )
        return cls(content / total, collaborative / total, popularity / total)

    def scores(self, content: Floats32, collaborative: Floats32, popularity: Floats32) -> Floats32:
        """Any shapes that go together. content and collaborative are brought to a highest value
        of 1 along the last axis before: their scales depend on how long a history is."""
        mixed = np.float32(self.content) * of_highest(content)
        mixed += np.float32(self.collaborative) * of_highest(collaborative)
        mixed += np.float32(max(self.popularity, TIE_BREAK)) * popularity
        return np.asarray(mixed, dtype=np.float32)


ONLY_POPULAR = Blend(0.0, 0.0, 1.0)
"""The naive baseline."""


def of_highest(part: Floats32) -> Floats32:
    """Divided by the highest along the last axis; zeros stay zeros."""
    highest = part.max(axis=-1, keepdims=True, initial=0.0)
    return np.asarray(part / np.where(highest > 0, highest, 1.0), dtype=np.float32)


def every_blend() -> Iterator[Blend]:
    """All shares in steps of a tenth."""
    for content in range(_STEPS + 1):
        for collaborative in range(_STEPS + 1 - content):
            popularity = _STEPS - content - collaborative
            yield Blend(content / _STEPS, collaborative / _STEPS, popularity / _STEPS)
