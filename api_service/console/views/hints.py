"""Add advice to a health problem whose sentence does not say what to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from api_service.status.problem_codes import ProblemCode

_ADVICE: Mapping[str, str] = {
    ProblemCode.VERSION_QUARANTINED: "Nothing is lost: the version before goes on serving. Its run"
    " says how it was made; train again, or have it opened again with reload.",
    ProblemCode.SOURCE_UNAVAILABLE: "It is tried again by itself; see that the source answers from"
    " here.",
    ProblemCode.SOURCE_MISCONFIGURED: "Correct the source in the configuration, then restart the"
    " retrain daemon.",
    ProblemCode.SOURCE_BUDGET: "Reading slows down until tomorrow; raise daily_read_budget if that"
    " is too late.",
    ProblemCode.SOURCE_WITHHELD: "See whether the source shows all of its records; if they are"
    " gone on purpose, confirm-deletions takes it: the command, the route, or the button beside the"
    " source.",
    ProblemCode.WORKERS_MISSING: "Others answer meanwhile. If it goes on, the API's log tells what"
    " each of them died of.",
    ProblemCode.WORKER_SILENT: "It hangs, or the machine has no time for it: restart the API if it"
    " does not come back within a minute.",
    ProblemCode.NO_DIRECTORY_EVENTS: "Nothing is lost: a timer looks every few seconds, so a swap"
    " only comes a little later. Events are tried again by themselves; on Linux"
    " fs.inotify.max_user_instances and max_user_watches are what is used up as a rule.",
    ProblemCode.SIGNAL_MISSING: "Put models/<model>/reload_signal.json back from a backup, or"
    " train: the next promotion writes it.",
    ProblemCode.SIGNAL_UNREADABLE: "See that the API may read models/<model>/reload_signal.json;"
    " it is read again by itself.",
    ProblemCode.GENERATION_REUSED: "Somebody restored or edited the store: roll back to the"
    " version that is wanted, which makes a new generation.",
    ProblemCode.RETRAIN_ERROR: "It goes on with everything else and tries again; its log has the"
    " whole error.",
    ProblemCode.TRAINING_ERROR: "It is tried again after a pause; the run in the table of runs"
    " says more.",
    ProblemCode.BASELINE_SERVED: "What the records mean may have changed: the last runs say by how"
    " much each candidate is off.",
    ProblemCode.NO_VERSION_SERVED: "The first version comes with the first training that passes"
    " the gates; What happened last says how far it is.",
}


def what_to_do(code: str) -> str:
    """Empty where the problem's own sentence says it, or where there is nothing to do."""
    return _ADVICE.get(code, "")
