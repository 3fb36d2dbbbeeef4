"""The steps of a run in its own process: rows, fit, scores, verdict, staged version."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from retrain_service.buffer.snapshot import read_snapshot
from retrain_service.evaluation.champion_challenger import compare_with_champion, open_judged
from retrain_service.evaluation.rivals import Rival, find_rivals
from retrain_service.evaluation.scores import Evaluation, FeatureContract, score_on
from retrain_service.evaluation.selection import (
    SHARE_OF_RUN,
    Selection,
    select,
    select_mean,
    select_window,
)
from retrain_service.evaluation.tuning import JOURNAL_NAME, tune
from retrain_service.promotion.decide import (
    Promote,
    Verdict,
    anchor_after,
    check_data,
    check_newest_days,
    check_refit,
    check_trial,
    decide,
    reason,
)
from retrain_service.promotion.readable_gate import check_readable, sampled
from retrain_service.publish.stage import stage, stage_twin
from retrain_service.publish.trial_load import TrialLoad
from retrain_service.trainer.candidates import candidates_for
from retrain_service.trainer.fit import (
    Candidate,
    Fitted,
    continue_fitted,
    fit_candidate,
    refit,
)
from retrain_service.trainer.job_spec import JobSpec
from retrain_service.trainer.libraries import library_versions
from retrain_service.trainer.windows import has_window
from retrain_service.training_job.candidate_manifest import (
    candidate_manifest,
    entity_id_of,
    holdout_sample,
    row_details,
    run_details,
)
from retrain_service.training_job.job import REFITTING, JobResult
from retrain_service.training_job.progress import RunProgress
from shared.errors import VersionUnusable
from shared.keys.signing import SigningKey, VerifyKey
from shared.versions.manifest import BASELINE, Promotion
from shared.versions.model_store import ModelStore
from shared.versions.verified_versions import VerifiedVersions
from shared.workloads import open_workload
from shared.workloads.contract import Workload
from shared.workloads.shortage import shortage_of
from shared.workloads.training import TrainingSet


def run_steps(spec: JobSpec, work_dir: Path) -> JobResult:
    progress = RunProgress(work_dir)
    policy = spec.policy()
    progress("reading")
    workload = open_workload(spec.workload, spec.parameters)
    libraries = library_versions(workload)
    tables = read_snapshot(Path(spec.snapshot))
    rows = workload.training_set(tables)
    if spec.days is not None and rows.n_rows:
        rows = rows.where(rows.day > rows.day.max() - np.timedelta64(spec.days, "D"))
    rows, verdict = check_data(
        rows,
        policy,
        features=workload.features_of(rows),
        n_records=spec.n_records,
        now=spec.requested_at,
    )
    verdict = check_readable(
        sampled(tables),
        workload,
        policy,
        model=spec.model.partition("/")[0],
        unmapped=spec.unmapped,
        before=verdict,
    )
    if isinstance(verdict, Promote):
        verdict = check_newest_days(rows, workload, policy, verdict.gates)
    details = row_details(rows, entity_id_of(workload, tables), libraries)
    if not isinstance(verdict, Promote):
        return _not_promoted(verdict, details, shortage_of(workload, tables))
    rows = workload.as_learnt_from(rows, rows)  # some were left out since they were read
    train, newest = workload.split(rows)
    fitted_on = rows if spec.refit else train
    features = workload.features_of(fitted_on)
    contract = FeatureContract(spec.version, spec.workload, features, libraries, workload.predicts)
    store, public_key = ModelStore(Path(spec.models_dir)), Path(spec.public_key)
    versions = VerifiedVersions(store, VerifyKey.read(public_key))
    rivals = find_rivals(versions, spec.model, spec.champion, workload)
    candidate, selection = _fit(workload, spec, train, progress, rivals.champion)
    progress("evaluating")
    comparison = compare_with_champion(
        workload,
        candidate.estimator,
        train,
        newest,
        rivals=rivals,
        offered=contract,
        now=spec.requested_at,
        late_tries=spec.late_tries,
    )
    evaluation, holdout = comparison.evaluation, comparison.holdout
    details |= run_details(train, holdout, candidate, evaluation)
    details["selection"] = msgspec.to_builtins(selection)
    verdict = decide(evaluation, policy, before=verdict.gates, seed=spec.seed)
    if not isinstance(verdict, Promote):
        return _not_promoted(verdict, {**details, "stage_s": progress.stage_s})
    if verdict.serves_baseline:
        evaluation = evaluation.of_baseline
        candidate = fit_candidate(workload, BASELINE, train, spec.seed, lambda *_: None)
        details["candidate"] = BASELINE
    errors = _errors(workload, candidate, evaluation, holdout, newest)
    staged, twin = Path(spec.staged), None
    if spec.refit:
        progress(REFITTING)
        twin = stage_twin(staged, candidate.estimator)
        if not candidate.runs_since_full:
            candidate = replace(candidate, estimator=None)  # one at a time in memory
        candidate = refit(
            workload,
            candidate,
            rows,
            newest,
            spec.seed,
            lambda share, _stage: progress(REFITTING, share),
        )
        details["refit_s"] = round(candidate.fit_s, 3)
        seen = score_on(workload, candidate.estimator, holdout)
        verdict = check_refit(holdout, evaluation, seen, policy, verdict.gates)
        if not isinstance(verdict, Promote):
            return _not_promoted(verdict, {**details, "stage_s": progress.stage_s})
    progress("staging")
    promotion = Promotion(
        spec.base_generation, reason(verdict), anchor_after(evaluation, policy, spec.seed)
    )
    manifest = candidate_manifest(
        spec, contract, train, holdout, evaluation, candidate, fitted_on, promotion
    )
    key = SigningKey.read(Path(spec.keys_dir))
    sample = holdout_sample(workload, evaluation, holdout)
    with TrialLoad() as trial:
        known = workload.as_learnt_from(rows, fitted_on)
        digest = stage(
            staged, workload, candidate.estimator, known, manifest, key, sample, twin, errors
        )
        progress("trial")
        tried = trial.open(staged, public_key, spec.model, spec.version, policy.max_load_s)
    verdict = check_trial(tried, policy, before=verdict.gates)
    details["stage_s"] = progress.stage_s
    if not isinstance(verdict, Promote):
        return _not_promoted(verdict, details)
    return JobResult(
        outcome="promote",
        reason=reason(verdict),
        gates=list(verdict.gates),
        details={**details, "trial_ms": tried.timings_ms},
        manifest=manifest,
        manifest_sha256=digest,
    )


def _fit(
    workload: Workload,
    spec: JobSpec,
    train: TrainingSet,
    progress: RunProgress,
    champion: Rival | None,
) -> tuple[Candidate, Selection]:
    """Continue the champion where that is wanted and possible; else choose a candidate, fit it."""

    def fitting(share: float, _stage: str) -> None:
        progress("fitting", share)

    continuable = _continuable(spec, champion)
    if continuable is not None:
        continued = continue_fitted(workload, continuable, train, spec.seed, fitting)
        if continued is not None:
            return continued, Selection(continued.name, f"{continued.name}: continued.")
    progress("comparing")
    selection = _select(workload, spec, train, progress)
    progress("fitting")
    return fit_candidate(workload, selection.chosen, train, spec.seed, fitting), selection


def _select(
    workload: Workload, spec: JobSpec, train: TrainingSet, progress: RunProgress
) -> Selection:
    """Compare candidates, then options, the mean and the length of the history of the best."""
    ends_at = time.monotonic() + SHARE_OF_RUN * spec.max_run_time_s

    def left_s() -> float:
        return max(0.0, ends_at - time.monotonic())

    def comparing(share: float, _name: str) -> None:
        progress("comparing", share)

    names = candidates_for(workload, train, spec.candidates)
    found = select(workload, names, train, spec.seed, comparing, budget_s=left_s())
    if spec.tune_trials:
        found = tune(
            workload,
            found,
            train,
            spec.seed,
            comparing,
            trials=spec.tune_trials,
            budget_s=min(spec.tune_budget_s, left_s()),
            journal=Path(spec.models_dir) / spec.model / JOURNAL_NAME,
            study=spec.inputs_digest,
        )
    found = select_mean(workload, found, train, spec.seed, comparing, budget_s=left_s())
    lengths_days = spec.windows_days
    return select_window(
        workload, found, train, spec.seed, comparing, lengths_days=lengths_days, budget_s=left_s()
    )


def _errors(
    workload: Workload,
    judged: Candidate,
    evaluation: Evaluation,
    holdout: TrainingSet,
    newest: TrainingSet,
) -> Mapping[str, bytes]:
    """What the errors of the judged estimator tell of answers to come, from all rows that it had
    not seen: also of those that its rivals had."""
    if holdout.n_rows == newest.n_rows:
        return workload.state_of_errors(holdout, evaluation.candidate)
    return workload.state_of_errors(newest, score_on(workload, judged.estimator, newest))


def _continuable(spec: JobSpec, champion: Rival | None) -> Fitted | None:
    """The champion, where it may be continued instead of trained from scratch."""
    if spec.full_every is None or champion is None or champion.instead_of is not None:
        return None
    signed = champion.comparable  # its twin, where it has one: what was not yet judged is new to it
    if signed is None or signed.manifest.parameters != spec.parameters:
        return None
    manifest = signed.manifest
    if manifest.is_baseline or has_window(manifest.candidate):
        return None
    if manifest.runs_since_full + 1 >= spec.full_every:
        return None
    try:
        estimator = open_judged(signed)
    except VersionUnusable:
        return None
    return Fitted(
        estimator,
        np.datetime64(manifest.judged_day),
        manifest.runs_since_full,
        manifest.candidate,
    )


def _not_promoted(verdict: Verdict, details: dict[str, Any], why: str = "") -> JobResult:
    outcome = {"Reject": "reject", "InsufficientData": "insufficient_data"}
    return JobResult(
        outcome=outcome.get(type(verdict).__name__, "reject"),
        reason=f"{reason(verdict)} {why}".rstrip(),
        gates=list(verdict.gates),
        details=details,
    )
