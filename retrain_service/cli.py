"""The commands of the training side. Wiring and words only; the work is done elsewhere."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import click

from retrain_service.retrain_loop import RetrainLoop
from retrain_service.sources import open_source
from shared.daemon import notify, only_instance, run_every, start_logging, stop_on_signals, utc_now
from shared.errors import AlreadyRunning, FixConfiguration, HotfitError
from shared.settings import Settings, load_settings
from shared.workloads import open_workload

EXIT_CONFIGURATION = 2
EXIT_ALREADY_RUNNING = 3
EXIT_STORAGE = 4


def _sentences_not_tracebacks(command: Callable[..., None]) -> Callable[..., None]:
    """End with one line per fault and an exit code that says which kind it is."""

    @wraps(command)
    def guarded(*arguments: object, **options: object) -> None:
        try:
            command(*arguments, **options)
        except HotfitError as error:
            for line in str(error).splitlines():
                click.echo(f"retrain_service: {line}", err=True)
            if isinstance(error, AlreadyRunning):
                sys.exit(EXIT_ALREADY_RUNNING)
            sys.exit(EXIT_CONFIGURATION if isinstance(error, FixConfiguration) else EXIT_STORAGE)

    return guarded


@click.group()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="configuration file; default: HOTFIT_CONFIG, else ./hotfit.toml",
)
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """Keep models fresh: watch the data, train, promote what is better."""
    context.obj = config


@main.command()
@click.pass_obj
@_sentences_not_tracebacks
def run(config: Path | None) -> None:
    """Run the daemon until it is told to stop."""
    settings = load_settings(config)
    start_logging(settings.log_format, "retrain_service")
    stop = threading.Event()
    stop_on_signals(stop)
    with only_instance(settings.pids_dir, "retrain_service"):
        loop = RetrainLoop(settings)
        loop.initialize(utc_now())
        notify("READY=1")
        try:
            run_every(settings.retrain.tick_interval_s, loop.tick, stop)
        finally:
            notify("STOPPING=1")
            loop.shutdown(utc_now())


@main.command()
@click.pass_obj
@_sentences_not_tracebacks
def check(config: Path | None) -> None:
    """Connect to every source and say what is there; change nothing."""
    settings = load_settings(config)
    faults = sum(
        _check_stream(settings, name, stream.name)
        for name, model in settings.models.items()
        for stream in open_workload(model.workload, model.parameters).streams
    )
    if not settings.models:
        click.echo("no [models.…] section: nothing to train.")
    sys.exit(1 if faults else 0)


def _check_stream(settings: Settings, model_name: str, stream_name: str) -> int:
    model = settings.models[model_name]
    workload = open_workload(model.workload, model.parameters)
    where = f"{model_name}: {stream_name} in source {model.source}"
    try:
        source = open_source(settings.sources[model.source], model.stream(stream_name))
        try:
            found = source.inspect(n_sample=20)
        finally:
            source.close()
    except HotfitError as error:
        click.echo(f"{where}: {error}")
        return 1
    reasons = [workload.reject_reason(stream_name, record.fields) for record in found.sample]
    n_usable = sum(reason is None for reason in reasons)
    click.echo(
        f"{where}: {found.n_records} records, newest {found.newest_updated_at or 'never'};"
        f" {n_usable} of the newest {len(reasons)} usable;"
        f" {found.n_without_cursor_field} without {model.stream(stream_name).updated_at_field}"
        " (never read)"
    )
    for reason in sorted({reason for reason in reasons if reason is not None}):
        click.echo(f"    not usable: {reason} ({reasons.count(reason)})")
    return 0
