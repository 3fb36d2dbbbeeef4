"""`backup`: a copy of the home, also while the daemons work."""

from __future__ import annotations

from pathlib import Path

import click

from retrain_service.commands.options import with_options
from retrain_service.commands.output import Output
from retrain_service.maintenance.backup import Copied, back_up
from shared.daemon.one_instance import only_instance
from shared.errors import AlreadyRunning
from shared.settings.root import Settings, config_path


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@with_options
def backup(settings: Settings, out: Output, folder: Path) -> None:
    """Copy models, keys, run log and what was fed to FOLDER, which must not exist yet.

    The daemons may go on. While the training daemon runs, the buffer stays out; it is filled
    again from the sources.
    """
    target, config = folder.absolute(), click.get_current_context().obj or config_path()
    try:
        with only_instance(settings.pids_dir, "retrain_service"):
            copied = back_up(settings, target, with_buffer=True, config=config)
    except AlreadyRunning:
        copied = back_up(settings, target, with_buffer=False, config=config)
    _say(out, copied)


def _say(out: Output, copied: Copied) -> None:
    out.document(
        {
            "folder": str(copied.path),
            "models": copied.n_models,
            "versions": copied.n_versions,
            "bytes": copied.n_bytes,
            "buffer": copied.has_buffer,
        }
    )
    buffer = "" if copied.has_buffer else "; without the buffer, which the daemon is using"
    out.say(
        f"{copied.path}: {copied.n_models} models, {copied.n_versions} versions,"
        f" {copied.n_bytes:,} bytes{buffer}."
    )
