"""The commands `rejected` and `confirm-deletions`: records that are not used, or not there."""

from __future__ import annotations

from contextlib import closing

import click
import msgspec

from retrain_service.buffer.stream_reader import StreamReader
from retrain_service.commands.daemon_client import do_or_ask, new_request
from retrain_service.commands.options import configured, with_options
from retrain_service.commands.output import Output
from retrain_service.model_controller import deletions_sentence
from shared.daemon.loop import utc_now
from shared.exchange.rejected_records import read_rejected
from shared.run_log.writer import RunLog
from shared.settings.root import Settings
from shared.workloads import open_workload


@click.command()
@click.argument("model", default="")
@click.option("--stream", default=None, help="only of this stream")
@click.option("--reason", default=None, help="only where the reason has these words")
@click.option("--limit", type=click.IntRange(1, 2000), default=50, help="at most so many")
@with_options
def rejected(
    settings: Settings,
    out: Output,
    model: str,
    stream: str | None,
    reason: str | None,
    limit: int,
) -> None:
    """The records that cannot be used, and why, so that they can be mended where they come from.

    Of MODEL, which may be left out where one is configured.
    """
    name = configured(settings, model)
    listed = read_rejected(settings.reports_dir, name)
    if listed is None:
        out.say(f"{name}: no record is known that cannot be used.")
        out.document({"model": name, "records": [], "counts": [], "total": 0})
        return
    found = listed.matching(stream=stream, reason=reason)
    shown = msgspec.to_builtins([found[:limit], listed.counts])
    out.document({"model": name, "records": shown[0], "counts": shown[1], "total": len(found)})
    columns = ("stream", "id", "reason", "field", "value", "updated")
    out.table(
        columns,
        [
            (
                each.stream,
                each.id,
                each.reason,
                each.field,
                each.value,
                each.updated_at.strftime("%Y-%m-%d %H:%M"),
            )
            for each in found[:limit]
        ],
    )
    n_all = sum(each.n_records for each in listed.counts)
    out.say(f"{name}: {n_all:,} records cannot be used; {min(limit, len(found)):,} are shown.")


@click.command("confirm-deletions")
@click.argument("model", default="")
@with_options
def confirm_deletions(settings: Settings, out: Output, model: str) -> None:
    """Say that the records are gone that a source does not bring any more.

    Of MODEL, which may be left out where one is configured. Until then, or until a later look
    shows the same, they are kept and trained on.
    """
    name = configured(settings, model)
    request = new_request("confirm_deletions", name, utc_now())

    def do(run_log: RunLog) -> str:
        found = settings.models[name]
        workload = open_workload(found.workload, found.parameters)
        reader = StreamReader(
            name, settings, workload, n_sharing=1, spent_elsewhere=lambda _source, _day: 0
        )
        with closing(reader):
            n_deleted = reader.confirm_deletions(utc_now())
        sentence = deletions_sentence(n_deleted, request.requested_by)
        run_log.add_event(
            utc_now(), name, "deletions", sentence, details={"request_id": request.id}
        )
        return sentence

    sentence = do_or_ask(settings, request, do, lambda event: event.sentence)
    out.say(f"{name}: {sentence}")
    out.document({"model": name, "sentence": sentence})
