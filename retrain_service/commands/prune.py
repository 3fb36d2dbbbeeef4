"""`prune`: forget what is old and needed by nobody; see `retention`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import click

from retrain_service.commands.daemon_client import do_or_ask, new_request
from retrain_service.commands.options import with_options
from retrain_service.commands.output import Output
from retrain_service.maintenance import retention
from shared.daemon.loop import utc_now
from shared.errors import NotFound
from shared.run_log.reader import reading
from shared.run_log.writer import RunLog
from shared.settings.root import Settings

PRUNE_TIMEOUT_S = 120.0


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


def _planned(settings: Settings) -> retention.Plan:
    with contextlib.suppress(NotFound), reading(settings.run_log_path) as log:
        return retention.plan(settings, log, utc_now())
    return retention.plan(settings, None, utc_now())
