"""Choose the versions that may be removed, by number, age and bytes. Removes nothing.

Needed, and never chosen: what is wanted, held or came before it, what a worker's report names, the
anchors of everything that is kept, and the newest version of each model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

from shared.errors import ManifestInvalid, NotFound, StorageUnavailable
from shared.exchange.json_files import SignalUnreadable
from shared.exchange.worker_report import WorkerReport
from shared.settings.sections import RetentionSettings
from shared.versions.model_store import ModelStore
from shared.versions.model_version import ModelVersion

_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class OldVersion:
    model: str
    version: str
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Choice:
    """going : in the order of their models and times; kept : model -> versions, oldest first.

    notes : what was left alone although a rule says otherwise, as sentences.
    """

    going: tuple[OldVersion, ...]
    kept: dict[str, Sequence[str]]
    notes: tuple[str, ...]


def choose(
    store: ModelStore,
    reports: Sequence[WorkerReport],
    rules: RetentionSettings,
    now: datetime,
    disk_bytes: int,
) -> Choice:
    """Apply the rules to every model, and then to all of them together.

    disk_bytes : size of the file system that holds the versions.

    Raises:
        OSError: a directory cannot be read.
    """
    models: list[_Versions] = []
    notes: list[str] = []
    for name in store.model_names():
        model = _Versions(store, name)
        models.append(model)
        try:
            needed = _needed(store, name, reports)
        except (SignalUnreadable, ManifestInvalid, StorageUnavailable) as error:
            notes.append(f"{name}: every version is kept: {error}")
            continue
        model.needed = needed | set(model.kept[-1:])
        youngest = now - timedelta(days=rules.version_days)
        model.drop(
            version for version in model.kept[: -rules.versions] if _created_at(version) < youngest
        )
        model.drop(model.kept[: -rules.max_versions])
        if rules.max_model_mb:
            notes += _fit([model], rules.max_model_mb * _MB, f"{name}: max_model_mb")
    notes += _fit(models, int(rules.max_disk_share * disk_bytes), "max_disk_share")
    going = tuple(old for model in models for old in model.going())
    return Choice(going, {model.name: model.kept for model in models}, tuple(notes))


class _Versions:
    """The versions of one model. needed : None as long as nobody knows, and then all are."""

    def __init__(self, store: ModelStore, name: str) -> None:
        self.name = name
        self.needed: set[str] | None = None
        self._store = store
        self._stored = store.versions(name)
        self.kept = list(self._stored)
        self._anchors: dict[str, str | None] = {}
        self._n_anchored: Counter[str | None] = Counter()

    def size(self, version: str) -> int:
        directory = self._store.version_dir(self.name, version)
        return _size(str(directory), directory.stat().st_mtime_ns)

    def drop(self, versions: Iterable[str]) -> list[str]:
        """Let go of those that nobody needs, the newest first; which ones."""
        wanted = sorted(set(versions), reverse=True)
        if not wanted or self.needed is None:
            return []
        self._read_anchors()
        dropped = []
        for version in wanted:
            # The newest first, for what is kept needs its anchor, and that is always older.
            if version not in self.needed and not self._n_anchored[version]:
                self._n_anchored[self._anchors[version]] -= 1
                dropped.append(version)
        gone = set(dropped)
        self.kept = [version for version in self.kept if version not in gone]
        return dropped

    def going(self) -> Iterable[OldVersion]:
        kept = set(self.kept)
        for version in self._stored:
            if version not in kept:
                yield OldVersion(self.name, version, self.size(version))

    def _read_anchors(self) -> None:
        if self._anchors:
            return
        for version in self._stored:
            try:
                anchor = self._store.manifest(self.name, version).promotion.anchor
            except (ManifestInvalid, NotFound):
                anchor = None  # it cannot be served, so nothing will be compared with its anchor
            self._anchors[version] = anchor
        self._n_anchored = Counter(self._anchors.values())


def _fit(models: Sequence[_Versions], limit_bytes: int, rule: str) -> list[str]:
    """Let go of the oldest until what is left fits; a sentence when it does not."""
    total = sum(model.size(version) for model in models for version in model.kept)
    if total <= limit_bytes:
        return []
    in_turn = sorted(
        ((_created_at(version), version, model) for model in models for version in model.kept),
        key=lambda found: found[:2],
    )
    for _, version, model in in_turn:
        n_bytes = model.size(version)
        if model.drop([version]):
            total -= n_bytes
            if total <= limit_bytes:
                return []
    return [f"{rule}: versions in use take {total:,} bytes, more than the {limit_bytes:,} allowed."]


def _needed(store: ModelStore, model: str, reports: Sequence[WorkerReport]) -> set[str]:
    """Wanted, held, previous, and whatever a worker names."""
    signal = store.signal(model)
    needed = {signal.version, signal.previous} if signal is not None else set()
    for report in reports:
        serving = report.models.get(model)
        if serving is not None:
            needed |= {serving.version, serving.wanted}
            if serving.receipt is not None:  # it may still be draining
                needed |= {serving.receipt.version, serving.receipt.previous}
    return {version for version in needed if version is not None}


def _created_at(version: str) -> datetime:
    return ModelVersion.parse(version).created_at


@lru_cache(maxsize=100_000)
def _size(directory: str, _changed_ns: int) -> int:
    """Bytes of all files. A version does not change once it has its name."""
    return sum(path.stat().st_size for path in Path(directory).rglob("*") if path.is_file())
