"""Read settings under their former names for one release, and warn about each once.

Knows no setting: a section names its own former names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

log = structlog.get_logger()

_seen: dict[str, str] = {}


def with_new_names(values: Any, new_names: Mapping[str, str]) -> Any:
    """The values of a section, in which a former name's value stands under the new name.

    Where both names are set, the new one counts. What is no table is returned unchanged.
    """
    if not isinstance(values, dict) or new_names.keys().isdisjoint(values):
        return values
    current = dict(values)
    for old, new in new_names.items():
        if old in current:
            _seen[old] = new
            value = current.pop(old)
            current.setdefault(new, value)
    return current


def warn_of_former_names() -> None:
    """Log each former name that was read once; to be called when a daemon starts its log."""
    while _seen:
        old, new = _seen.popitem()
        log.warning(
            "setting_renamed",
            sentence=f"The setting {old} is now called {new}."
            " The old name is read in this release only: rename it in the configuration.",
        )
