"""Drive each model from what serves to what is wanted; the old one goes on until then.

Owns the states of versions in this worker and says what happened (receipts, reports). Knows no
route and no HTTP, and reads no directory events. One thread, the reload thread, calls `tick`;
any thread may read `reports`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from api_service.draining import Draining
from api_service.followed_model import FollowedModel, Leaving, key_of
from api_service.memory import rss_bytes
from api_service.reload_policy import (
    FALLBACK_GENERATION,
    FallBack,
    Keep,
    Open,
    Situation,
    VersionKey,
    decide,
    fallback_order,
)
from api_service.retirement import log_swap, retire_ended
from api_service.serving_slot import ServingTable
from shared.errors import HotfitError, VersionUnusable
from shared.keys import VerifyKey
from shared.model_loader import LoadedModel, open_version
from shared.model_store import ModelStore
from shared.model_version import VersionState
from shared.signals import Receipt, ReloadSignal, ServingReport, SignalUnreadable

log = structlog.get_logger()

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0


class ReloadManager:
    """See the module docstring.

    Args:
        read_key: the trusted public key, read anew for each version so that it may appear later.
        configured: models of the configuration; they have a slot before their first version.
        on_change: called in the reload thread after every change that a report should show.
    """

    def __init__(
        self,
        store: ModelStore,
        table: ServingTable,
        read_key: Callable[[], VerifyKey],
        *,
        drain_timeout_s: float,
        configured: Iterable[str] = (),
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._table = table
        self._read_key = read_key
        self._drain_timeout_s = drain_timeout_s
        self._configured = tuple(configured)
        self._on_change = on_change
        self._followed: dict[str, FollowedModel] = {}
        self._started = time.time()
        self.reports: Mapping[str, ServingReport] = {}
        self.busy_with: str | None = None

    @property
    def is_draining(self) -> bool:
        return any(model.leaving for model in self._followed.values())

    def distrust(self, name: str, key: VersionKey, reason: str) -> None:
        """Quarantine a version without opening it. Called before the first tick."""
        model = self._model(name)
        model.follow(key)
        model.begin(key)
        self._quarantine(model, key, reason)

    def tick(self, now: datetime) -> None:
        """Look at every model once. Never raises: one broken model must not stop the others."""
        for name in self._names():
            model = self._model(name)
            try:
                while self._reconcile(model, now):
                    pass
            except Exception as error:  # a defect of ours; the old version goes on
                reason = f"looking after the model failed: {error!r}"
                if model.error != reason:
                    log.exception("reconcile failed", model=name)
                model.error = reason
        self.finish_draining()

    def finish_draining(self) -> None:
        """Retire every version that no request uses any more; waits for nobody."""
        for model in self._followed.values():
            retire_ended(model, self._drain_timeout_s)
        self._publish()

    def _model(self, name: str) -> FollowedModel:
        if name not in self._followed:
            self._followed[name] = FollowedModel(self._table.add(name))
        return self._followed[name]

    def _names(self) -> list[str]:
        try:
            found = self._store.model_names()
        except OSError as error:
            log.warning("models directory cannot be read", error=str(error))
            found = []
        return sorted({*found, *self._configured, *self._followed})

    # -- one model -------------------------------------------------------------------------------

    def _reconcile(self, model: FollowedModel, now: datetime) -> bool:
        """Wanted against serving -> at most one action.

        Returns:
            True to look again at once: nothing serves, and what was wanted is now quarantined.
        """
        fault: str | None = None
        signal: ReloadSignal | None = None
        try:
            signal = self._store.signal(model.name)
        except (SignalUnreadable, OSError) as error:
            fault = str(error)
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
            case Keep(degraded):
                model.set_degraded(degraded)
                if degraded is None:
                    model.error = None
            case Open(wanted) if not (is_waiting and model.highest == _key(wanted)):
                key = _key(wanted)
                model.follow(key)
                if self._try(model, *key, wanted.manifest_sha256, now) or model.serving:
                    return False
                if key in model.quarantined:
                    return True
                # It may be opened later; until then an older version is better than none.
                self._fall_back(model, signal, model.degraded or "", now)
            case FallBack(reason) if not is_waiting:
                self._fall_back(model, signal, reason, now)
        return False

    def _fall_back(
        self, model: FollowedModel, signal: ReloadSignal | None, reason: str, now: datetime
    ) -> None:
        """Cold start with a broken wanted version: the best one that verifies and loads."""
        versions = self._store.versions(model.name)
        for version in fallback_order(versions, signal, model.quarantined):
            if signal is not None and version == signal.version:
                continue  # it was tried as what it is
            if self._try(model, version, FALLBACK_GENERATION, None, now):
                model.set_degraded(f"{reason} Serving {version} instead.")
                return
            if (version, FALLBACK_GENERATION) not in model.quarantined:
                return  # not this version's fault; the next would meet the same
        model.set_degraded(f"{reason} No other version can be opened.")

    def _try(
        self,
        model: FollowedModel,
        version: str,
        generation: int,
        manifest_sha256: str | None,
        now: datetime,
    ) -> bool:
        """Open one version and swap to it; True when it serves."""
        key = (version, generation)
        before = _Before(rss_bytes(), model.slot.n_failed, self._detect_ms(model.name))
        model.begin(key)
        self._publish()
        self.busy_with = f"{model.name} {version}"
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
        except VersionUnusable as error:
            self._quarantine(model, key, str(error))
            return False
        except (HotfitError, OSError) as error:
            self._try_later(model, key, str(error))
            return False
        except Exception as error:  # noqa: BLE001 - code of a model ran; whatever it raised
            self._quarantine(model, key, f"{version}: opening it failed: {error!r}")
            return False
        finally:
            self.busy_with = None
        self._swap(model, loaded, before, now)
        return True

    def _warming(self, model: FollowedModel, key: VersionKey) -> None:
        model.go(key, VersionState.WARMING)
        self._publish()

    def _swap(
        self, model: FollowedModel, loaded: LoadedModel, before: _Before, now: datetime
    ) -> None:
        """The new one is ready before the old one leaves: what clients see changes only here."""
        started = time.perf_counter()
        old = model.slot.swap(loaded)
        switch_ms = (time.perf_counter() - started) * 1e3
        model.go(key_of(loaded), VersionState.SERVING)
        model.receipt = Receipt(
            version=loaded.version,
            generation=loaded.generation,
            previous=old.version if old else None,
            detect_ms=before.detect_ms,
            verify_ms=loaded.timings.verify_ms,
            load_ms=loaded.timings.load_ms,
            golden_ms=loaded.timings.golden_ms,
            warm_ms=loaded.timings.warm_ms,
            switch_ms=switch_ms,
            drain_ms=None,
            rss_before_bytes=before.rss_bytes,
            rss_after_bytes=None if old else rss_bytes(),
            requests_failed=model.slot.n_failed - before.n_failed,
            swapped_at=now,
        )
        model.error = None
        model.set_degraded(None)
        model.end_backoff()
        if old is None:
            log_swap(model.name, model.receipt)
        else:
            model.go(key_of(old), VersionState.DRAINING)
            model.leaving.append(Leaving(Draining(old), model.receipt, before.n_failed))
        del old  # ours must not be the reference that keeps it alive
        self._publish()

    # -- what happened ---------------------------------------------------------------------------

    def _quarantine(self, model: FollowedModel, key: VersionKey, reason: str) -> None:
        model.quarantine(key, reason)
        live = model.slot.current()
        log.error(
            "version quarantined",
            model=model.name,
            version=key[0],
            generation=key[1],
            reason=reason,
            now=f"still serving {live.version}" if live else "nothing serves",
        )
        self._publish()

    def _try_later(self, model: FollowedModel, key: VersionKey, reason: str) -> None:
        """Nothing is known to be wrong with the version; back off and look again."""
        model.pause_s = min(max(model.pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        model.not_before = time.monotonic() + model.pause_s
        live = model.slot.current()
        model.error = reason
        model.set_degraded(
            f"{key[0]} cannot be opened yet and is tried again: {reason}"
            f" {f'Still serving {live.version}.' if live else 'Nothing serves.'}"
        )
        self._publish()

    def _detect_ms(self, name: str) -> float:
        """How long ago the signal was written; 0 when that was before this worker started."""
        try:
            written = self._store.signal_path(name).stat().st_mtime
        except OSError:
            return 0.0
        return max(0.0, (time.time() - written) * 1e3) if written > self._started else 0.0

    def _publish(self) -> None:
        """Make what changed visible to other threads, all at once."""
        reports = {name: model.report() for name, model in self._followed.items()}
        if reports != self.reports:
            self.reports = reports
            self._on_change()


@dataclass(frozen=True, slots=True)
class _Before:
    """How things stood when a version began to be opened."""

    rss_bytes: int
    n_failed: int
    detect_ms: float


def _key(signal: ReloadSignal) -> VersionKey:
    return signal.version, signal.generation
