"""Describe every version of a model: its state and the reason for it. Values in, values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.exchange.reload_signal import ReloadSignal
from shared.exchange.worker_report import WorkerReport
from shared.versions.model_version import ModelVersion, VersionState

PREVIOUS = "previous"
"""Shown state of the version that served before; a rollback goes there first."""


@dataclass(frozen=True, slots=True)
class VersionLine:
    """One version: a VersionState's value or "previous", and why."""

    version: str
    state: str
    reason: str


def version_lines(
    model: str,
    stored: Sequence[str],
    rejected: Mapping[str, str],
    signal: ReloadSignal | None,
    workers: Sequence[WorkerReport],
) -> list[VersionLine]:
    """Newest first.

    Args:
        stored: versions in the store. rejected: version -> verdict, from the run log.
    """
    reports = [report.models[model] for report in workers if model in report.models]
    serving = [report.version for report in reports if report.version]
    quarantined: dict[str, str] = {}
    for report in reports:
        for key, reason in report.quarantined.items():
            quarantined[key.partition(" ")[0]] = reason
    lines = [_line(version, serving, quarantined, signal, len(reports)) for version in set(stored)]
    lines += [
        VersionLine(version, VersionState.REJECTED, verdict)
        for version, verdict in rejected.items()
        if version not in stored
    ]
    return sorted(lines, key=lambda line: ModelVersion.parse(line.version), reverse=True)


def _line(
    version: str,
    serving: Sequence[str],
    quarantined: Mapping[str, str],
    signal: ReloadSignal | None,
    n_workers: int,
) -> VersionLine:
    wanted = signal.version if signal else None
    if version in serving:
        n = sum(one == version for one in serving)
        held = ", held there" if signal and signal.hold and version == wanted else ""
        return VersionLine(version, VersionState.SERVING, f"on {n} of {n_workers} workers{held}")
    if version in quarantined:
        return VersionLine(version, VersionState.QUARANTINED, quarantined[version])
    if signal is not None and version == wanted:
        return VersionLine(version, VersionState.PROMOTED, f"desired: {signal.reason}")
    if signal is not None and version == signal.previous:
        return VersionLine(version, PREVIOUS, f"served before {wanted}")
    if wanted is None:
        return VersionLine(version, VersionState.VALIDATED, "no version has been promoted yet")
    if ModelVersion.parse(version) > ModelVersion.parse(wanted):
        return VersionLine(
            version, VersionState.RETIRED, f"newer than the desired {wanted}: rolled back from"
        )
    return VersionLine(version, VersionState.RETIRED, f"followed by {wanted}")
