"""Take a warm version through a switch: stage it, wait for the other workers, swap, drain the old.

Knows states, receipts and the channel to the main process; opens nothing, reads no signal. The
caller holds the model's lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

import structlog

from api_service.reload.draining import Draining
from api_service.reload.model_state import DrainingSwap, ModelState, SwapStart, Warmed, key_of
from api_service.reload.policy import FALLBACK_GENERATION, VersionKey
from api_service.reload.retirement import log_swap
from api_service.reload.switch.channel import Channel
from shared.daemon.memory import rss_bytes
from shared.exchange.reload_signal import ReloadSignal
from shared.exchange.worker_report import Receipt
from shared.loading.open_version import LoadedModel
from shared.versions.model_version import VersionState

log = structlog.get_logger()

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
# Nothing serves yet and the others decide within milliseconds; after this the next look finds it.
_COLD_WAIT_S = 5.0
_MESSAGE_WAIT_S = 0.05


class SwitchParticipant:
    """See the module docstring.

    Args:
        wait_warning_s: a version that waits longer than this for other workers is said to.
        publish: called after every change that a report should show.
    """

    def __init__(
        self, channel: Channel, wait_warning_s: float, publish: Callable[[ModelState], None]
    ) -> None:
        self._channel = channel
        self._wait_warning_s = wait_warning_s
        self._publish = publish

    def offer(
        self, model: ModelState, loaded: LoadedModel, start: SwapStart, now: datetime
    ) -> bool:
        """A version is warm; True when it serves already."""
        key = key_of(loaded)
        entry = self._channel.entry(model.name)
        if entry is None or loaded.generation == FALLBACK_GENERATION:
            # Alone, or a way out that no signal named: there is nothing to switch together.
            self._channel.ready(model.name, key)
            self._swap(model, loaded, start, 0.0, now)
            return True
        model.warmed = Warmed(loaded, start, time.monotonic())
        model.slot.stage_next(loaded, *entry)
        del loaded
        self._channel.ready(model.name, key)  # after arming: the cell may flip at any moment now
        self._publish(model)
        is_cold = model.slot.live is None
        deadline = time.monotonic() + _COLD_WAIT_S
        while True:
            n_messages = self._channel.n_messages  # before looking: what comes meanwhile is news
            if self.apply_decision(model, now):
                return True
            if model.warmed is None or not is_cold or time.monotonic() > deadline:
                return False
            self._channel.wait_for_message(n_messages, _MESSAGE_WAIT_S)

    def apply_decision(self, model: ModelState, now: datetime) -> bool:
        """Carry out what was decided on the version that waits; True when it serves."""
        warmed = model.warmed
        if warmed is None:
            return False
        key = key_of(warmed.loaded)
        waited_s = time.monotonic() - warmed.since_s
        if model.slot.is_switched:
            model.warmed = None
            self._swap(model, warmed.loaded, warmed.start, waited_s * 1e3, now)
            return True
        refusal = self._channel.refused(model.name, key[1])
        if refusal is not None:
            model.warmed = None
            model.slot.unstage_next()
            self.quarantine(model, key, refusal)
        elif self._channel.is_superseded(model.name, key[1]):
            model.warmed = None
            model.slot.unstage_next()
            model.forget(key)
            log.info("superseded", model=model.name, version=key[0], generation=key[1])
            self._publish(model)
        elif waited_s > self._wait_warning_s:
            model.set_degraded(
                f"{key[0]} has been loaded in this worker for {waited_s:.0f} s and waits for the"
                " other workers to load it."
                f" {_still(model)}"
            )
            self._publish(model)
        return False

    def announce_newer(self, model: ModelState, signal: ReloadSignal | None) -> None:
        """Something newer than what waits is wanted: say so, and keep what waits until heard."""
        warmed = model.warmed
        if warmed is None or signal is None or signal.generation <= warmed.loaded.generation:
            return
        wanted = (signal.version, signal.generation)
        if model.highest != wanted:
            model.observe(wanted)
            self._channel.opening(model.name, wanted)

    def quarantine(self, model: ModelState, key: VersionKey, reason: str) -> None:
        """It is never tried again at this generation; the old one goes on."""
        model.quarantine(key, reason)
        log.error(
            "version_quarantined",
            model=model.name,
            version=key[0],
            generation=key[1],
            reason=reason,
            now=_still(model),
        )
        self._publish(model)

    def try_later(self, model: ModelState, key: VersionKey, reason: str) -> None:
        """Nothing is known to be wrong with the version; back off and look again."""
        model.pause_s = min(max(model.pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        model.not_before = time.monotonic() + model.pause_s
        model.error = reason
        model.set_degraded(
            f"{key[0]} cannot be opened yet and is tried again: {reason} {_still(model)}"
        )
        self._channel.retry(model.name, key, reason)
        self._publish(model)

    def _swap(
        self,
        model: ModelState,
        loaded: LoadedModel,
        start: SwapStart,
        wait_ms: float,
        now: datetime,
    ) -> None:
        """The new one was ready before the old one leaves."""
        started = time.perf_counter()
        old = model.slot.swap(loaded)
        switch_ms = (time.perf_counter() - started) * 1e3
        model.set_state(key_of(loaded), VersionState.SERVING)
        model.receipt = Receipt(
            version=loaded.version,
            generation=loaded.generation,
            previous=old.version if old else None,
            detect_ms=start.detect_ms,
            verify_ms=loaded.timings.verify_ms,
            load_ms=loaded.timings.load_ms,
            golden_ms=loaded.timings.golden_ms,
            warm_ms=loaded.timings.warm_ms,
            wait_ms=wait_ms,
            switch_ms=switch_ms,
            drain_ms=None,
            rss_before_bytes=start.rss_bytes,
            rss_after_bytes=None if old else rss_bytes(),
            requests_failed=model.slot.n_failed - start.n_failed,
            swapped_at=now,
        )
        model.error = None
        model.set_degraded(None)
        model.end_backoff()
        if old is None:
            log_swap(model.name, model.receipt)
        else:
            model.set_state(key_of(old), VersionState.DRAINING)
            model.draining.append(DrainingSwap(Draining(old), model.receipt, start.n_failed))
        del old  # ours must not be the reference that keeps it alive
        self._publish(model)


def _still(model: ModelState) -> str:
    live = model.slot.live
    return f"Still serving {live.version}." if live else "Nothing serves."
