"""Find and remove what is past its retention: versions, ended runs, events, files set aside.

`plan` only reads and may run anywhere; `carry_out` only in the process that holds the retrain
lock. Records that models learn from are no concern of this: each stream has its own
`retention_days`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from retrain_service.home import read_store
from retrain_service.maintenance.retention_versions import OldVersion, choose
from retrain_service.publish import stage
from shared.atomic_file import storage_errors
from shared.daemon.liveness import still_runs
from shared.exchange.worker_report import WorkerReport, read_worker_reports
from shared.prediction_log.segments import prune as prune_segments
from shared.run_log.pruning import OldEntries
from shared.run_log.reader import RunLogReader
from shared.run_log.writer import RunLog
from shared.settings.root import Settings
from shared.versions.model_store import DISCARDED_PREFIX, ModelStore

log = structlog.get_logger()

SET_ASIDE = (
    ("buffer", "**/*.unusable-*"),
    ("requests", "*.unreadable"),
    ("work/pinned", "**/*"),
)
"""Below the home directory: what was kept for a person to look at, or for a retry."""


@dataclass(frozen=True, slots=True)
class OldFile:
    path: Path
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What would go.

    notes : what was left alone although a rule says otherwise, as sentences.
    """

    versions: tuple[OldVersion, ...]
    entries: OldEntries
    files: tuple[OldFile, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.versions or self.files or self.entries.run_ids or self.entries.n_events)

    @property
    def n_bytes(self) -> int:
        """On disk; of runs and events, their text."""
        parts: Iterable[OldVersion | OldFile] = (*self.versions, *self.files)
        return sum(part.n_bytes for part in parts) + self.entries.n_bytes

    def sentence(self) -> str:
        return (
            f"{len(self.versions)} versions, {len(self.entries.run_ids)} runs,"
            f" {self.entries.n_events} events and {len(self.files)} files set aside,"
            f" {self.n_bytes:,} bytes"
        )


def plan(settings: Settings, run_log: RunLogReader | None, now: datetime) -> Plan:
    """Everything that is old and needed by nobody; no run log, no runs and events.

    Raises:
        StorageUnavailable: a directory cannot be read.
    """
    rules = settings.retention
    store = read_store(settings)
    reports = [
        report for report in read_worker_reports(settings.reports_dir) if _is_live(report, now)
    ]
    with storage_errors(settings.home):
        chosen = choose(store, reports, rules, now, _disk_bytes(settings.models_dir))
        if not rules.log_days:
            return Plan(chosen.going, OldEntries(), (), chosen.notes)
        before = now - timedelta(days=rules.log_days)
        entries = run_log.old_entries(before, chosen.kept) if run_log is not None else OldEntries()
        return Plan(chosen.going, entries, _old_files(settings.home, before), chosen.notes)


def carry_out(found: Plan, settings: Settings, run_log: RunLog) -> None:
    """Forget what `plan` found.

    A crash in the middle leaves every version whole or under a name that no reader looks at;
    such left-overs go at the next start.

    Raises:
        StorageUnavailable: the disk refused; what is not gone yet is found again next time.
    """
    store = ModelStore(settings.models_dir)
    with storage_errors(settings.home):
        for old in found.versions:
            stage.discard(store.version_dir(old.model, old.version))
        for model in store.model_names():  # of an earlier time that was cut short
            for path in store.left_over(model):
                if path.name.startswith(DISCARDED_PREFIX):
                    stage.discard(path)
        for file in found.files:
            file.path.unlink(missing_ok=True)
    run_log.forget(found.entries)


def prune(
    settings: Settings, run_log: RunLog, now: datetime, request_id: str | None = None
) -> Plan:
    """Plan and carry out, and write down what went; when somebody asked, also that nothing did.

    Raises:
        StorageUnavailable: as above.
    """
    found = plan(settings, run_log, now)
    for note in found.notes:
        log.warning("retention_limit_not_met", sentence=note)
    carry_out(found, settings, run_log)
    kept = settings.prediction_log
    # The workers do the same; but not where they log no more, or do not run.
    prune_segments(settings.prediction_log_dir, kept.keep_days, kept.max_mb * 1_000_000)
    if request_id is not None or not found.is_empty:
        sentence = f"forgotten: {found.sentence()}."
        details = {"request_id": request_id, **as_record(found)}
        run_log.add_event(now, "", "prune", sentence, details=details)
        log.info("prune", sentence=sentence)
    return found


def as_record(found: Plan) -> dict[str, Any]:
    """The plan as JSON values."""
    return {
        "versions": [
            {"model": old.model, "version": old.version, "bytes": old.n_bytes}
            for old in found.versions
        ],
        "runs": list(found.entries.run_ids),
        "n_events": found.entries.n_events,
        "files": [{"path": str(file.path), "bytes": file.n_bytes} for file in found.files],
        "bytes": found.n_bytes,
        "notes": list(found.notes),
    }


def _is_live(report: WorkerReport, now: datetime) -> bool:
    """Of another machine a day's silence is believed to be its end; it may only be cut off."""
    return still_runs(
        report.host,
        report.pid,
        started_at=report.started_at,
        updated_at=report.updated_at,
        now=now,
        silent_elsewhere=timedelta(days=1),
    )


def _disk_bytes(directory: Path) -> int:
    """Size of the file system that holds the directory, or will."""
    return shutil.disk_usage(next(p for p in (directory, *directory.parents) if p.exists())).total


def _old_files(home: Path, before: datetime) -> tuple[OldFile, ...]:
    found: Mapping[Path, int] = {
        path: path.stat().st_size
        for folder, pattern in SET_ASIDE
        for path in sorted((home / folder).glob(pattern))
        if path.is_file() and path.stat().st_mtime < before.timestamp()
    }
    return tuple(OldFile(path, n_bytes) for path, n_bytes in found.items())
