"""Manage all models of a worker: find them, reconcile each, evict the unused, publish reports.

Knows no route and no HTTP, and reads no directory events. One thread, the reload thread, calls
`tick`; any thread may call `open_cold` and read `reports`.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

import structlog

from api_service.reload.draining import Draining
from api_service.reload.eviction import OpenModel, size_bytes, to_close
from api_service.reload.model_state import ModelState, key_of
from api_service.reload.policy import VersionKey
from api_service.reload.reconciler import Outcome, Reconciler
from api_service.reload.retirement import retire_ended
from api_service.reload.signal_scan import NO_SIGNAL, SignalScan, Stamp
from api_service.reload.switch.channel import Channel, LocalChannel
from api_service.serving_slot import ServingTable
from shared.daemon.memory import trim
from shared.exchange.worker_report import ServingReport
from shared.keys.signing import VerifyKey
from shared.loading.open_version import LoadedModel
from shared.versions.model_store import ModelStore

log = structlog.get_logger()

# Apart, so that the workers do not die together.
LAST_RESORT_AFTER_S = (30.0, 90.0)
FORGET_AFTER_S = 60.0
"""A model whose directory is gone for so long, and that no configuration names, is forgotten."""

_NO_LIMIT = 1 << 62
_SIZE = "size_bytes"


class ReloadManager:
    """See the module docstring.

    Args:
        read_key: the trusted public key, read anew for each version so that it may appear later.
        configured: models of the configuration; they have a slot before their first version.
        channel: to the other workers; None when there are none.
        preload: with more models than this each is opened by the first request for it.
        budget_bytes: what open models may take together.
        on_change: called after every change that a report should show.
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
        channel: Channel | None = None,
        switch_timeout_s: float = 30.0,
        preload: int = 100,
        budget_bytes: int = _NO_LIMIT,
    ) -> None:
        self._table = table
        self._drain_timeout_s = drain_timeout_s
        self._configured = tuple(configured)
        self._on_change = on_change
        self._channel = channel or LocalChannel()
        self._preload = preload
        self._budget_bytes = budget_bytes
        self._scan = SignalScan(store.models_dir)
        self._reconciler = Reconciler(
            store,
            self._channel,
            read_key,
            switch_timeout_s,
            self._publish,
            lambda: any(model.serving for model in self._models()),
        )
        self._lock = threading.RLock()  # of what follows; held for no longer than it takes to look
        self._states: dict[str, ModelState] = {}
        self._closing: list[Draining] = []
        self._scan_error: str | None = None
        self.reports: Mapping[str, ServingReport] = {}
        self.n_idle = 0

    @property
    def opening_now(self) -> str | None:
        """What is being opened; None when nothing is."""
        return self._reconciler.opening_now

    @property
    def is_draining(self) -> bool:
        return bool(self._closing) or any(model.draining for model in self._models())

    def quarantine_crashing(self, name: str, key: VersionKey, reason: str) -> None:
        """Quarantine a version that workers died of, without opening it. Before the first tick."""
        model = self._model(name)
        model.observe(key)
        model.start_opening(key)
        self._reconciler.quarantine(model, key, reason)
        pause_s = random.uniform(*LAST_RESORT_AFTER_S)  # noqa: S311 - no secret
        model.last_resort_s = time.monotonic() + pause_s

    def tick(self, now: datetime) -> None:
        """Look at every model once. Never raises: one broken model must not stop the others."""
        stamps = self._stamps()
        with self._lock:
            known = set(self._states)
        names = sorted({*stamps, *self._configured, *known})
        self._table.add_all(names)
        self._update_last_used()
        n_promoted = sum(stamp != NO_SIGNAL for stamp in stamps.values())
        n_idle = 0
        for name in names:
            stamp = stamps.get(name, NO_SIGNAL)
            slot = self._table.slot(name)
            if name not in known and stamp != NO_SIGNAL:
                slot.is_idle = slot.is_idle or n_promoted > self._preload or self._is_full()
                if slot.is_idle:
                    n_idle += 1
                    continue
            model = self._model(name)
            if model.handled_signal != stamp and model.lock.acquire(blocking=False):
                # Held by somebody who opens it on demand: the next look will do.
                try:
                    self._reconcile_one(model, stamp, now)
                finally:
                    model.lock.release()
        self.n_idle = n_idle
        self._forget_removed(stamps)
        self._enforce_budget()
        self.finish_draining()

    def open_cold(self, name: str, now: datetime) -> None:
        """Open an idle model, if nobody has; afterwards it serves, or its slot says why not."""
        model = self._model(name)
        with model.lock:
            if not model.slot.is_idle:
                return
            self._reconcile_one(model, None, now)
            # What could not be opened is looked after by the timer, not by every request.
            model.slot.is_idle = False
        self._enforce_budget(keep=name)

    def finish_draining(self) -> None:
        """Retire every version that no request uses any more; waits for nobody."""
        for model in self._models():
            if model.draining and model.lock.acquire(blocking=False):
                try:
                    retire_ended(model, self._drain_timeout_s)
                finally:
                    model.lock.release()
                self._publish(model)
        still_draining = [draining for draining in self._closing if not draining.is_over]
        if len(still_draining) < len(self._closing):
            trim()
        self._closing = still_draining

    def _forget_removed(self, stamps: Mapping[str, Stamp]) -> None:
        """Forget models whose directory somebody has removed, a while after it is gone.

        While nothing at all is found the store itself is away, and what is open goes on.
        """
        now_s = time.monotonic()
        kept = {*stamps, *self._configured}
        for name in self._table.names() if stamps else ():
            with self._lock:
                model = self._states.get(name)
            if name in kept:
                if model is not None:
                    model.missing_since_s = None
            elif model is None:
                self._table.remove(name)
            elif model.missing_since_s is None:
                model.missing_since_s = now_s
            elif now_s - model.missing_since_s > FORGET_AFTER_S and self._close(model):
                self._table.remove(name)
                log.warning(
                    "model_forgotten",
                    sentence=f"{name} is not served any more: its directory was removed.",
                    model=name,
                )

    # -- small steps -----------------------------------------------------------------------------

    def _reconcile_one(self, model: ModelState, stamp: Stamp | None, now: datetime) -> None:
        """Reconcile one model, whose lock is held; `stamp` is the signal's before this look."""
        model.handled_signal = None
        try:
            outcome = Outcome.AGAIN
            while outcome is Outcome.AGAIN:
                outcome = self._reconciler.reconcile(model, now)
            if outcome is Outcome.SETTLED:
                model.handled_signal = stamp
        except Exception as error:  # a defect of ours; the old version goes on
            reason = f"looking after the model failed: {error!r}"
            if model.error != reason:
                log.exception("reconcile_failed", model=model.name)
            model.error = reason
        self._publish(model)

    def _stamps(self) -> dict[str, Stamp]:
        try:
            stamps = self._scan.scan()
        except OSError as error:
            if str(error) != self._scan_error:
                log.warning("models_directory_unreadable", error=str(error))
            self._scan_error = str(error)
            return {}
        self._scan_error = None
        return stamps

    def _models(self) -> list[ModelState]:
        with self._lock:
            return list(self._states.values())

    def _model(self, name: str) -> ModelState:
        with self._lock:
            if name not in self._states:
                self._states[name] = ModelState(self._table.add(name))
            return self._states[name]

    # -- the budget ------------------------------------------------------------------------------

    def _update_last_used(self) -> None:
        """When each open model was last asked, as exactly as looks are frequent."""
        now_s = time.monotonic()
        for model in self._models():
            if model.slot.is_used:
                model.slot.is_used = False
                model.last_used_s = now_s

    def _open_models(self) -> list[OpenModel]:
        return [
            OpenModel(model.name, _size_of(live), model.last_used_s)
            for model in self._models()
            if (live := model.slot.live) is not None
        ]

    def _is_full(self) -> bool:
        return sum(model.size_bytes for model in self._open_models()) >= self._budget_bytes

    def _enforce_budget(self, keep: str = "") -> None:
        """Close the models longest unused until the rest fits; never the one just opened."""
        models = self._open_models()
        if sum(model.size_bytes for model in models) <= self._budget_bytes:
            return
        self._update_last_used()
        models = self._open_models()
        newest = max(models, key=lambda one: one.last_used_s).name
        for name in to_close(models, self._budget_bytes, {keep or newest}):
            model = self._model(name)
            if not model.quarantined:  # which must be remembered
                self._close(model)

    def _close(self, model: ModelState) -> bool:
        """Serve nothing of it and forget what was known of it; whether that could be done now."""
        if not model.lock.acquire(blocking=False):
            return False
        try:
            if model.warmed is not None or model.draining:
                return False  # in the middle of a switch
            old = model.slot.close()
            if old is not None:
                log.info("model_closed", model=model.name, version=old.version)
                self._closing.append(Draining(old))
                model.forget(key_of(old))
            self._channel.unregister(model.name)
            with self._lock:
                self._states.pop(model.name, None)
                self.reports = {
                    name: report for name, report in self.reports.items() if name != model.name
                }
        finally:
            model.lock.release()
        return True

    def _publish(self, model: ModelState) -> None:
        """Make what changed of a model visible to other threads, all at once."""
        report = model.report()
        with self._lock:
            if self.reports.get(model.name) == report or model.name not in self._states:
                return
            self.reports = {**self.reports, model.name: report}
        self._on_change()


def _size_of(loaded: LoadedModel) -> int:
    """Reckoned once a version: all open ones are added up at every opening."""
    size: int = loaded.cache.get(_SIZE) or loaded.cache.setdefault(
        _SIZE, size_bytes(loaded.manifest)
    )
    return size
