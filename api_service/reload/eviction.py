"""Estimate the memory of open models, and choose the ones to close above the budget.

The size of a version is that of the files that serve, which is what its form takes in memory, plus
a fixed part per open model. Opens and closes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from shared.versions.manifest import MODEL_NAME, Manifest

PER_MODEL_BYTES = 150_000
"""Manifest, answerer, arrays' headers: measured with thousands of linear models."""

_COMPILED = "compiled/"
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True)
class OpenModel:
    """last_used_s : on the monotonic clock, as exact as the looks are frequent."""

    name: str
    size_bytes: int
    last_used_s: float


def size_bytes(manifest: Manifest) -> int:
    """What an open version takes, by its files."""
    has_form = any(name.startswith(_COMPILED) for name in manifest.files)
    return PER_MODEL_BYTES + sum(
        entry.size_bytes
        for name, entry in manifest.files.items()
        if name.startswith("state.")
        or (name.startswith(_COMPILED) if has_form else name == MODEL_NAME)
    )


def to_close(
    models: Sequence[OpenModel], budget_bytes: int, keep: Collection[str] = ()
) -> list[str]:
    """The models to close, longest unused first, until the rest fits."""
    total = sum(model.size_bytes for model in models)
    closed: list[str] = []
    for model in sorted(models, key=lambda one: one.last_used_s):
        if total <= budget_bytes:
            break
        if model.name not in keep:
            closed.append(model.name)
            total -= model.size_bytes
    return closed


def budget_bytes(configured_mb: int, n_workers: int) -> int:
    """Of one worker: as configured, or its share of half of the machine's (or cgroup's) memory."""
    if configured_mb:
        return configured_mb * 1_000_000
    return _machine_bytes() // 2 // n_workers


def _machine_bytes() -> int:
    total = int(psutil.virtual_memory().total)
    try:
        limit = _CGROUP_LIMIT.read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdecimal() else total
