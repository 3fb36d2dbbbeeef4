"""Write, beside each model's signal, a file that names what serves, for programs that read such.

`current_model.json`, say. Nothing of ours reads it; the signal alone decides. Only the loop's
thread calls this.
"""

from __future__ import annotations

from datetime import UTC

import msgspec

from shared.atomic_file import write_atomic
from shared.errors import HotfitError
from shared.exchange.json_files import SignalUnreadable
from shared.exchange.reload_signal import SIGNAL_NAME, ReloadSignal
from shared.plain_file import Stamp, stamp_of
from shared.versions.manifest import MANIFEST_NAME, MODEL_NAME
from shared.versions.model_store import WAKE_FILE, ModelStore


class PointerFiles:
    """Knows which generation each file names."""

    def __init__(self, store: ModelStore, name: str) -> None:
        """name : of the files; "" for none."""
        self._store = store
        self._name = name
        self._written: dict[str, int] = {}
        self._seen: Stamp | None = None
        self._is_first = True

    def update(self) -> None:
        """Write the files of models whose signal has changed. Cheap while none has.

        Raises:
            StorageUnavailable: one could not be written; the next call tries it again.
        """
        if not self._name or self._name == SIGNAL_NAME:
            return
        stamp = stamp_of(self._store.models_dir / WAKE_FILE)
        if stamp == self._seen and not self._is_first:
            return
        for model in self._store.model_names():
            try:
                signal = self._store.signal(model)
            except SignalUnreadable:  # health says so
                continue
            if signal is not None and self._written.get(model) != signal.generation:
                self._write(model, signal)
                self._written[model] = signal.generation
        self._seen, self._is_first = stamp, False

    def _write(self, model: str, signal: ReloadSignal) -> None:
        directory = self._store.version_dir(model, signal.version)
        metrics: dict[str, float] = {}
        try:
            manifest = self._store.manifest(model, signal.version)
            metrics = {
                **manifest.metrics.get("candidate", {}),
                "test_samples": manifest.holdout.n_rows,
            }
        except HotfitError:
            pass  # it names the version all the same; health says what is wrong with it
        content = {
            "model_path": str(directory / MODEL_NAME),
            "metadata_path": str(directory / MANIFEST_NAME),
            "version": signal.version,
            "updated_at": signal.promoted_at.astimezone(UTC),
            "metrics": metrics,
        }
        path = self._store.signal_path(model).with_name(self._name)
        write_atomic(path, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
