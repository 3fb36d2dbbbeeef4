"""Decide from the desired and the serving version what to do next. Pure: no I/O, no clock.

Level-triggered: the signal states the desired version, so it does not matter how often or in what
order it is read. A generation that went back, or that names two versions, is never followed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from api_service.status.problem_codes import ProblemCode
from shared.exchange.reload_signal import ReloadSignal
from shared.versions.model_version import ModelVersion

VersionKey = tuple[str, int]
"""(version, generation): what a state belongs to."""

FALLBACK_GENERATION = 0
"""The generation of a version that no signal named: a cold start's way out."""


@dataclass(frozen=True, slots=True)
class Situation:
    """One model as one worker sees it.

    signal : what is wanted; None when there is no signal or it cannot be read.
    signal_fault : why the signal cannot be read; None when it can or does not exist.
    serving : what is in the slot.
    followed : the version of the highest generation seen so far.
    quarantined : what may never be tried again, with the reason.
    """

    signal: ReloadSignal | None
    signal_fault: str | None = None
    serving: VersionKey | None = None
    followed: VersionKey | None = None
    quarantined: Mapping[VersionKey, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Keep:
    """Do nothing. `degraded`: why that is not what is wanted; None when all is well."""

    degraded: str | None = None
    code: ProblemCode = ProblemCode.OTHER_VERSION_SERVED


@dataclass(frozen=True, slots=True)
class Open:
    """Open the wanted version and swap to it."""

    signal: ReloadSignal


@dataclass(frozen=True, slots=True)
class FallBack:
    """Nothing serves and what is wanted cannot: serve the best that can be opened."""

    degraded: str
    code: ProblemCode


Action = Keep | Open | FallBack


def decide(situation: Situation) -> Action:
    """What to do next; tables in the tests are its specification."""
    signal, serving = situation.signal, situation.serving
    still = f"Still serving {serving[0]}." if serving else "Nothing serves."
    if signal is None:
        if situation.signal_fault is not None:
            reason = f"the reload signal cannot be read: {situation.signal_fault}."
            code = ProblemCode.SIGNAL_UNREADABLE
            return Keep(f"{reason} {still}", code) if serving else FallBack(reason, code)
        if serving:
            return Keep(f"the reload signal is gone. {still}", ProblemCode.SIGNAL_MISSING)
        return Keep("no version has been promoted yet.", ProblemCode.NO_VERSION_SERVED)
    if situation.followed is not None:
        version, generation = situation.followed
        if signal.generation < generation:
            return Keep(
                f"the signal went back from generation {generation} to {signal.generation};"
                f" an older generation is not followed. {still}"
                " If the store was restored from a copy, restart the API.",
                ProblemCode.SIGNAL_WENT_BACK,
            )
        if signal.generation == generation and signal.version != version:
            return Keep(
                f"generation {generation} named {version} before and {signal.version} now;"
                f" a generation names one version. {still}",
                ProblemCode.GENERATION_REUSED,
            )
    wanted = (signal.version, signal.generation)
    if serving == wanted:
        return Keep()
    if wanted in situation.quarantined:
        reason = f"{signal.version} is quarantined: {situation.quarantined[wanted]}"
        code = ProblemCode.VERSION_QUARANTINED
        return Keep(f"{reason} {still}", code) if serving else FallBack(reason, code)
    return Open(signal)


def fallback_order(
    versions: Sequence[str],
    signal: ReloadSignal | None,
    quarantined: Mapping[VersionKey, str],
    *,
    is_signal_present: bool = True,
) -> list[str]:
    """Versions worth trying when the wanted one cannot serve, best first.

    is_signal_present : False where the signal is only remembered: then what it names comes first.

    The one that served before comes first, then the others from new to old. Versions newer than
    the wanted one come last: somebody rolled back from them, or they were never pointed at.
    """
    wanted = ModelVersion.parse(signal.version) if signal and _is_name(signal.version) else None
    previous = signal.previous if signal else None

    def rank(name: str) -> tuple[bool, bool, bool, int]:
        version = ModelVersion.parse(name)
        is_newer = wanted is not None and version > wanted
        is_last = not is_signal_present and version == wanted
        return not is_last, is_newer, name != previous or is_newer, -version.number

    return sorted(
        (
            name
            for name in versions
            if (name, FALLBACK_GENERATION) not in quarantined
            and (signal is None or (name, signal.generation) not in quarantined)
        ),
        key=rank,
    )


def _is_name(text: str) -> bool:
    try:
        ModelVersion.parse(text)
    except ValueError:
        return False
    return True
