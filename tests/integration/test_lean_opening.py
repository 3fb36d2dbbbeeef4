"""A version of every workload, staged as the trainer stages it, opened as a worker opens it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from retrain_service.publish.stage import stage
from shared.keys.signing import SigningKey
from shared.versions.manifest import (
    COMPILED_NAME,
    MANIFEST_NAME,
    MODEL_NAME,
    Holdout,
    Manifest,
    Promotion,
    ServingForm,
    Watermark,
    encode,
    read_manifest,
    sign,
)
from shared.workloads import open_workload
from shared.workloads.rows import FeatureSpec
from shared.workloads.training import TrainingSet
from tests.contracts.test_workload_contract import RECORDS
from tests.support.daemons import ROOT
from tests.support.stored_paths import STORED_TYPES, modules_named_in
from tests.support.versions import described

AT = datetime(2026, 11, 1, tzinfo=UTC)
FORMS = {
    "spare_parts": "numpy",
    "solar_power": "treelite",
    "product_similarity": "numpy",
    "product_recommender": "numpy",
    "server_metrics": "numpy",
    "tabular": None,  # as its estimator
}
PROGRAM = """
import sys
from pathlib import Path
import api_service.worker.worker
from shared.keys.signing import VerifyKey
from shared.loading.open_version import open_version, read_goldens
from shared.versions.version_files import VersionFiles
directory, key, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
loaded = open_version(directory, VerifyKey.read(key), model=name, version=directory.name)
for line in read_goldens(VersionFiles(directory, name, loaded.manifest.files)):
    loaded.answerer.answer(line.golden.question, line.golden.request, line.golden.now)
heavy = {"pandas", "sklearn", "scipy", "joblib", "treelite", "onnxruntime", "duckdb", "pyarrow"}
print(sorted(heavy & set(sys.modules)))
"""


def _staged(name: str, directory: Path, key: SigningKey, is_plain: bool = False) -> Path:
    """is_plain : with an estimator of scikit-learn, as the first versions of `spare_parts` had."""
    parameters, tables = RECORDS[name]()
    workload = open_workload(name, parameters)
    rows = workload.training_set(tables)
    features = workload.features_of(rows) if hasattr(workload, "features_of") else workload.features
    staged = directory / "v000001-20261101T000000Z"
    staged.mkdir()
    estimator = workload.fit(rows, 0, lambda _fraction, _stage: None)
    if is_plain:
        from sklearn.linear_model import Ridge

        estimator = Ridge().fit(rows.features, rows.target)
    manifest = _manifest(name, staged.name, list(features), rows, dict(parameters))
    stage(staged, workload, estimator, rows, manifest, key)
    return staged


def _manifest(
    name: str,
    version: str,
    features: list[FeatureSpec],
    rows: TrainingSet,
    parameters: dict[str, Any],
) -> Manifest:
    return Manifest(
        model=name,
        version=version,
        run_id="run",
        workload=name,
        parameters=parameters,
        features=features,
        metrics={},
        metric_unit="none",
        holdout=Holdout("2026-10-01", "2026-10-31", rows.n_rows, rows.n_days),
        watermark=Watermark(AT, "2026-10-31", 100, 100, "none"),
        libraries={},
        serving_form=ServingForm("none"),
        golden_tolerance=1e-6,
        promotion=Promotion(0, "a test wants it"),
        trained_at=AT,
        files={},
    )


def _opened(staged: Path, home: Path, name: str) -> subprocess.CompletedProcess[str]:
    public_key = home / "keys" / "signing.pub"
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(staged), str(public_key), name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module", params=sorted(RECORDS))
def fresh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new version of each workload; the keys lie beside it."""
    home = tmp_path_factory.mktemp(request.param)
    return _staged(request.param, home, SigningKey.read_or_create(home / "keys"))


def test_a_worker_opens_and_answers_without_the_libraries_of_training(fresh: Path) -> None:
    """They cost a worker seconds at start, a hundred megabytes, and the GIL at each swap."""
    staged, name = fresh, read_manifest(fresh)[0].model

    done = _opened(staged, staged.parent, name)

    form = read_manifest(staged)[0].serving_form
    assert form.form in (FORMS[name] or form.form, "numpy", "treelite"), form
    assert f"{COMPILED_NAME}/form.json" in read_manifest(staged)[0].files
    assert done.stdout.strip() == "[]", done.stderr


def test_a_new_version_names_no_module_of_ours_that_may_move(fresh: Path) -> None:
    """What is stored under a tag stays readable wherever the code goes; a path does not."""
    assert modules_named_in(fresh) <= {STORED_TYPES}


@pytest.mark.parametrize("name", ["spare_parts", "server_metrics"])
def test_a_version_from_before_there_were_forms_opens_without_them_too(
    name: str, tmp_path: Path
) -> None:
    """After an upgrade the API must serve what is there, not wait for the next training."""
    key = SigningKey.read_or_create(tmp_path / "keys")
    staged = _staged(name, tmp_path, key, is_plain=name == "spare_parts")
    for path in (staged / COMPILED_NAME).iterdir():
        path.unlink()
    (staged / COMPILED_NAME).rmdir()
    old = msgspec.structs.replace(
        read_manifest(staged)[0],
        serving_form=ServingForm("scikit-learn"),
        files=described(staged),
        signature=None,
    )
    (staged / MANIFEST_NAME).write_bytes(encode(sign(old, key)))

    done = _opened(staged, tmp_path, name)

    assert (staged / MODEL_NAME).exists()
    assert done.stdout.strip() == "[]", done.stderr
