"""The command line: every command under one name. Wiring only; each command is in its file."""

from __future__ import annotations

from pathlib import Path

import click

from retrain_service.commands.check import check
from retrain_service.commands.daemon import run
from retrain_service.commands.init import init
from retrain_service.commands.keys import keys
from retrain_service.commands.maintenance import backup, drop_slot, prune
from retrain_service.commands.once import once
from retrain_service.commands.records import confirm_deletions, rejected
from retrain_service.commands.runs import events, runs, show
from retrain_service.commands.status import status
from retrain_service.commands.training import cancel, train
from retrain_service.commands.versions import hold, release, rollback, versions
from shared.daemon.loop import close_new_files


@click.group()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="configuration file; default: HOTFIT_CONFIG, else ./hotfit.toml",
)
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """Keep models fresh: watch the data, train, promote what is better."""
    close_new_files()
    context.obj = config


for command in (
    run,
    once,
    init,
    check,
    status,
    runs,
    show,
    events,
    versions,
    rollback,
    hold,
    release,
    train,
    cancel,
    prune,
    backup,
    drop_slot,
    rejected,
    confirm_deletions,
    keys,
):
    main.add_command(command)
