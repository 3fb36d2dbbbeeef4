"""The command `check`: look at every configured stream and say what a training would meet.

Changes nothing. A model or source that is broken is told, and the others are looked at.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from retrain_service.commands.daemon_client import read_daemon_state
from retrain_service.commands.options import EXIT_FAILED, with_options
from retrain_service.commands.output import Output
from retrain_service.inspection.buffered import records_read
from retrain_service.inspection.stream_report import StreamReport, report_stream
from retrain_service.inspection.would_train import Outlook, outlook
from retrain_service.observers.notifications import open_addresses
from retrain_service.trainer.candidates import configured_workload
from shared.daemon.loop import utc_now
from shared.errors import FixConfiguration, NotFound
from shared.exchange.retrain_report import TrainingReport
from shared.mapping.fields import open_mappings
from shared.run_log.reader import reading
from shared.run_log.run import Run
from shared.settings.environment import unread_variables
from shared.settings.root import Settings
from shared.versions.model_names import split_name
from shared.workloads.defaults import gate_of


@click.command()
@click.option("--model", "only", default="", help="this model alone; default: all of them")
@with_options
def check(settings: Settings, out: Output, only: str) -> None:
    """Look at every source and say what is found, what is missing, and which lines mend it.

    Exit code 0: each model could start to train; 1: one could not, and the reason is said;
    2: the configuration is wrong.
    """
    if only and only not in settings.models:
        known = ", ".join(sorted(settings.models)) or "none"
        raise FixConfiguration(
            f"--model: expected one of the configured models ({known}), found {only!r}."
        )
    open_addresses(settings.notify.urls)
    sys.exit(check_models(settings, out, only))


def check_models(
    settings: Settings, out: Output, only: str = "", beside: Mapping[str, Any] | None = None
) -> int:
    """Look at every model, or at `only` one; print it, and return the exit code.

    beside : what else belongs into the document of `--json`.
    """
    models = [_model(settings, name) for name in settings.models if only in ("", name)]
    n_faults = sum(not model["would_start"] for model in models)
    unread = unread_variables(os.environ)
    found = {"models": models, "total": len(models), "faults": n_faults}
    out.document({**(beside or {}), **found, "unread_variables": unread})
    for sentence in unread:
        out.say(sentence)
    if not models:
        out.say("no [models.…] section: nothing to train. `init` writes one from a database.")
    for model in models:
        _say(out, model)
    return EXIT_FAILED if n_faults else 0


def _say(out: Output, model: Mapping[str, Any]) -> None:
    for stream in model["streams"]:
        out.say(stream["sentence"])
        for field in stream["fields"]:
            if field["there"] or field["is_needed"]:
                out.say(f"    {field['sentence']}")
        absent = [f["field"] for f in stream["fields"] if not (f["there"] or f["is_needed"])]
        if absent and stream["fields"]:
            out.say(f"    optional and not there: {', '.join(absent)}")
        for reason, n in stream["not_usable"].items():
            out.say(f"    not usable: {reason} ({n:,})")
        for sentence in stream["faults"]:
            if not stream["error"]:
                out.say(f"    fault: {sentence}")
        for sentence in stream["warnings"]:
            out.say(f"    warning: {sentence}")
        if stream["mend"]:
            out.say("    these lines would mend it:")
            for line in stream["mend"]:
                out.say(f"        {line}")
    for sentence in model["needs"]:
        out.say(f"{model['model']}: {sentence}")
    has_faults = any(stream["faults"] for stream in model["streams"])
    found = "would not start, for the faults above." if has_faults else model["outlook"]
    out.say(f"{model['model']}: a training {found}")


def _model(settings: Settings, name: str) -> dict[str, Any]:
    """Never an exception: whatever is broken here, the other models are looked at."""
    model, streams = settings.models[name], list[StreamReport]()
    needs: list[str] = []
    try:
        workload = configured_workload(model)
        time_zone = settings.sources[model.source].time_zone
        mappings = open_mappings(name, workload.read_fields, model.streams, time_zone)
        read = records_read(settings, name)
        now = utc_now()
        for spec in workload.streams:
            n_read = read.get(spec.name)
            streams.append(
                report_stream(
                    settings, name, workload, spec, mappings[spec.name], now=now, n_read=n_read
                )
            )
        found = outlook(name, model, workload, streams, now)
        needs = _needs(settings, name, found)
    except Exception as error:  # noqa: BLE001 - it is told, with its kind
        found = Outlook(False, f"cannot be told: {type(error).__name__}: {error}")
    return {
        "model": name,
        "workload": model.workload,
        "source": model.source,
        "streams": [_stream(each) for each in streams],
        "needs": needs,
        "would_start": found.would_start,
        "is_certain": found.is_certain,
        "outlook": found.sentence,
    }


def _stream(report: StreamReport) -> dict[str, Any]:
    sample = report.sample
    return {
        "stream": report.stream,
        "where": report.where,
        "error": report.error,
        "n_records": sample.found.n_records if sample else None,
        "newest": sample.newest if sample else None,
        "sampled": len(report.records),
        "is_whole": sample.is_whole if sample else False,
        "sampled_usable": report.n_usable,
        "usable_estimate": report.usable_estimate,
        "never_read": sample.found.n_without_cursor_field if sample else None,
        "not_usable": dict(report.rejected),
        "fields": [
            {
                "field": each.field.name,
                "is_needed": each.field.is_needed,
                "found": each.found,
                "there": each.n_there,
                "usable": each.n_usable,
                "looked_at": each.n_looked,
                "sentence": each.sentence,
            }
            for each in report.fields
        ],
        "faults": list(report.faults),
        "warnings": list(report.warnings),
        "mend": list(report.mend),
        "sentence": report.sentence,
    }


def _needs(settings: Settings, name: str, found: Outlook) -> list[str]:
    """What is known of the model beyond the streams: the daemon's counts, the last run."""
    gate = gate_of(settings.models[name])
    needs = []
    if found.would_start and not found.is_certain:
        needs.append(
            f"a training needs at least {gate.min_rows} rows over {gate.min_days} days, at most"
            f" {gate.max_rejected:.0%} of the records unusable; `once --dry-run` reads everything"
            " and counts the rows."
        )
    for full, report in _reported(settings, name).items():
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
    return needs


def _reported(settings: Settings, name: str) -> dict[str, TrainingReport]:
    daemon = read_daemon_state(settings)
    reports = daemon.report.models if daemon.report is not None else {}
    return {full: report for full, report in reports.items() if split_name(full)[0] == name}


def _last_trained(settings: Settings, name: str) -> Run | None:
    with contextlib.suppress(NotFound), reading(settings.run_log_path) as log:
        runs, _ = log.runs(model=name, limit=20)
        return next((run for run in runs if run.details.get("rows") is not None), None)
    return None
