"""A candidate compared with the published versions of a store, as a run's own process does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from retrain_service.evaluation.champion_challenger import (
    ChampionComparison,
    compare_with_champion,
)
from retrain_service.evaluation.rivals import find_rivals
from retrain_service.evaluation.scores import FeatureContract
from retrain_service.trainer.job_spec import JobSpec
from retrain_service.trainer.libraries import library_versions
from shared.keys.signing import VerifyKey
from shared.versions.model_store import ModelStore
from shared.versions.verified_versions import VerifiedVersions
from shared.workloads.contract import Workload
from shared.workloads.training import TrainingSet


def compare(
    store: ModelStore,
    spec: JobSpec,
    workload: Workload,
    estimator: Any,
    train: TrainingSet,
    holdout: TrainingSet,
) -> ChampionComparison:
    versions = VerifiedVersions(store, VerifyKey.read(Path(spec.public_key)))
    return compare_with_champion(
        workload,
        estimator,
        train,
        holdout,
        rivals=find_rivals(versions, spec.model, spec.champion, workload),
        offered=FeatureContract(
            spec.version,
            spec.workload,
            workload.features_of(train),
            library_versions(workload),
            workload.predicts,
        ),
        now=spec.requested_at,
    )
