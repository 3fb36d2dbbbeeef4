"""Real signed versions of the product workloads, staged as the trainer stages them."""

from __future__ import annotations

from datetime import timedelta

from retrain_service.publish.stage import stage
from shared.versions.manifest import Holdout, Manifest, Promotion, ServingForm, Watermark
from shared.workloads import open_workload
from shared.workloads.training import TrainingSet
from tests.support.versions import FIRST_AT, ServingHome, version_name, write_signal


def publish_products(
    home: ServingHome, model: str, workload_name: str, number: int, rows: TrainingSet
) -> str:
    """Fit, stage with golden answers, commit and point at it; returns the version's name."""
    workload = open_workload(workload_name, {})
    train, _ = workload.split(rows)
    version = version_name(number)
    manifest = Manifest(
        model=model,
        version=version,
        run_id=f"run-{number}",
        workload=workload_name,
        parameters={},
        features=list(workload.features),
        metrics={},
        metric_unit="none",
        holdout=Holdout("2026-10-01", "2026-10-31", 31, 31),
        watermark=Watermark(FIRST_AT, "2026-10-31", 100, 100, "none"),
        libraries={},
        serving_form=ServingForm("none"),
        golden_tolerance=1e-6,
        promotion=Promotion(0, "a test wants it"),
        trained_at=FIRST_AT + timedelta(hours=number),
        files={},
    )
    staged = home.store.stage(model, f"run-{number}")
    estimator = workload.fit(train, 0, lambda _fraction, _stage: None)
    stage(staged, workload, estimator, rows, manifest, home.key)
    home.store.commit(model, staged, version)
    write_signal(home.store, model, version)
    return version
