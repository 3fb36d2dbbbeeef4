"""Sign the signals of a home whose earlier release did not sign them, once."""

from __future__ import annotations

import contextlib

import structlog

from shared.exchange.json_files import SignalUnreadable
from shared.run_log.writer import RunLog
from shared.versions.model_store import ModelStore

log = structlog.get_logger()


def sign_signals_of_before(store: ModelStore, run_log: RunLog) -> None:
    """Sign what is there, once; from then on an unsigned signal is believed by nobody.

    Raises:
        StorageUnavailable: the disk refused; the next start goes on.
    """
    models = {model: _ever_wanted(store, run_log, model) for model in store.model_names()}
    for fault in store.signals.sign_found(models):
        log.warning("signal_not_signed", sentence=fault)


def _ever_wanted(store: ModelStore, run_log: RunLog, model: str) -> list[str]:
    """Versions that were promoted, the last one last; a version without a promotion is left out."""
    stored = store.versions(model)
    promoted = run_log.promoted_versions(model)
    with contextlib.suppress(SignalUnreadable):
        signal = store.signal(model)
        if signal is not None:
            promoted |= {signal.version, signal.previous or signal.version}
            # Newer than what is wanted: somebody rolled back from it.
            return sorted(
                (name for name in stored if name in promoted),
                key=lambda name: (name <= signal.version, name == signal.previous, name),
            )
    return [name for name in stored if name in promoted]
