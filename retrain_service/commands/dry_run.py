"""The command `once --dry-run`: print what a run would do now, without training."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from retrain_service.commands.daemon_client import exclusive_lock, names_of, read_daemon_state
from retrain_service.commands.options import EXIT_NOT_PROMOTED
from retrain_service.commands.output import Output
from retrain_service.dry_run import DryRun, make_dry_run
from shared.daemon.loop import utc_now
from shared.errors import AlreadyRunning
from shared.exchange.retrain_report import RetrainReport
from shared.settings.root import Settings


def print_dry_run(
    settings: Settings, out: Output, name: str, options: Mapping[str, Any], patience_s: float
) -> None:
    try:
        with out.meter() as meter, exclusive_lock(settings) as run_log:
            found = make_dry_run(
                settings,
                name,
                run_log,
                options=options,
                clock=utc_now,
                patience_s=patience_s,
                show=meter.show,
            )
    except AlreadyRunning:
        report = read_daemon_state(settings).report
        if report is None:
            raise
        found = [_as_reported(report, each) for each in names_of(report, name)]
    for each in found:
        _print_forecast(out, each)
    would_train = all(each.would_train for each in found)
    code = 0 if would_train else EXIT_NOT_PROMOTED
    out.document(
        {
            "model": name,
            "dry_run": True,
            "would_train": would_train,
            "exit_code": code,
            "models": [_record(each) for each in found],
        }
    )
    sys.exit(code)


def _as_reported(report: RetrainReport, name: str) -> DryRun:
    """The daemon has the rows to itself: what it reports of them must do."""
    training = report.models.get(name)
    if training is None:
        return DryRun(name, False, "the daemon has not read it yet.", "unknown")
    has_rows = training.n_usable_records > 0
    why = (
        f"{training.n_usable_records:,} usable records, {training.new_records:,} of them new since"
        " the last run; whether they are enough is counted when the run begins, because the daemon"
        " has them open."
        if has_rows
        else "there is no usable record yet."
    )
    return DryRun(
        name,
        has_rows,
        why,
        training.next_due,
        would_promote=False if training.hold else None,
        new_records=training.new_records,
        n_usable=training.n_usable_records,
    )


def _print_forecast(out: Output, found: DryRun) -> None:
    out.say(
        f"{found.name}: {'would train' if found.would_train else 'would not train'}: {found.reason}"
    )
    out.say(f"    records: {found.n_usable:,} usable, {found.new_records:,} new since the last run")
    if found.rows is not None:
        out.say(f"    rows: {found.rows:,} over {found.days:,} days")
    out.say(f"    by itself: {found.triggers}")
    if found.would_train:
        out.say(
            "    publishing: held; release it to promote again"
            if found.would_promote is False
            else "    publishing: if it passes the gates"
        )


def _record(found: DryRun) -> dict[str, Any]:
    return {
        "model": found.name,
        "would_train": found.would_train,
        "would_promote": found.would_promote,
        "reason": found.reason,
        "triggers": found.triggers,
        "usable_records": found.n_usable,
        "new_records": found.new_records,
        "rows": found.rows,
        "days": found.days,
        "gates": list(found.gates),
    }
