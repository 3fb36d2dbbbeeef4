"""The job specification: all that the daemon tells the process of a run, as one value."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from shared.settings.per_model import GateSettings


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run depends on besides the code: same spec and snapshot, same candidate.

    late_tries : runs that were judged against this champion and not promoted since it got older
        than `gate.max_undecided_days`.
    days : train on the newest so many days only; None for all.
    full_every : continue the champion where that is possible, but train from scratch at least
        every so many runs; None to train from scratch.
    memory_limit_mb : 0 for none.
    windows_days : lengths of history that are tried beside all of it.
    candidates : which of the workload's may be chosen; empty for all. max_run_time_s : of the
        whole run; comparing candidates takes its share of it.
    unmapped : streams for which the configuration names neither fields nor a shape.
    tune_trials, tune_budget_s : options of the chosen candidate that are tried at most, and for
        how long; 0 for none.
    refit : what passed the gates is fitted again on all rows, and that is published.
    """

    run_id: str
    model: str
    version: str
    requested_at: datetime
    workload: str
    parameters: dict[str, Any]
    gate: dict[str, Any]
    seed: int
    nice: int
    base_generation: int
    champion: str | None
    models_dir: str
    keys_dir: str
    public_key: str
    staged: str
    snapshot: str
    snapshot_digest: str
    newest_record_at: datetime | None
    n_records: int
    high_seq: int
    inputs_digest: str
    memory_limit_mb: int
    threads: int
    late_tries: int = 0
    days: int | None = None
    full_every: int | None = None
    candidates: tuple[str, ...] = ()
    windows_days: tuple[int, ...] = ()
    max_run_time_s: float = 3600.0
    tune_trials: int = 0
    tune_budget_s: float = 0.0
    refit: bool = True
    unmapped: tuple[str, ...] = ()

    def policy(self) -> GateSettings:
        return GateSettings.model_validate(self.gate)
