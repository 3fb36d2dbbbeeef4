"""The command `check`: connect to every source and report what can be read. Changes nothing."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

import click

from retrain_service.commands.daemon_client import read_daemon_state
from retrain_service.commands.options import EXIT_FAILED, with_options
from retrain_service.commands.output import Output
from retrain_service.observers.notifications import open_addresses
from retrain_service.sources import open_source
from retrain_service.trainer.candidates import configured_workload
from shared.errors import HotfitError, NotFound
from shared.mapping.fields import RecordMapping, open_mappings
from shared.run_log.reader import reading
from shared.run_log.run import Run
from shared.settings.environment import unread_variables
from shared.settings.root import Settings
from shared.versions.model_names import split_name
from shared.workloads.contract import Workload
from shared.workloads.defaults import gate_of

N_SAMPLE = 20


@click.command()
@with_options
def check(settings: Settings, out: Output) -> None:
    """Connect to every source; say what is found, what is missing, what a retrain would need.

    Exit code 1 when a source does not answer or holds nothing that can be learnt from.
    """
    open_addresses(settings.notify.urls)
    models = [_model(settings, name) for name in settings.models]
    n_faults = sum(len(model["missing"]) for model in models)
    unread = unread_variables(os.environ)
    out.document(
        {"models": models, "total": len(models), "faults": n_faults, "unread_variables": unread}
    )
    for sentence in unread:
        out.say(sentence)
    if not models:
        out.say("no [models.…] section: nothing to train.")
    for model in models:
        for stream in model["streams"]:
            out.say(stream["sentence"])
            for reason, n in stream.get("not_usable", {}).items():
                out.say(f"    not usable: {reason} ({n})")
        for sentence in model["missing"]:
            out.say(f"{model['model']}: missing: {sentence}")
        for sentence in model["needs"]:
            out.say(f"{model['model']}: {sentence}")
    sys.exit(EXIT_FAILED if n_faults else 0)


def _model(settings: Settings, name: str) -> dict[str, Any]:
    model = settings.models[name]
    workload = configured_workload(model)
    time_zone = settings.sources[model.source].time_zone
    mappings = open_mappings(name, workload.read_fields, model.streams, time_zone)
    streams = [
        _stream(settings, name, workload, each.name, mappings[each.name])
        for each in workload.streams
    ]
    missing = [stream["error"] for stream in streams if stream.get("error")]
    for each, stream in zip(workload.streams, streams, strict=True):
        if each.is_counted and not stream.get("error") and not stream["usable_estimate"]:
            missing.append(
                f"{stream['where']} holds no usable record"
                + (": the reasons are above." if stream["not_usable"] else ".")
            )
    return {
        "model": name,
        "workload": model.workload,
        "source": model.source,
        "streams": streams,
        "missing": missing,
        "needs": _needs(settings, name, streams),
    }


def _stream(
    settings: Settings, name: str, workload: Workload, stream: str, mapping: RecordMapping
) -> dict[str, Any]:
    model = settings.models[name]
    where = f"{name}: {stream} in source {model.source}"
    try:
        source = open_source(settings.sources[model.source], model.stream(stream))
        try:
            found = source.inspect(n_sample=N_SAMPLE)
        finally:
            source.close()
    except HotfitError as error:
        return {
            "stream": stream,
            "where": where,
            "sentence": f"{where}: {error}",
            "error": str(error),
        }
    reasons = [workload.reject_reason(stream, mapping(record.fields)) for record in found.sample]
    n_usable = reasons.count(None)
    # A share of the newest ones says more than nothing, and costs no full read.
    estimate = round(found.n_records * n_usable / len(reasons)) if reasons else 0
    return {
        "stream": stream,
        "where": where,
        "n_records": found.n_records,
        "newest": found.newest_updated_at,
        "sampled": len(reasons),
        "sampled_usable": n_usable,
        "usable_estimate": estimate,
        "never_read": found.n_without_cursor_field,
        "not_usable": {
            reason: reasons.count(reason) for reason in sorted({r for r in reasons if r})
        },
        "sentence": f"{where}: {found.n_records} records, newest"
        f" {found.newest_updated_at or 'never'}; {n_usable} of the newest {len(reasons)} usable,"
        f" about {estimate} in all; {found.n_without_cursor_field} without"
        f" {model.stream(stream).updated_at_field} (never read)",
    }


def _needs(settings: Settings, name: str, streams: list[dict[str, Any]]) -> list[str]:
    """What a retrain would need, as far as it is known without reading everything."""
    model = settings.models[name]
    gate = gate_of(model)
    needs = [
        f"a retrain needs at least {gate.min_rows} rows over {gate.min_days} days, at most"
        f" {gate.max_rejected:.0%} of the records unusable."
    ]
    daemon = read_daemon_state(settings)
    trainings = (
        {
            full: report
            for full, report in daemon.report.models.items()
            if split_name(full)[0] == name
        }
        if daemon.report is not None
        else {}
    )
    for full, report in trainings.items():
        which = f"{full}: " if full != name else ""
        needs.append(
            f"{which}{report.n_usable_records:,} usable records read, {report.new_records:,} of"
            f" them new; next run: {report.next_due}"
        )
    run = _last_trained(settings, name)
    if run is not None:
        needs.append(
            f"the last run made {run.details['rows']:,} rows over {run.details['days']:,} days"
            f" out of {run.details.get('records', 0):,} records."
        )
    elif not trainings and all(not stream.get("error") for stream in streams):
        needs.append("no run yet: `once --dry-run` reads everything and counts the rows.")
    return needs


def _last_trained(settings: Settings, name: str) -> Run | None:
    with contextlib.suppress(NotFound), reading(settings.run_log_path) as log:
        runs, _ = log.runs(model=name, limit=20)
        return next((run for run in runs if run.details.get("rows") is not None), None)
    return None
