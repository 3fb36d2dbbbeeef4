"""Find versions that crash workers while they load, by the reports of dead workers.

A model that exhausts memory or crashes a library cannot be caught by its own process: without this
module, every replacement would fail the same way. Reads reports and signals, opens nothing.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from api_service.reload.policy import VersionKey
from api_service.status.workers import is_alive
from shared.exchange.json_files import SignalUnreadable
from shared.exchange.worker_report import WorkerReport, read_worker_reports
from shared.versions.model_store import ModelStore
from shared.versions.model_version import VersionState

# One death may be an accident (somebody's kill -9) that happened to fall into a swap.
_ENOUGH_DEATHS = 2
_OPENING = frozenset({VersionState.LOADING.value, VersionState.WARMING.value})


def crash_reports(reports_dir: Path, store: ModelStore) -> list[WorkerReport]:
    """Reports of workers that died while they opened a version that is still the wanted one."""
    return [
        report
        for report in read_worker_reports(reports_dir)
        if not is_alive(report) and any(_was_opening(report, name, store) for name in report.models)
    ]


def crashing_versions(reports: list[WorkerReport], store: ModelStore) -> dict[str, VersionKey]:
    """Model -> the version that killed more than one worker."""
    deaths = Counter(
        (name, model_report.wanted or "", model_report.generation)
        for report in reports
        for name, model_report in report.models.items()
        if _was_opening(report, name, store)
    )
    return {
        name: (version, generation)
        for (name, version, generation), n in deaths.items()
        if n >= _ENOUGH_DEATHS
    }


def _was_opening(report: WorkerReport, name: str, store: ModelStore) -> bool:
    model_report = report.models[name]
    if model_report.state not in _OPENING:
        return False
    try:
        signal = store.signal(name)
    except (SignalUnreadable, OSError):
        return False
    return signal is not None and (signal.version, signal.generation) == (
        model_report.wanted,
        model_report.generation,
    )
