"""What a candidate follows from, as one digest: rows, parameters, code, libraries.

Two runs with the same digest would give the same candidate; the second is not worth its time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from shared.workloads import REGISTRY

_FITTING_CODE = ("retrain_service.trainer", "shared.workloads.base", "shared.records")


def inputs_digest(
    *,
    snapshot_digest: str,
    workload: str,
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
        "code": _code_digest(workload),
        "libraries": dict(libraries),
    }
    encoded = msgspec.json.encode(content, order="deterministic", enc_hook=str)
    return hashlib.sha256(encoded).hexdigest()


def _code_digest(workload: str) -> str:
    """Of the source files that turn rows into an estimator."""
    digest = hashlib.sha256()
    for name in (*_FITTING_CODE, REGISTRY[workload].partition(":")[0]):
        for file in _source_files(name):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _source_files(module_name: str) -> list[Path]:
    """A module's file; of a workload that is a package of its own, all files."""
    file = Path(import_module(module_name).__file__ or "")
    package = module_name.rpartition(".")[0]
    is_own_package = package.startswith("shared.workloads.")
    return sorted(file.parent.glob("*.py")) if is_own_package else [file]
