"""The name of a version and the states of its life cycle. Pure; no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from shared.errors import TransitionRefused

_PATTERN = re.compile(r"v(\d{6,})-(\d{8}T\d{6}Z)")
_TIME_FORMAT = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True, order=True)
class ModelVersion:
    """`v000007-20261121T083000Z`: a growing number and when its training was asked for (UTC)."""

    number: int
    created_at: datetime

    @classmethod
    def parse(cls, text: str) -> ModelVersion:
        """Read a version's name.

        Raises:
            ValueError: not of that form.
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise ValueError(f"expected a version such as v000007-20261121T083000Z, found {text!r}")
        return cls(int(match[1]), datetime.strptime(match[2], _TIME_FORMAT).replace(tzinfo=UTC))

    def __str__(self) -> str:
        return f"v{self.number:06d}-{self.created_at.astimezone(UTC).strftime(_TIME_FORMAT)}"


class VersionState(StrEnum):
    """Where a version stands. Left of LOADING the retrain daemon decides, from there the API."""

    CANDIDATE = "candidate"
    VALIDATED = "validated"
    PROMOTED = "promoted"
    REJECTED = "rejected"
    LOADING = "loading"
    WARMING = "warming"
    SERVING = "serving"
    DRAINING = "draining"
    RETIRED = "retired"
    QUARANTINED = "quarantined"


NEXT_STATES: Mapping[VersionState, frozenset[VersionState]] = {
    VersionState.CANDIDATE: frozenset({VersionState.VALIDATED, VersionState.REJECTED}),
    VersionState.VALIDATED: frozenset({VersionState.PROMOTED, VersionState.REJECTED}),
    VersionState.PROMOTED: frozenset({VersionState.LOADING, VersionState.RETIRED}),
    VersionState.LOADING: frozenset({VersionState.WARMING, VersionState.QUARANTINED}),
    VersionState.WARMING: frozenset({VersionState.SERVING, VersionState.QUARANTINED}),
    VersionState.SERVING: frozenset({VersionState.DRAINING}),
    VersionState.DRAINING: frozenset({VersionState.RETIRED}),
    VersionState.REJECTED: frozenset(),
    VersionState.RETIRED: frozenset(),
    VersionState.QUARANTINED: frozenset(),
}


def transition(
    current: VersionState, wanted: VersionState, *, version: str, generation: int
) -> VersionState:
    """Go from one state to the next; the only way a state may change.

    A version that returns does so under a new generation, so every (version, generation) goes
    forward only.

    Raises:
        TransitionRefused: `wanted` does not follow `current`; the message names what does.
    """
    allowed = NEXT_STATES[current]
    if wanted not in allowed:
        following = ", ".join(sorted(allowed)) or "nothing"
        raise TransitionRefused(
            f"version {version} generation {generation}: {wanted} does not follow {current};"
            f" allowed: {following}."
        )
    return wanted
