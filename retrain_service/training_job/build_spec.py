"""Build the job specification from settings, run and snapshot."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from retrain_service.buffer.snapshot import SnapshotInfo
from retrain_service.promotion.readable_gate import unmapped_streams
from retrain_service.trainer.job_spec import JobSpec
from retrain_service.trainer.libraries import libraries_for
from retrain_service.training_job.inputs_digest import inputs_digest
from retrain_service.training_job.job import SNAPSHOT_NAME
from shared.errors import SettingsInvalid
from shared.exchange.reload_signal import ReloadSignal
from shared.keys.signing import PUBLIC_KEY_NAME
from shared.run_log.run import Run
from shared.run_log.writer import RunLog
from shared.settings.per_model import ModelSettings
from shared.settings.root import Settings
from shared.workloads import open_workload
from shared.workloads.defaults import gate_of


def build_spec(
    run: Run,
    snapshot: SnapshotInfo,
    *,
    settings: Settings,
    options: Mapping[str, Any],
    champion: ReloadSignal | None,
    work_dir: Path,
    staged: Path,
    late_tries: int = 0,
) -> JobSpec:
    """Everything the run depends on.

    options : what a person asked for in this run: `days`, `parameters` (over the configured
        ones) and `incremental`; `force` is not the job's matter.
    late_tries : as in JobSpec.

    Raises:
        SettingsInvalid: the parameters are none of the workload, or name code to run.
    """
    base_name = run.model.partition("/")[0]
    model = settings.models[base_name]
    training = model.training
    parameters = parameters_of_run(model, options)
    days = options.get("days")
    is_incremental = options.get("incremental", training.incremental)
    gate = gate_of(model).model_dump(mode="json")
    return JobSpec(
        run_id=run.run_id,
        model=run.model,
        version=run.version,
        requested_at=run.requested_at,
        workload=model.workload,
        parameters=parameters,
        gate=gate,
        seed=training.seed,
        nice=settings.retrain.nice,
        base_generation=champion.generation if champion is not None else 0,
        champion=champion.version if champion is not None else None,
        late_tries=late_tries,
        models_dir=str(settings.models_dir),
        keys_dir=str(settings.keys_dir),
        public_key=str(settings.keys_dir / PUBLIC_KEY_NAME),
        staged=str(staged),
        snapshot=str(work_dir / SNAPSHOT_NAME),
        snapshot_digest=snapshot.digest,
        newest_record_at=snapshot.newest,
        n_records=snapshot.n_total,
        high_seq=snapshot.high_seq,
        inputs_digest=inputs_digest(
            snapshot_digest=snapshot.digest,
            settings={
                "workload": model.workload,
                "parameters": parameters,
                "seed": training.seed,
                "days": days,
                "incremental": is_incremental,
                "candidates": training.candidates,
                "windows_days": training.windows_days,
                "refit": training.refit,
                "gate": gate,
                **({"tune": training.tune.model_dump()} if training.tune.trials else {}),
            },
            libraries=libraries_for(model.workload, parameters),
        ),
        memory_limit_mb=training.memory_limit_mb,
        threads=training.threads or _fair_threads(settings.retrain.max_parallel_runs),
        days=days,
        full_every=training.full_every if is_incremental else None,
        candidates=training.candidates,
        windows_days=training.windows_days,
        max_run_time_s=training.max_run_time_s,
        tune_trials=training.tune.trials,
        tune_budget_s=training.tune.budget_s,
        refit=training.refit,
        unmapped=unmapped_streams(model, open_workload(model.workload, parameters)),
    )


def late_tries(
    run_log: RunLog, model: str, settings: Settings, champion: ReloadSignal | None
) -> int:
    """Candidates that did not take the champion's place since it got older than
    `gate.max_undecided_days`."""
    limit_days = gate_of(settings.models[model.partition("/")[0]]).max_undecided_days
    if champion is None or not limit_days:
        return 0
    return run_log.n_not_promoted(model, champion.promoted_at + timedelta(days=limit_days))


def parameters_of_run(model: ModelSettings, options: Mapping[str, Any]) -> dict[str, Any]:
    """The configured parameters, and over them those that were asked for.

    Raises:
        SettingsInvalid: those that were asked for name code to run, as only the configuration may.
    """
    asked = options.get("parameters")
    if not asked:
        return dict(model.parameters)
    parameters = {**model.parameters, **asked}
    code = open_workload(model.workload, parameters).own_code
    if code is not None and code != open_workload(model.workload, model.parameters).own_code:
        raise SettingsInvalid(
            f"parameters: {code}: code of your own is named in the configuration only, not in a"
            " request to train."
        )
    return parameters


def _fair_threads(n_parallel: int) -> int:
    return max(1, (os.cpu_count() or 1) // n_parallel)
