"""The command `status`: print the state of each model from reports and run log. Changes nothing."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click
import msgspec

from retrain_service.commands.daemon_client import DaemonState, read_daemon_state
from retrain_service.commands.options import with_options
from retrain_service.commands.output import Output
from retrain_service.home import read_store
from shared.daemon.liveness import still_runs
from shared.daemon.loop import utc_now
from shared.errors import HotfitError, NotFound
from shared.exchange.json_files import SignalUnreadable
from shared.exchange.reload_signal import ReloadSignal
from shared.exchange.retrain_report import TrainingReport
from shared.exchange.worker_report import WorkerReport, read_worker_reports
from shared.run_log.reader import reading
from shared.run_log.run import Run
from shared.run_log.view import run_line
from shared.settings.root import Settings
from shared.versions.manifest import BASELINE
from shared.versions.model_names import split_name
from shared.versions.model_store import ModelStore


@click.command()
@with_options
def status(settings: Settings, out: Output) -> None:
    """Whether the daemon runs, what each model serves, how its training stands."""
    daemon = read_daemon_state(settings)
    store = read_store(settings)
    workers = [report for report in read_worker_reports(settings.reports_dir) if _lives(report)]
    names = _names(settings, store, daemon)
    models = [_model(settings, store, name, daemon, workers) for name in names]
    out.document(
        {
            "retrain_daemon": {
                "state": daemon.state,
                "sentence": daemon.sentence,
                "pid": daemon.report.pid if daemon.report else None,
                "started_at": daemon.report.started_at if daemon.report else None,
                "updated_at": daemon.report.updated_at if daemon.report else None,
                "error": daemon.report.error if daemon.report else None,
            },
            "models": models,
            "total": len(models),
        }
    )
    out.say(daemon.sentence)
    if daemon.report is not None and daemon.report.error:
        out.say(f"trouble: {daemon.report.error}")
    if not models:
        out.say("no [models.…] section: nothing to train.")
    now = utc_now()
    for model in models:
        out.say()
        for line in _spoken(model, now):
            out.say(line)


def _names(settings: Settings, store: ModelStore, daemon: DaemonState) -> list[str]:
    """Every trained model; a configured one that has entities only through them."""
    reported = list(daemon.report.models) if daemon.report is not None else []
    found = {*reported, *store.model_names()}
    seen = {split_name(name)[0] for name in found}
    return sorted(found | (settings.models.keys() - seen))


def _model(
    settings: Settings,
    store: ModelStore,
    name: str,
    daemon: DaemonState,
    workers: Sequence[WorkerReport],
) -> dict[str, Any]:
    model, entity = split_name(name)
    signal, error = _signal(store, name)
    training = daemon.report.models.get(name) if daemon.report is not None else None
    serving = Counter(
        report.models[name].version or "nothing" for report in workers if name in report.models
    )
    run = _last_run(settings, name)
    return {
        "model": model,
        "entity": entity or None,
        "version": signal.version if signal else None,
        "generation": signal.generation if signal else None,
        "previous": signal.previous if signal else None,
        "hold": signal.hold if signal else False,
        "promoted_at": signal.promoted_at if signal else None,
        **_of_manifest(store, name, signal),
        "reason": signal.reason if signal else None,
        "error": error,
        "workers": dict(serving),
        "training": msgspec.to_builtins(training) if training else None,
        "last_run": run_line(run, **_progress_of(training, run)) if run else None,
    }


def _signal(store: ModelStore, name: str) -> tuple[ReloadSignal | None, str | None]:
    try:
        return store.signal(name), None
    except SignalUnreadable as error:
        return None, str(error)


def _of_manifest(store: ModelStore, name: str, signal: ReloadSignal | None) -> dict[str, Any]:
    """The newest record that the wanted version was fitted on, and which candidate it is; None
    where nobody can say."""
    with contextlib.suppress(HotfitError):
        if signal is not None:
            manifest = store.manifest(name, signal.version)
            return {"fitted_until": manifest.fitted_until, "candidate": manifest.candidate}
    return {"fitted_until": None, "candidate": None}


def _last_run(settings: Settings, name: str) -> Run | None:
    with contextlib.suppress(NotFound), reading(settings.run_log_path) as log:
        runs, _ = log.runs(model=name, limit=1)
        return runs[0] if runs else None
    return None


def _progress_of(training: TrainingReport | None, run: Run) -> Mapping[str, Any]:
    if training is None or training.running_run_id != run.run_id:
        return {}
    return {"stage": training.stage, "progress": training.progress}


def _lives(report: WorkerReport) -> bool:
    return still_runs(
        report.host,
        report.pid,
        started_at=report.started_at,
        updated_at=report.updated_at,
        now=utc_now(),
    )


def _spoken(model: Mapping[str, Any], now: datetime) -> list[str]:
    name = f"{model['model']}/{model['entity']}" if model["entity"] else model["model"]
    wanted = model["version"] or "no version yet"
    held = ", held" if model["hold"] else ""
    lines = [f"{name}  {wanted}{held}"]
    if model["error"]:
        lines.append(f"  trouble   {model['error']}")
    if model["candidate"] == BASELINE:
        lines.append("  baseline  the naive baseline serves: no model is surely better")
    if model["fitted_until"]:
        until = model["fitted_until"]
        age_s = max((now - until).total_seconds(), 0.0)
        lines.append(f"  fitted    on records until {until:%Y-%m-%d %H:%M} UTC, {_ago(age_s)} ago")
    if model["workers"]:
        lines.append(
            "  served    "
            + ", ".join(f"{version} by {n}" for version, n in sorted(model["workers"].items()))
        )
    training = model["training"]
    if training is not None:
        if training["running_run_id"]:
            lines.append(
                f"  training  {training['running_run_id']}: {training['stage']}"
                f" {training['progress'] or 0:.0%}"
            )
        lines.append(
            f"  next run  {training['next_due']} ({training['new_records']:,} new records of"
            f" {training['n_usable_records']:,} usable)"
        )
        if training["error"]:
            lines.append(f"  trouble   {training['error']}")
        lines += [
            f"  source    {each['source']}/{each['stream']}: {each['state']}, {each['sentence']}"
            for each in training["sources"]
            if each["state"] not in ("ok", "catching_up")
        ]
    run = model["last_run"]
    if run is not None and run["finished_at"]:
        outcome = "promoted" if run["promoted"] else run["status"]
        age_s = (now - datetime.fromisoformat(run["finished_at"])).total_seconds()
        lines.append(f"  last run  {run['run_id']} {outcome} {_ago(age_s)} ago")
        lines.append(f"            {run['error'] or run['verdict']}")
    return lines


def _ago(age_s: float) -> str:
    for unit_s, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if age_s >= 2 * unit_s:
            return f"{age_s / unit_s:.0f} {unit}"
    return f"{age_s:.0f} s"
