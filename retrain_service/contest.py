"""Candidate against champion: open what it is compared with and score all on the same new rows.

Runs in the training process. Opens versions only after their signature held; gives no verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retrain_service.evaluation import Evaluation, evaluate, unseen
from retrain_service.training_job import JobSpec
from shared.errors import VersionUnusable
from shared.keys import VerifyKey
from shared.manifest import Manifest, verify
from shared.model_loader import load_estimator
from shared.model_store import ModelStore
from shared.workloads.base import TrainingSet, Workload, check_features


@dataclass(frozen=True, slots=True)
class Contest:
    """The scores, and the holdout rows they were made on."""

    evaluation: Evaluation
    holdout: TrainingSet


def hold_contest(
    spec: JobSpec,
    workload: Workload,
    candidate: Any,
    train: TrainingSet,
    holdout: TrainingSet,
) -> Contest:
    """Score everybody on the holdout rows that neither candidate nor champion was fitted on."""
    champion, missing = None, None
    trained_until = train.day.max()
    if spec.champion is not None:
        try:
            champion, manifest = open_estimator(spec, workload, spec.champion)
            trained_until = max(trained_until, np.datetime64(manifest.watermark.trained_until))
        except VersionUnusable as error:
            missing = f"the champion {spec.champion} cannot be scored ({error})"
    holdout = unseen(holdout, trained_until)
    return Contest(evaluate(workload, candidate, champion, holdout, missing), holdout)


def open_estimator(spec: JobSpec, workload: Workload, version: str) -> tuple[Any, Manifest]:
    """Unpickle a version after its signature, digests and columns were found right.

    Raises:
        VersionUnusable: they were not.
    """
    directory = ModelStore(Path(spec.models_dir)).version_dir(spec.model, version)
    key = VerifyKey.read(Path(spec.public_key))
    manifest = verify(directory, key, model=spec.model, version=version)
    check_features(workload.features, manifest.features)
    return load_estimator(directory), manifest


def metrics_of(evaluation: Evaluation) -> dict[str, dict[str, float]]:
    """Named metrics of everybody who was scored.

    JSON has no NaN: a metric that is undefined on this holdout is left out.
    """
    scores = {"candidate": evaluation.candidate, "baseline": evaluation.baseline}
    if evaluation.champion is not None:
        scores["champion"] = evaluation.champion
    return {
        name: {metric: value for metric, value in score.metrics.items() if np.isfinite(value)}
        for name, score in scores.items()
    }
