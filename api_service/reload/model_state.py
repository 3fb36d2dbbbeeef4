"""The state that one worker keeps of one model: version states, quarantine, draining, receipt.

Opens nothing and decides nothing. Only the thread that holds the model's lock uses it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from api_service.reload.draining import Draining
from api_service.reload.policy import VersionKey
from api_service.reload.signal_scan import Stamp
from api_service.serving_slot import ServingSlot
from api_service.status.problem_codes import ProblemCode
from shared.exchange.worker_report import Receipt, ServingReport
from shared.loading.open_version import LoadedModel
from shared.versions.model_version import NEXT_STATES, VersionState, transition

log = structlog.get_logger()

_REMEMBERED = 50


@dataclass(frozen=True, slots=True)
class SwapStart:
    """How things stood when a version began to be opened."""

    rss_bytes: int
    n_failed: int
    detect_ms: float


@dataclass(frozen=True, slots=True)
class Warmed:
    """A warm version that waits for the other workers. `since_s` on the monotonic clock."""

    loaded: LoadedModel
    start: SwapStart
    since_s: float


@dataclass(slots=True)
class DrainingSwap:
    """A version on its way out, and the swap that its end will complete."""

    draining: Draining
    receipt: Receipt
    failed_before: int


@dataclass(slots=True)
class ModelState:
    """See the module docstring.

    highest : (version, generation) of the highest generation followed so far.
    degraded, degraded_code : why what serves is not what is wanted; None when it is.
    error : what went wrong last; None once the wanted version serves.
    warmed : what is warm and waits for the other workers.
    handled_signal : the signal's stamp at a look that found nothing to do.
    last_used_s : when it was last asked, on the monotonic clock, about.
    missing_since_s : since when it has no directory, on the monotonic clock; None: it has one.
    lock : held by whoever looks after it.
    not_before, pause_s : back-off on the monotonic clock after a failure that may pass.
    last_resort_s : when a version that only deaths speak against may be tried where nothing else
        serves, on the monotonic clock; None when there is none.
    """

    slot: ServingSlot
    highest: VersionKey | None = None
    states: dict[VersionKey, VersionState] = field(default_factory=dict)
    quarantined: dict[VersionKey, str] = field(default_factory=dict)
    draining: list[DrainingSwap] = field(default_factory=list)
    warmed: Warmed | None = None
    receipt: Receipt | None = None
    degraded: str | None = None
    degraded_code: str | None = None
    error: str | None = None
    not_before: float = 0.0
    pause_s: float = 0.0
    last_resort_s: float | None = None
    handled_signal: Stamp | None = None
    last_used_s: float = field(default_factory=time.monotonic)
    missing_since_s: float | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        return self.slot.name

    @property
    def serving(self) -> VersionKey | None:
        live = self.slot.live
        return key_of(live) if live is not None else None

    def observe(self, wanted: VersionKey) -> None:
        """Note a new wish; one seen before keeps its state and its back-off."""
        if self.highest != wanted:
            self.highest = wanted
            self.error = None
            self.end_backoff()

    def start_opening(self, key: VersionKey) -> None:
        """promoted → loading, unless an earlier try got that far."""
        if key not in self.states:
            self.states[key] = VersionState.PROMOTED
            self.set_state(key, VersionState.LOADING)
            _forget_oldest(self.states)

    def set_state(self, key: VersionKey, wanted: VersionState) -> None:
        """Change a version's state; staying where it is, as a repeated try does, is no change."""
        current = self.states[key]
        if current is not wanted:
            self.states[key] = transition(current, wanted, version=key[0], generation=key[1])
        if wanted is VersionState.SERVING:
            # It serves: what was wrong with it at an earlier generation no longer is.
            for earlier in [known for known in self.quarantined if known[0] == key[0]]:
                if earlier[1] < key[1]:
                    del self.quarantined[earlier]

    def forget(self, key: VersionKey) -> None:
        """A warm version that something newer overtook: it never served, its life ends here."""
        self.states.pop(key, None)

    def quarantine(self, key: VersionKey, reason: str) -> None:
        """Never to be tried again at this generation; the reason stays with it."""
        self.set_state(key, VersionState.QUARANTINED)
        self.quarantined[key] = reason
        while len(self.quarantined) > _REMEMBERED:
            del self.quarantined[next(iter(self.quarantined))]
        self.error = reason
        self.slot.not_ready_reason = reason

    def end_backoff(self) -> None:
        self.not_before = self.pause_s = 0.0

    def set_degraded(
        self, reason: str | None, code: ProblemCode = ProblemCode.OTHER_VERSION_SERVED
    ) -> None:
        """Say once why what serves is not what is wanted."""
        if reason is not None and reason != self.degraded:
            log.warning("model_degraded", model=self.name, reason=reason, code=code)
        self.degraded = reason
        self.degraded_code = code.value if reason is not None else None
        if reason is not None and self.slot.live is None:
            self.slot.not_ready_reason = reason

    def report(self) -> ServingReport:
        """This model's part of the worker's report."""
        live, wanted = self.slot.live, self.highest
        state = self.states.get(wanted, VersionState.PROMOTED) if wanted else VersionState.PROMOTED
        return ServingReport(
            state=state.value,
            generation=wanted[1] if wanted else 0,
            wanted=wanted[0] if wanted else None,
            version=live.version if live else None,
            serving_generation=live.generation if live else None,
            degraded=self.degraded,
            degraded_code=self.degraded_code,
            error=self.error,
            quarantined=named(self.quarantined),
            receipt=self.receipt,
            prepared=self.warmed.loaded.generation if self.warmed else None,
        )


def key_of(loaded: LoadedModel) -> VersionKey:
    return loaded.version, loaded.generation


def named(quarantined: Mapping[VersionKey, str]) -> dict[str, str]:
    """Quarantined versions as reports name them."""
    return {
        f"{version} generation {generation}": reason
        for (version, generation), reason in quarantined.items()
    }


def _forget_oldest(states: dict[VersionKey, VersionState]) -> None:
    """Keep the last few; only what has reached its end may be forgotten."""
    ended = [key for key, state in states.items() if not NEXT_STATES[state]]
    for key in ended[: max(0, len(ended) - _REMEMBERED)]:
        del states[key]
