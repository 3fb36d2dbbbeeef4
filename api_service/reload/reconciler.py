"""Bring one model from its serving version to its desired one: decide, open, swap.

Opens versions and hands them to the switch participant; knows no route, no other model and no
directory events. The caller holds the model's lock: the reload thread, or a thread that loads a
model at its first request.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from enum import Enum, auto

from api_service.predict.row_predictor import RowPredictor
from api_service.reload.model_state import ModelState, SwapStart
from api_service.reload.policy import (
    FALLBACK_GENERATION,
    FallBack,
    Keep,
    Open,
    Situation,
    VersionKey,
    decide,
    fallback_order,
)
from api_service.reload.switch.channel import Channel
from api_service.reload.switch.participant import SwitchParticipant
from api_service.status.problem_codes import ProblemCode
from shared.daemon.memory import rss_bytes
from shared.errors import HotfitError, VersionUnusable
from shared.exchange.json_files import SignalUnreadable
from shared.exchange.reload_signal import ReloadSignal
from shared.keys.signing import VerifyKey
from shared.loading.open_version import open_version
from shared.versions.model_store import ModelStore
from shared.versions.model_version import VersionState


class Outcome(Enum):
    """SETTLED: nothing more to do until the signal changes. AGAIN: look again at once."""

    SETTLED = auto()
    AGAIN = auto()
    LOOK_LATER = auto()


class Reconciler:
    """See the module docstring. `opening_now`: what is being opened; None when nothing is."""

    def __init__(
        self,
        store: ModelStore,
        channel: Channel,
        read_key: Callable[[], VerifyKey],
        switch_timeout_s: float,
        publish: Callable[[ModelState], None],
        is_anything_served: Callable[[], bool],
    ) -> None:
        self._store = store
        self._channel = channel
        self._read_key = read_key
        self._publish = publish
        self._is_anything_served = is_anything_served
        self._participant = SwitchParticipant(channel, switch_timeout_s, publish)
        self._started_s = time.time()
        self.opening_now: str | None = None

    def reconcile(self, model: ModelState, now: datetime) -> Outcome:
        """Wanted against serving -> at most one action."""
        fault: str | None = None
        signal: ReloadSignal | None = None
        try:
            signal = self._store.signal(model.name)
        except (SignalUnreadable, OSError) as error:
            fault = str(error)
        if model.warmed is not None:
            self._participant.apply_decision(model, now)
            if model.warmed is not None:
                self._participant.announce_newer(model, signal)
                return Outcome.LOOK_LATER
        action = decide(
            Situation(
                signal=signal,
                signal_fault=fault,
                serving=model.serving,
                followed=model.highest,
                quarantined=model.quarantined,
            )
        )
        is_waiting = model.not_before > time.monotonic()
        match action:
            case Keep(degraded, code):
                model.set_degraded(degraded, code)
                if degraded is None:
                    model.error = None
                return Outcome.SETTLED if fault is None else Outcome.LOOK_LATER
            case Open(wanted) if not (is_waiting and model.highest == _key(wanted)):
                is_worth_another_look = self._open_wanted(model, wanted, now)
                return Outcome.AGAIN if is_worth_another_look else Outcome.LOOK_LATER
            case FallBack(reason, code) if not is_waiting:
                if not self._open_what_others_serve(model, now):
                    self._fall_back(model, signal, reason, code, now)
        return Outcome.LOOK_LATER

    def _open_wanted(self, model: ModelState, wanted: ReloadSignal, now: datetime) -> bool:
        """Open what the signal names; True when there may be something better to do now."""
        key = _key(wanted)
        model.observe(key)
        if model.serving is None and self._open_what_others_serve(model, now):
            # A worker that starts in the middle of a switch begins where the others are, and
            # takes requests before it opens what may harm it.
            return False
        refusal = self._channel.refused(model.name, key[1])
        if refusal is not None:
            model.start_opening(key)
            self._participant.quarantine(model, key, refusal)
            return True
        is_serving = self._try(model, *key, wanted.manifest_sha256, now)
        if is_serving or model.serving or model.warmed:
            return False
        if key in model.quarantined:
            return True
        # It may be opened later; until then an older version is better than none.
        code = ProblemCode.OTHER_VERSION_SERVED
        self._fall_back(model, wanted, model.degraded or "", code, now)
        return False

    def _open_what_others_serve(self, model: ModelState, now: datetime) -> bool:
        """Nothing serves here; what do the other workers answer with? True when it serves."""
        committed = self._channel.register(model.name)
        if committed is None or committed in model.quarantined:
            return False
        return self._try(model, *committed, None, now)

    def _fall_back(
        self,
        model: ModelState,
        signal: ReloadSignal | None,
        reason: str,
        code: ProblemCode,
        now: datetime,
    ) -> None:
        """Cold start with a broken wanted version: the best one that verifies and loads."""
        versions = self._store.versions(model.name)
        last = signal
        if (remembered := self._store.signals.remembered(model.name)) is not None:
            # What was never promoted lies there by an accident, or was put there.
            versions = [version for version in versions if version in remembered.promoted]
            last = signal or remembered.signal
        is_signal_present = signal is not None
        for version in fallback_order(
            versions, last, model.quarantined, is_signal_present=is_signal_present
        ):
            if signal is not None and version == signal.version:
                continue  # it was tried as what it is
            if self._try(model, version, FALLBACK_GENERATION, None, now):
                model.set_degraded(f"{reason} Serving {version} instead.", code)
                return
            if (version, FALLBACK_GENERATION) not in model.quarantined:
                return  # not this version's fault; the next would meet the same
        # Those who died of it may have been killed from outside, and there is nothing to lose.
        if (
            signal is not None
            and self._is_last_resort(model)
            and self._try(model, signal.version, FALLBACK_GENERATION, None, now)
        ):
            reason_shown = f"{reason} Serving it all the same: there is nothing else."
            model.set_degraded(reason_shown, code)
            return
        model.set_degraded(f"{reason} No other version can be opened.", code)

    def _is_last_resort(self, model: ModelState) -> bool:
        """Whether to try, once, what earlier workers died of; it may end this one too."""
        due_s = model.last_resort_s
        if due_s is None or time.monotonic() < due_s or self._is_anything_served():
            return False
        model.last_resort_s = None
        return True

    def _try(
        self,
        model: ModelState,
        version: str,
        generation: int,
        manifest_sha256: str | None,
        now: datetime,
    ) -> bool:
        """Open one version and switch to it; True when it serves."""
        key = (version, generation)
        start = SwapStart(rss_bytes(), model.slot.n_failed, self._detect_ms(model.name))
        model.start_opening(key)
        self._publish(model)
        self._channel.opening(model.name, key)
        self.opening_now = f"{model.name} {version}"
        try:
            loaded = open_version(
                self._store.version_dir(model.name, version),
                self._read_key(),
                model=model.name,
                version=version,
                generation=generation,
                manifest_sha256=manifest_sha256,
                on_warming=lambda: self._warming(model, key),
            )
            RowPredictor.of(loaded)  # here and not at the first request
        except VersionUnusable as error:
            self.quarantine(model, key, str(error))
            return False
        except (HotfitError, OSError) as error:
            self._participant.try_later(model, key, str(error))
            return False
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - code of a model ran: it may even exit
            self.quarantine(model, key, f"{version}: opening it failed: {error!r}")
            return False
        finally:
            self.opening_now = None
        return self._participant.offer(model, loaded, start, now)

    def _warming(self, model: ModelState, key: VersionKey) -> None:
        model.set_state(key, VersionState.WARMING)
        self._publish(model)

    def quarantine(self, model: ModelState, key: VersionKey, reason: str) -> None:
        """It can never be opened here at this generation, so nobody shall switch to it."""
        self._participant.quarantine(model, key, reason)
        self._channel.failed(model.name, key, reason)

    def _detect_ms(self, name: str) -> float:
        """How long ago the signal was written; 0 when that was before this worker started."""
        try:
            written = self._store.signal_path(name).stat().st_mtime
        except OSError:
            return 0.0
        return max(0.0, (time.time() - written) * 1e3) if written > self._started_s else 0.0


def _key(signal: ReloadSignal) -> VersionKey:
    return signal.version, signal.generation
