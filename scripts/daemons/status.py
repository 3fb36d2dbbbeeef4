"""Both daemons at a glance: processes, the version each worker serves, the last run."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

import psutil

from scripts.daemons import health, processes
from scripts.daemons.terminal import ago, paint, say, size, table
from shared.errors import NotFound, StorageUnavailable
from shared.exchange.worker_report import read_worker_reports
from shared.run_log.reader import reading
from shared.run_log.run import Run
from shared.settings.root import Settings

EXIT_PARTLY, EXIT_STOPPED = 1, 3
_CPU_SAMPLE_S = 0.3
_HEAD = ("daemon", "state", "pid", "port", "cpu", "memory", "processes", "uptime")


def show(settings: Settings) -> int:
    """Print the status; 0 when both daemons run, 1 when one does, 3 when none does."""
    mains = {each: processes.running(each, settings.pids_dir) for each in processes.DAEMONS}
    groups = {each: processes.members(each, settings.home, main) for each, main in mains.items()}
    cpu = _cpu_percent(groups)
    rows: list[Sequence[str]] = []
    for daemon, main in mains.items():
        group = groups[daemon]
        if main is None:
            state = "stopped" if not group else f"stopped, {len(group)} left over"
            rows.append((daemon.name, state, *"-" * 6))
            continue
        rows.append(
            (
                daemon.name,
                "running",
                str(main.pid),
                str(settings.api.port) if daemon is processes.API else "-",
                f"{cpu[daemon]:.0f} %",
                _memory(group),
                str(len(group)),
                ago(time.time() - main.create_time()),
            )
        )
    say(table(_HEAD, rows))
    n_running = sum(main is not None for main in mains.values())
    say()
    if mains[processes.API] is not None:
        _say_health(settings)
    for model in settings.models:
        _say_model(settings, model, datetime.now(UTC))
    say(f"Logs: {settings.logs_dir}")
    if n_running == len(mains):
        return 0
    return EXIT_PARTLY if n_running else EXIT_STOPPED


def _cpu_percent(
    groups: dict[processes.Daemon, list[psutil.Process]],
) -> dict[processes.Daemon, float]:
    """Processor time used during a short look, in percent of one core."""

    def used_s(group: list[psutil.Process]) -> float:
        total = 0.0
        for process in group:
            with suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    before = {daemon: used_s(group) for daemon, group in groups.items()}
    if any(groups.values()):
        time.sleep(_CPU_SAMPLE_S)
    return {
        daemon: max(0.0, used_s(group) - before[daemon]) / _CPU_SAMPLE_S * 100
        for daemon, group in groups.items()
    }


def _memory(group: list[psutil.Process]) -> str:
    total = 0
    for process in group:
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return size(total)


def _say_health(settings: Settings) -> None:
    now = health.ask(settings)
    colour = "green" if now.is_serving and now.status != "degraded" else "yellow"
    say(f"Health: {paint(now.status, colour)}   {health.base_url(settings)}/health")
    if now.sentence:
        say(f"  {now.sentence}")


def _say_model(settings: Settings, model: str, now: datetime) -> None:
    say(f"{model}  {_served(settings, model)}")
    run = _last_run(settings, model)
    if run is None:
        say("  last run  none yet")
        return
    at = run.finished_at or run.started_at or run.requested_at
    outcome = run.status.value
    if run.finished_at is not None and run.error is None:
        outcome += ", promoted" if run.promoted else ", not promoted"
    say(f"  last run  {run.version} {outcome}, {ago((now - at).total_seconds())} ago")
    for sentence in (run.error, run.verdict):
        if sentence:
            say(f"            {sentence}")
            break


def _served(settings: Settings, model: str) -> str:
    """Which version how many workers serve, from the reports of the workers that live."""
    host = socket.gethostname()
    versions: Counter[str] = Counter()
    for report in read_worker_reports(settings.reports_dir):
        if report.host == host and not psutil.pid_exists(report.pid):
            continue
        serving = report.models.get(model)
        versions[serving.version or "nothing" if serving else "nothing"] += 1
    if not versions:
        return "is not served: no worker runs"
    total = versions.total()
    return "serves " + ", ".join(
        f"{version} on {n} of {total} workers" for version, n in sorted(versions.items())
    )


def _last_run(settings: Settings, model: str) -> Run | None:
    with suppress(NotFound, StorageUnavailable), reading(settings.run_log_path) as log:
        runs, _ = log.runs(model=model, limit=1)
        return runs[0] if runs else None
    return None
