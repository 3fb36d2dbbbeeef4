"""Names of models: `<model>`, or `<model>/<entity>` where there is one model per entity.

An entity's id comes from the application's data and may hold anything; its name is safe in a
path, in an URL and on a file system that does not tell upper from lower case. Pure; no I/O.
"""

from __future__ import annotations

import hashlib
import re

SAFE = re.compile(r"[a-z0-9_-]{1,64}")
_RESERVED = frozenset({"versions"})  # a folder of that name lies beside the entities
_READABLE_LENGTH = 48


def entity_name(raw: str) -> str:
    """The name of an entity; a safe id is its own name, and a name keeps its name.

    >>> entity_name("inverter-07")
    'inverter-07'
    >>> entity_name("Dach Süd")
    'dach-s-d-08683a'
    """
    if SAFE.fullmatch(raw) and raw not in _RESERVED:
        return raw
    readable = re.sub(r"[^a-z0-9_-]+", "-", raw.lower()).strip("-")[:_READABLE_LENGTH]
    digest = hashlib.sha256(raw.encode()).hexdigest()[:6]
    return f"{readable or 'entity'}-{digest}"


def full_name(model: str, entity: str) -> str:
    """The name a version is stored and served under; `entity` is "" where there is none."""
    return f"{model}/{entity}" if entity else model


def split_name(name: str) -> tuple[str, str]:
    """The configured model and the entity ("" where there is none)."""
    model, _, entity = name.partition("/")
    return model, entity
