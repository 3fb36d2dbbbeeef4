"""One digest over all inputs of a fit: rows, parameters, code and libraries.

Two runs with the same digest would give the same candidate; the second is not worth its time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

import shared.workloads

_FITTING_CODE = (
    "retrain_service.trainer.fit",
    "retrain_service.evaluation.selection",
    "shared.records",
)


def inputs_digest(
    *,
    snapshot_digest: str,
    settings: Mapping[str, Any],
    libraries: Mapping[str, str],
) -> str:
    """SHA-256 in hex.

    settings : parameters, seed and whatever else of the configuration the candidate or its
        verdict depends on.
    """
    content = {
        "snapshot": snapshot_digest,
        "settings": dict(settings),
        "code": _code_digest(),
        "libraries": dict(libraries),
    }
    encoded = msgspec.json.encode(content, order="deterministic", enc_hook=str)
    return hashlib.sha256(encoded).hexdigest()


def _code_digest() -> str:
    """Of the source files that turn rows into an estimator: whatever a workload may build on."""
    workloads = Path(shared.workloads.__file__).parent
    files = [Path(import_module(name).__file__ or "") for name in _FITTING_CODE]
    digest = hashlib.sha256()
    for file in (*files, *sorted(workloads.rglob("*.py"))):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
