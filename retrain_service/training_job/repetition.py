"""Whether a run would come to the same candidate and the same verdict as one before it. No I/O of
its own: it asks the run log."""

from __future__ import annotations

from retrain_service.trainer.job_spec import JobSpec
from shared.exchange.reload_signal import ReloadSignal
from shared.run_log.reader import RunLogReader


def repeated_run(spec: JobSpec, signal: ReloadSignal, run_log: RunLogReader) -> str | None:
    """Id of the run that this one would repeat; None when it may come to something else.

    The same inputs give the same candidate. They are worth no training when that candidate is
    what `signal` names, or when it was judged against the very same generation: what is served
    and whether it is held have not changed since.
    """
    served = run_log.run_of_version(spec.model, signal.version)
    if served is not None and served.details.get("inputs_digest") == spec.inputs_digest:
        return served.run_id
    last = run_log.history(spec.model).last_finished
    if last is None or last.details.get("inputs_digest") != spec.inputs_digest:
        return None
    if last.details.get("base_generation") != spec.base_generation:
        return None
    # Patience with what could not be decided ends one day, by the calendar alone.
    gates = last.details.get("gates", [])
    is_undecided = any(gate["verdict"] == "insufficient_data" for gate in gates)
    return None if is_undecided else last.run_id
