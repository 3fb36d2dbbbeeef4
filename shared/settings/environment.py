"""Warn of HOTFIT_… variables that no setting reads, with the nearest name.

Other programs may use the prefix (Kubernetes does, for services of that name), so this only warns.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping

import structlog
from pydantic import BaseModel

from shared.settings.renamed import warn_of_former_names
from shared.settings.root import Settings

log = structlog.get_logger()

PREFIX = "HOTFIT_"
BESIDE_THE_SETTINGS = frozenset(
    f"{PREFIX}{name}"
    for name in (
        "CONFIG",
        "API_KEY",
        # scripts/ and its containers
        "VENV",
        "PYTHON",
        "STARTED_AS",
        "PORT",
        "TOML",
        "EXTRA_PACKAGES",
    )
)
"""What the daemons and the scripts read that is no setting."""

_OF_TESTS = f"{PREFIX}TEST_"
_OF_KUBERNETES = re.compile(r"_SERVICE_(HOST|PORT)(_\w+)?|_PORT_\d+_(TCP|UDP)(_\w+)?")
_ADDRESS_OF_KUBERNETES = ("tcp://", "udp://")


def unread_variables(environment: Mapping[str, str]) -> list[str]:
    """One sentence for each variable with the prefix that no daemon and no script reads."""
    return [
        _sentence(name)
        for name, value in sorted(environment.items())
        if name.upper().startswith(PREFIX) and not _is_known(name.upper(), value)
    ]


def warn_of_unread_variables() -> None:
    """Log each of them once, and former names of settings; to be called when a daemon starts."""
    warn_of_former_names()
    for sentence in unread_variables(os.environ):
        log.warning("unread_variable", sentence=sentence)


def _is_known(name: str, value: str) -> bool:
    section = name.removeprefix(PREFIX).partition("__")[0].lower()
    return (
        section in Settings.model_fields
        or section in Settings.new_names
        or name in BESIDE_THE_SETTINGS
        or name.startswith(_OF_TESTS)
        or _OF_KUBERNETES.search(name) is not None
        or value.startswith(_ADDRESS_OF_KUBERNETES)
    )


def _sentence(name: str) -> str:
    meant = _nearest(name.upper())
    hint = f" Did you mean {meant}?" if meant is not None else ""
    return f"{name} in the environment is no setting: nothing reads it.{hint}"


def _nearest(name: str) -> str | None:
    section, separator, rest = name.partition("__")
    if separator:
        sections = [f"{PREFIX}{each.upper()}" for each in Settings.model_fields]
        found = difflib.get_close_matches(section, sections, n=1)
        return f"{found[0]}__{rest}" if found else None
    found = difflib.get_close_matches(name, [*BESIDE_THE_SETTINGS, *_settings()], n=1)
    return found[0] if found else None


def _settings() -> list[str]:
    """Every setting as a variable, but those below a name of the user's own."""
    names = []
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names += [f"{name}__{inner}" for inner in kind.model_fields]
        else:
            names.append(name)
    return [f"{PREFIX}{name.upper()}" for name in names]
