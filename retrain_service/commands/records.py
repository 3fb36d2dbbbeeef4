"""The command `confirm-deletions`: take deletions that are withheld because they are so many."""

from __future__ import annotations

from contextlib import closing

import click

from retrain_service.buffer.stream_reader import StreamReader
from retrain_service.commands.daemon_client import do_or_ask, new_request
from retrain_service.commands.options import configured, with_options
from retrain_service.commands.output import Output
from retrain_service.model_controller import deletions_sentence
from shared.daemon.loop import utc_now
from shared.run_log.writer import RunLog
from shared.settings.root import Settings
from shared.workloads import open_workload


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
