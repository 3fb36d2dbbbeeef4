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

    A new name with dots is a path of tables below the section. Where both names are set, the new
    one counts, setting by setting. Values that are no table are returned unchanged.
    """
    if not isinstance(values, dict) or new_names.keys().isdisjoint(values):
        return values
    current = dict(values)
    for old, new in new_names.items():
        if old in current:
            _seen[old] = new
            _put_below(current, new.split("."), current.pop(old))
    return current


def with_new_variables(
    variables: Mapping[str, str | None], prefix: str, new_names: Mapping[str, str]
) -> dict[str, str | None]:
    """The environment, in which variables of a former section have the name of the new one.

    Args:
        variables: lower-case name -> value. A variable is one setting of a section
            (`hotfit_old__url`) or the whole section as JSON (`hotfit_old`).
        prefix: of all variables, in lower case.
        new_names: former section -> its path now.
    """
    current = dict(variables)
    for old, new in new_names.items():
        first, *below = new.split(".")
        for name in variables:
            section, separator, setting = name.removeprefix(prefix).partition("__")
            if not name.startswith(prefix) or section != old:
                continue
            _seen[old] = new
            value = current.pop(name)
            if separator:
                current.setdefault(prefix + "__".join([first, *below, setting]), value)
            else:
                opened = "".join(f'{{"{table}": ' for table in below)
                current.setdefault(prefix + first, opened + (value or "{}") + "}" * len(below))
    return current


def _put_below(values: dict[str, Any], path: list[str], value: Any) -> None:
    """Put a value at the end of a path of tables, beneath the values that are there already."""
    name, *below = path
    inner = values.get(name)
    if below and (inner is None or isinstance(inner, dict)):
        values[name] = inner = dict(inner or {})
        _put_below(inner, below, value)
    elif isinstance(inner, dict) and isinstance(value, dict):
        values[name] = value | inner
    else:
        values.setdefault(name, value)


def warn_of_former_names() -> None:
    """Log each former name that was read once; to be called when a daemon starts its log."""
    while _seen:
        old, new = _seen.popitem()
        log.warning(
            "setting_renamed",
            sentence=f"The setting {old} is now called {new}."
            " The old name is read in this release only: rename it in the configuration.",
        )
