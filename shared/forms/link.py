"""Link functions by name: from raw scores to probabilities or to the target's scale. NumPy only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def _sigmoid(raw: Floats) -> Floats:
    """Without overflow on either side."""
    small = np.exp(-np.abs(raw))
    found: Floats = np.where(raw >= 0, 1.0, small) / (1.0 + small)
    return found


def binary_sigmoid(raw: Floats) -> Floats:
    """(n, 1) or (n,) log odds of the second class -> (n, 2)"""
    second = _sigmoid(raw.reshape(raw.shape[0]))
    return np.stack([1.0 - second, second], axis=1)


def softmax(raw: Floats) -> Floats:
    """(n, k) -> (n, k)"""
    shifted = np.exp(raw - raw.max(axis=1, keepdims=True))
    found: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return found


def one_vs_rest(raw: Floats) -> Floats:
    """(n, k) log odds of each class against all others -> (n, k), normalized"""
    each = _sigmoid(raw)
    total = each.sum(axis=1, keepdims=True)
    found: Floats = np.where(total > 0, each / np.where(total > 0, total, 1.0), 1 / each.shape[1])
    return found


def identity(raw: Floats) -> Floats:
    return raw


PROBABILITIES: dict[str, Callable[[Floats], Floats]] = {
    "binary_sigmoid": binary_sigmoid,
    "softmax": softmax,
    "one_vs_rest": one_vs_rest,
    "identity": identity,
}
INVERSES: dict[str, Callable[[Floats], Floats]] = {
    "identity": identity,
    "exp": np.exp,
    "expm1": np.expm1,
    "exp2": np.exp2,
    "square": np.square,
    "sqrt": np.sqrt,
    "log": np.log,
    "log1p": np.log1p,
}
