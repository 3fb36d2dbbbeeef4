"""The command `run`: start the retrain daemon and run its loop until a stop signal."""

from __future__ import annotations

import contextlib
import sys
import threading
from datetime import datetime
from functools import partial
from pathlib import Path

import click

from retrain_service.commands.options import exit_code
from retrain_service.retrain_loop import RetrainLoop
from shared.daemon.logs import start_logging
from shared.daemon.loop import run_every, utc_now
from shared.daemon.one_instance import only_instance
from shared.daemon.patient_start import patiently
from shared.daemon.stop import stop_on_signals
from shared.daemon.systemd import WatchdogNotifier, notify
from shared.errors import HotfitError
from shared.settings.environment import warn_of_unread_variables
from shared.settings.root import Settings, load_settings


@click.command()
@click.pass_obj
def run(config: Path | None) -> None:
    """Run the daemon until it is told to stop."""
    try:
        _run(config)
    except HotfitError as error:
        for line in str(error).splitlines():
            click.echo(f"retrain_service: {line}", err=True)
        sys.exit(exit_code(error))


def _run(config: Path | None) -> None:
    settings = load_settings(config)
    start_logging(settings.log_format, "retrain_service")
    warn_of_unread_variables()
    stop, wake = threading.Event(), threading.Event()
    stop_on_signals(stop, wake, outlives_terminal=True)
    with contextlib.ExitStack() as held:
        patiently(
            lambda: held.enter_context(only_instance(settings.pids_dir, "retrain_service")), stop
        )
        loop = patiently(partial(_initialized, settings, wake), stop)
        if loop is None:  # told to stop before the disk allowed it
            return
        feeder = WatchdogNotifier()

        def tick(now: datetime) -> None:
            loop.tick(now)
            # Training runs in a child and reading on threads: a tick that does not end is a fault.
            feeder.feed(loop.status)

        notify("READY=1")
        try:
            run_every(settings.retrain.tick_interval_s, tick, stop, wake)
        finally:
            notify("STOPPING=1")
            loop.shutdown(utc_now())


def _initialized(settings: Settings, wake: threading.Event) -> RetrainLoop:
    loop = RetrainLoop(settings, wake=wake)
    try:
        loop.initialize(utc_now())
    except BaseException:
        loop.shutdown(utc_now())
        raise
    return loop
