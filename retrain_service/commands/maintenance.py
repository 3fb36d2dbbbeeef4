"""`backup`: a copy of the home, also while the daemons work. `prune`: forget what nobody needs.
`drop-slot`: the same in an application's database.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from retrain_service.commands.daemon_client import do_or_ask, new_request
from retrain_service.commands.options import with_options
from retrain_service.commands.output import Output
from retrain_service.maintenance import retention
from retrain_service.maintenance.backup import Copied, back_up
from retrain_service.sources import open_source
from shared.daemon.loop import utc_now
from shared.daemon.one_instance import only_instance
from shared.errors import AlreadyRunning, NotFound
from shared.run_log.reader import reading
from shared.run_log.writer import RunLog
from shared.settings.root import Settings, config_path

PRUNE_TIMEOUT_S = 120.0


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


@click.command()
@click.option("--dry-run", is_flag=True, help="say what would go, and how much; remove nothing")
@with_options
def prune(settings: Settings, out: Output, dry_run: bool) -> None:
    """Forget old versions, runs, events and files set aside, as [retention] says."""
    if dry_run:
        found = retention.as_record(_planned(settings))
    else:
        request = new_request("prune", "", utc_now())

        def do(run_log: RunLog) -> Mapping[str, Any]:
            return retention.as_record(retention.prune(settings, run_log, utc_now(), request.id))

        found = dict(do_or_ask(settings, request, do, lambda event: event.details, PRUNE_TIMEOUT_S))
        found.pop("request_id", None)
    out.document({"dry_run": dry_run, **found})
    for version in found["versions"]:
        out.say(f"{version['model']} {version['version']}  {version['bytes']:,} bytes")
    for file in found["files"]:
        out.say(f"{file['path']}  {file['bytes']:,} bytes")
    for note in found["notes"]:
        out.complain(f"retrain_service: {note}")
    verb = "would be forgotten" if dry_run else "forgotten"
    out.say(
        f"{len(found['versions'])} versions, {len(found['runs'])} runs, {found['n_events']} events"
        f" and {len(found['files'])} files, {found['bytes']:,} bytes: {verb}."
    )


@click.command("drop-slot")
@click.argument("model")
@click.argument("stream")
@with_options
def drop_slot(settings: Settings, out: Output, model: str, stream: str) -> None:
    """Remove the replication slot of a stream from its PostgreSQL server.

    For a stream that is not read by the log any more, or a home that is given up: a slot that
    nobody reads fills the server's disk.
    """
    from retrain_service.sources.sql.log_source import LogSource

    configured = settings.models.get(model)
    if configured is None:
        raise NotFound(f"no model {model!r}; there are: {', '.join(sorted(settings.models))}.")
    found = configured.stream(stream)
    source = open_source(settings.sources[configured.source], found)
    try:
        if not isinstance(source, LogSource):
            raise NotFound(f"{model}: the stream {stream!r} names no slot.")
        was_there = source.drop_slot()
    finally:
        source.close()
    out.document({"slot": found.slot, "dropped": was_there})
    out.say(f"slot {found.slot} is dropped." if was_there else f"no slot {found.slot} is there.")


def _planned(settings: Settings) -> retention.Plan:
    with contextlib.suppress(NotFound), reading(settings.run_log_path) as log:
        return retention.plan(settings, log, utc_now())
    return retention.plan(settings, None, utc_now())
