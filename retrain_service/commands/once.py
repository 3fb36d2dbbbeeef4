"""The command `once`: train one model now; the exit code gives the result. Made for cron."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import click

from retrain_service.commands.daemon_client import (
    names_of,
    new_request,
    read_daemon_state,
    train_and_wait,
)
from retrain_service.commands.dry_run import print_dry_run
from retrain_service.commands.options import (
    EXIT_FAILED,
    EXIT_NOT_PROMOTED,
    fail,
    log_to_stderr,
    meant,
    options_of,
    run_options,
    with_model,
    with_options,
)
from retrain_service.commands.output import Output
from retrain_service.run_once import RunOutcome, outcome_sentence, train_once
from shared.daemon.loop import utc_now
from shared.daemon.one_instance import only_instance
from shared.daemon.stop import stop_on_signals
from shared.errors import AlreadyRunning, AnswerClient, SourceUnavailable
from shared.run_log.run import FINISHED, Run
from shared.run_log.view import run_record
from shared.settings.root import Settings

PROMOTED, NOT_PROMOTED, FAILED = "promoted", "not_promoted", "failed"
_CODES = {PROMOTED: 0, NOT_PROMOTED: EXIT_NOT_PROMOTED, FAILED: EXIT_FAILED}


class Ended(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def run(self) -> Run | None: ...
    @property
    def sentence(self) -> str: ...


@click.command()
@with_model
@run_options
@click.option("--dry-run", is_flag=True, help="say what would happen; train and publish nothing")
@click.option("--verbose", is_flag=True, help="log every step to standard error")
@click.option(
    "--patience",
    "patience_s",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="seconds that a source may be away before it counts as a failure",
)
@with_options
def once(
    settings: Settings,
    out: Output,
    model: str,
    entity: str,
    days: int | None,
    parameters: Sequence[str],
    incremental: bool | None,
    force: bool,
    dry_run: bool,
    verbose: bool,
    patience_s: float,
) -> None:
    """Train once, now: read what is new, train, judge, publish if it is better.

    When the daemon runs, it is asked to; else it is done here. Exit code: 0 promoted, 10 not
    promoted (the reason is said), 1 failed, 2 configuration, 3 another command is at work,
    4 disk or daemon not available, try again.
    """
    name = meant(settings, model, entity)
    options = options_of(days, parameters, incremental, force)
    log_to_stderr(settings, verbose=verbose)
    try:
        if dry_run:
            print_dry_run(settings, out, name, options, patience_s)
        else:
            _answer(out, name, _train(settings, out, name, options, patience_s))
    except SourceUnavailable as error:
        fail(out, _SourceDown(str(error)))


class _SourceDown(AnswerClient):
    """For the exit code: a source that is away is a failed attempt, not a full disk."""


def _train(
    settings: Settings, out: Output, name: str, options: Mapping[str, Any], patience_s: float
) -> Sequence[Ended]:
    stop = threading.Event()
    stop_on_signals(stop)
    with out.meter() as meter:
        try:
            with only_instance(settings.pids_dir, "retrain_service"):
                return train_once(
                    settings,
                    name,
                    make_request=lambda each, asked: new_request(
                        "train", each, utc_now(), options=dict(asked)
                    ),
                    options=options,
                    clock=utc_now,
                    stop=stop,
                    patience_s=patience_s,
                    show=meter.show,
                )
        except AlreadyRunning:
            report = read_daemon_state(settings).report
            if report is None:
                raise
            return [
                RunOutcome(each, run, outcome_sentence(run))
                for each, run in train_and_wait(
                    settings, names_of(report, name), options, stop, meter.show
                )
            ]


def _answer(out: Output, name: str, ended: Sequence[Ended]) -> None:
    outcomes = {each.name: _outcome(each.run) for each in ended}
    worst = next((kind for kind in (FAILED, NOT_PROMOTED) if kind in outcomes.values()), PROMOTED)
    for each in ended:
        version = f" {each.run.version}" if each.run is not None else ""
        said = outcomes[each.name].replace("_", " ")
        out.say(f"{each.name}{version} {said}: {each.sentence}")
    out.document(
        {
            "model": name,
            "outcome": worst,
            "exit_code": _CODES[worst],
            "sentence": " ".join(each.sentence for each in ended),
            "runs": [run_record(each.run) for each in ended if each.run is not None],
        }
    )
    sys.exit(_CODES[worst])


def _outcome(run: Run | None) -> str:
    if run is None:
        return NOT_PROMOTED
    if run.promoted:
        return PROMOTED
    return NOT_PROMOTED if run.status in FINISHED else FAILED
