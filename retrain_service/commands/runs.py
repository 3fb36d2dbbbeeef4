"""The commands `runs`, `show` and `events`: print the run log. They change nothing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any

import click

from retrain_service.commands.daemon_client import read_daemon_state
from retrain_service.commands.options import meant, with_model, with_options
from retrain_service.commands.output import Output
from shared.errors import FixConfiguration, NotFound
from shared.exchange.retrain_report import TrainingReport
from shared.run_log.reader import Event, RunLogReader, reading
from shared.run_log.run import Run, RunStatus
from shared.run_log.view import run_line, run_record
from shared.settings.root import Settings

TRIGGERS = ("manual", "first", "new_records", "event", "cron", "every", "environment")
FOLLOW_PERIOD_S = 0.5


@click.command()
@with_model
@click.option(
    "--status",
    type=click.Choice([each.value for each in RunStatus]),
    help="only runs that came to this",
)
@click.option("--trigger", type=click.Choice(TRIGGERS), help="only runs that this started")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--offset", type=click.IntRange(min=0), default=0, show_default=True)
@with_options
def runs(
    settings: Settings,
    out: Output,
    model: str,
    entity: str,
    status: str | None,
    trigger: str | None,
    limit: int,
    offset: int,
) -> None:
    """The training runs, newest first."""
    name = meant(settings, model, entity) if model or entity else None
    found: list[Run] = []
    total = 0
    with contextlib.suppress(NotFound), reading(settings.run_log_path) as log:
        found, total = log.runs(
            model=name,
            status=RunStatus(status) if status else None,
            trigger=trigger,
            limit=limit,
            offset=offset,
        )
    lines = [run_line(run, **_progress_of(settings, run)) for run in found]
    following = offset + len(found) if offset + len(found) < total else None
    out.document(
        {
            "runs": lines,
            "total": total,
            **({"next": {"offset": following}} if following is not None else {}),
        }
    )
    if not found:
        out.say("no runs." if not total else f"no runs after the first {total}.")
        return
    out.table(
        ("run", "model", "version", "trigger", "status", "finished", "why"),
        [_cells(run, line) for run, line in zip(found, lines, strict=True)],
    )
    more = f"; the next: --offset {following}" if following is not None else ""
    out.say(f"{offset + 1}-{offset + len(found)} of {total}{more}")


@click.command()
@click.argument("run_id", metavar="RUN")
@with_options
def show(settings: Settings, out: Output, run_id: str) -> None:
    """All that is known of one run; the beginning of its id is enough."""
    with reading(settings.run_log_path) as log:
        run = _run_of(log, run_id)
    record = run_record(run, **_progress_of(settings, run))
    out.document(record)
    gates, details = record.pop("gates"), record.pop("details")
    out.fields({**record, **{f"details.{key}": value for key, value in details.items()}})
    if gates:
        out.say()
        out.table(
            ("gate", "verdict", "value", "bound", "n", "sentence"),
            [
                (
                    gate["gate"],
                    gate["verdict"],
                    _figure(gate["value"]),
                    _figure(gate["bound"]),
                    gate["n"],
                    gate["sentence"],
                )
                for gate in gates
            ],
        )


@click.command()
@with_model
@click.option("--kind", default="", help="only events of this kind, such as promote or reject")
@click.option("--after", type=int, help="only events with a higher number, oldest first")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--follow", is_flag=True, help="go on with what comes, until interrupted")
@with_options
def events(
    settings: Settings,
    out: Output,
    model: str,
    entity: str,
    kind: str,
    after: int | None,
    limit: int,
    follow: bool,
) -> None:
    """The ordered log: decisions, runs, promotions, swaps, quarantines, outages."""
    if follow and out.as_json:
        raise FixConfiguration("--follow has no end, so there is no one document for --json.")
    name = meant(settings, model, entity) if model or entity else None
    found: list[Event] = []
    last = 0
    with contextlib.suppress(NotFound), reading(settings.run_log_path) as log:
        last = log.last_event_seq()
        found = log.events(
            model=name, kind=kind or None, after=after or 0, limit=limit, newest=after is None
        )
    if not follow:
        out.document({"events": [_event(event) for event in found], "last": last})
    for event in found:
        out.say(_line(event))
    if not found and not follow:
        out.say("no events.")
    while follow:
        last = found[-1].seq if found else last
        time.sleep(FOLLOW_PERIOD_S)
        with contextlib.suppress(NotFound), reading(settings.run_log_path) as log:
            found = log.events(model=name, kind=kind or None, after=last)
            for event in found:
                out.say(_line(event))


def _run_of(log: RunLogReader, run_id: str) -> Run:
    try:
        return log.run(run_id)
    except NotFound:
        alike = log.runs_like(run_id)
        if len(alike) == 1:
            return alike[0]
        if alike:
            names = ", ".join(run.run_id for run in alike)
            raise NotFound(f"several runs begin with {run_id!r}: {names}.") from None
        raise


def _progress_of(settings: Settings, run: Run) -> Mapping[str, Any]:
    if run.finished_at is not None:
        return {}
    report = read_daemon_state(settings).report
    training: TrainingReport | None = report.models.get(run.model) if report else None
    if training is None or training.running_run_id != run.run_id:
        return {}
    return {"stage": training.stage, "progress": training.progress}


def _cells(run: Run, line: Mapping[str, Any]) -> tuple[object, ...]:
    status = run.status.value
    if line["stage"]:
        status = f"{line['stage']} {line['progress'] or 0:.0%}"
    elif run.promoted:
        status = "promoted"
    finished = f"{run.finished_at:%Y-%m-%d %H:%M:%S}" if run.finished_at else None
    why = run.error or run.verdict or run.trigger_reason
    return (run.run_id, run.model, run.version, run.trigger, status, finished, why)


def _figure(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"


def _event(event: Event) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "at": event.at,
        "model": event.model or None,
        "kind": event.kind,
        "sentence": event.sentence,
        "run_id": event.run_id,
        "details": event.details,
    }


def _line(event: Event) -> str:
    model = f" {event.model}:" if event.model else ""
    return f"{event.seq}  {event.at:%Y-%m-%d %H:%M:%S}  {event.kind}{model} {event.sentence}"
