"""Make the manifest of a candidate and the details that the run log stores."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from retrain_service.evaluation.scores import Evaluation, FeatureContract, metrics_of
from retrain_service.trainer.fit import Candidate
from retrain_service.trainer.job_spec import JobSpec
from shared.records import Table
from shared.versions.holdout_sample import HoldoutSample, sample_of
from shared.versions.manifest import (
    Holdout,
    Manifest,
    Promotion,
    ServingForm,
    Watermark,
    end_of_day,
)
from shared.workloads.contract import Workload
from shared.workloads.training import TrainingSet

GOLDEN_TOLERANCE = 1e-6


def entity_id_of(workload: Workload, tables: Mapping[str, Table]) -> str | None:
    """The entity as the application names it, which the model's name may not be able to."""
    if not workload.per_entity:
        return None
    names = (
        workload.entity_of(name, each.fields) for name, table in tables.items() for each in table
    )
    return next((found for found in names if found is not None), None)


def row_details(
    rows: TrainingSet, entity_id: str | None, libraries: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "entity_id": entity_id,
        "rows": rows.n_rows,
        "days": rows.n_days,
        "rejected_records": dict(rows.rejected),
        "libraries": dict(libraries),
    }


def run_details(
    train: TrainingSet,
    holdout: TrainingSet,
    candidate: Candidate,
    evaluation: Evaluation,
) -> dict[str, Any]:
    return {
        "train_rows": train.n_rows,
        "test_rows": holdout.n_rows,
        "fit_s": round(candidate.fit_s, 3),
        "candidate": candidate.name,
        "incremental": candidate.runs_since_full > 0,
        "metrics": metrics_of(evaluation),
        "metric_unit": evaluation.candidate.unit,
    }


def holdout_sample(
    workload: Workload, evaluation: Evaluation, holdout: TrainingSet
) -> HoldoutSample | None:
    champion = evaluation.champion
    name, score = (champion.version, champion.score) if champion is not None else (None, None)
    vocabulary = workload.vocabulary_of(holdout)
    return sample_of(holdout, evaluation.candidate, name, score, vocabulary)


def _fitted_until(rows: TrainingSet, newest_record_at: datetime | None) -> datetime:
    """Rows know their day; of the day of the newest record it is known until when."""
    until = end_of_day(str(rows.day.max()))
    if newest_record_at is not None and newest_record_at.date() == until.date():
        return newest_record_at
    return until


def candidate_manifest(
    spec: JobSpec,
    contract: FeatureContract,
    train: TrainingSet,
    holdout: TrainingSet,
    evaluation: Evaluation,
    served: Candidate,
    fitted_on: TrainingSet,
    promotion: Promotion,
) -> Manifest:
    """train, holdout : rows that the judged estimator was fitted on, and judged on.
    served, fitted_on : what is published, and the rows that it was fitted on.
    """
    return Manifest(
        model=spec.model,
        version=spec.version,
        run_id=spec.run_id,
        workload=spec.workload,
        parameters=spec.parameters,
        features=list(contract.features),
        metrics=metrics_of(evaluation),
        metric_unit=evaluation.candidate.unit,
        holdout=Holdout(
            first_day=str(holdout.day.min()),
            last_day=str(holdout.day.max()),
            n_rows=holdout.n_rows,
            n_days=holdout.n_days,
        ),
        watermark=Watermark(
            newest_record_at=spec.newest_record_at,
            trained_until=str(fitted_on.day.max()),
            n_records=spec.n_records,
            high_seq=spec.high_seq,
            snapshot_digest=spec.snapshot_digest,
        ),
        libraries=dict(contract.libraries),
        serving_form=ServingForm("scikit-learn"),
        golden_tolerance=GOLDEN_TOLERANCE,
        promotion=promotion,
        trained_at=datetime.now(UTC),
        runs_since_full=served.runs_since_full,
        judged_until=end_of_day(str(train.day.max())),
        fitted_until=_fitted_until(fitted_on, spec.newest_record_at),
        candidate=served.name,
        files={},
    )
