"""The commands `train` and `cancel`: send a control request to the running daemon."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Sequence

import click

from retrain_service.commands.daemon_client import (
    ask,
    ask_to_train,
    follow,
    new_request,
    read_daemon_state,
    run_or_none,
)
from retrain_service.commands.options import (
    EXIT_FAILED,
    EXIT_NOT_PROMOTED,
    meant,
    options_of,
    run_options,
    with_model,
    with_options,
)
from retrain_service.commands.output import Output
from retrain_service.run_once import outcome_sentence
from shared.daemon.loop import utc_now
from shared.daemon.stop import stop_on_signals
from shared.errors import NotFound, StateConflict
from shared.run_log.reader import reading
from shared.run_log.run import FINISHED, Run
from shared.run_log.view import run_record
from shared.settings.root import Settings


@click.command()
@with_model
@run_options
@click.option("--wait", is_flag=True, help="wait for the end; exit code as of once")
@with_options
def train(
    settings: Settings,
    out: Output,
    model: str,
    entity: str,
    days: int | None,
    parameters: Sequence[str],
    incremental: bool | None,
    force: bool,
    wait: bool,
) -> None:
    """Ask the daemon for a run and say its id at once; without a daemon, see once."""
    name = meant(settings, model, entity)
    options = options_of(days, parameters, incremental, force)
    daemon = read_daemon_state(settings)
    if not daemon.is_running:
        raise StateConflict(f"{daemon.sentence} `once` trains without it.")
    request = ask_to_train(settings, name, options)
    if not wait:
        out.say(f"{name}: asked for run {request.id}; `show {request.id}` says how it stands.")
        out.document({"run_id": request.id, "model": name, "status": "queued"})
        return
    stop = threading.Event()
    stop_on_signals(stop)
    with out.meter() as meter:
        run = follow(settings, request.id, name, stop, meter.show)
    out.say(f"{name} {run.version}: {outcome_sentence(run)}")
    out.document(run_record(run))
    if not run.promoted:
        sys.exit(EXIT_NOT_PROMOTED if run.status in FINISHED else EXIT_FAILED)


@click.command()
@with_model
@click.argument("run_id", metavar="[RUN]", default="")
@with_options
def cancel(settings: Settings, out: Output, model: str, entity: str, run_id: str) -> None:
    """Stop a run that is under way; without RUN, the one of the model."""
    daemon = read_daemon_state(settings)
    if not daemon.is_running:
        raise StateConflict(f"{daemon.sentence} There is nothing to cancel.")
    run = _under_way(settings, model, entity, run_id)
    request = new_request("cancel", run.model, utc_now(), run_id=run.run_id)
    ask(settings, request)
    found = run_or_none(settings, run.run_id) or run
    out.say(f"run {found.run_id} of {found.model} {found.status}: {outcome_sentence(found)}")
    out.document(run_record(found))


def _under_way(settings: Settings, model: str, entity: str, run_id: str) -> Run:
    with contextlib.suppress(NotFound), reading(settings.run_log_path) as log:
        runs = log.unfinished()
        if run_id:
            runs = [run for run in runs if run.run_id == run_id]
        elif model or entity or len(runs) != 1:
            name = meant(settings, model, entity)
            runs = [run for run in runs if run.model == name]
        if runs:
            return runs[0]
    raise NotFound(f"run {run_id} is not under way." if run_id else "no run is under way.")
