"""Homes that earlier releases wrote are opened, served, rolled back and retrained by this code.

Every release adds one, see stored_versions/README.md: a user who upgrades loses no version.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from shared.exchange.reload_signal import ReloadSignal
from shared.keys.signing import PUBLIC_KEY_NAME, VerifyKey
from shared.loading.golden_answers import check_goldens, read_goldens
from shared.loading.open_version import load_estimator, open_version, read_state
from shared.run_log.run import RunStatus
from shared.versions.manifest import read_signed
from shared.versions.model_store import ModelStore
from shared.workloads import open_workload
from tests.integration.stored_versions.stored_home import Question, StoredHome
from tests.support.stored_paths import STORED_TYPES, modules_named_in
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

STORED = Path(__file__).parent / "stored_versions"
RELEASES = sorted(path.parent.name for path in STORED.glob("*/home.tar.xz"))
FORMS = {
    "forest": "treelite",
    "graph": "onnx",
    "linear": "numpy",
    "process": "scikit-learn",
    "product_recommender": "numpy",
    "product_similarity": "numpy",
    "server_metrics": "numpy",
    "solar_power/roof-01": "treelite",
    "solar_power/roof-02": "treelite",
    "spare_parts": "numpy",
}
RETRAINED = (
    "linear",
    "product_recommender",
    "product_similarity",
    "server_metrics",
    "solar_power/roof-01",
)
"""One for each class of ours that an estimator is stored as, and one of several entities."""
OF_THE_CLOCK = {"fleet", "generated_at", "reading_age_s", "servers", "timestamp"}
OF_THE_VERSION = {"model", "version", "generation"}


def stored(release: str, folder: Path) -> StoredHome:
    template = (STORED / release / "hotfit.toml").read_text()
    return StoredHome(folder, template, STORED / release / "home.tar.xz")


@cache
def questions(release: str) -> dict[str, tuple[Question, Any]]:
    """Model -> what its clients asked the release that stored it, and what they got."""
    entries = json.loads((STORED / release / "answers.json").read_text())
    return {entry["model"]: (Question(**entry["question"]), entry["answer"]) for entry in entries}


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def home(release: str) -> Iterator[StoredHome]:
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield stored(release, Path(folder))


def test_every_stored_version_opens_and_gives_its_golden_answers(home: StoredHome) -> None:
    """As the API opens it, and unpickled, as a training opens its champion."""
    store, key = (
        ModelStore(home.home / "models"),
        VerifyKey.read(home.home / "keys" / PUBLIC_KEY_NAME),
    )
    forms = {}
    for model in store.model_names():
        for version in store.versions(model):
            directory = store.version_dir(model, version)
            loaded = open_version(directory, key, model=model, version=version)
            close = getattr(getattr(loaded.answerer, "estimator", None), "close", None)
            if close is not None:
                close()

            signed = read_signed(directory, key, model=model, version=version)
            manifest, files = signed.manifest, signed.files
            workload = open_workload(manifest.workload, manifest.parameters)
            estimator = load_estimator(files)
            answerer = workload.open(estimator, read_state(files))
            goldens = read_goldens(files)
            check_goldens(answerer, goldens, manifest.golden_tolerance, version)
            forms[model] = manifest.serving_form.form
        assert len(store.versions(model)) == 2, model
    assert forms == FORMS


def test_a_stored_home_is_served_rolled_back_and_retrained(home: StoredHome, release: str) -> None:
    """The daemons of this code go on where those of an earlier release stopped."""
    store = ModelStore(home.home / "models")
    first = {model: store.versions(model)[0] for model in store.model_names()}
    second = {model: store.versions(model)[1] for model in store.model_names()}
    runs_before = {run.run_id for run in home.runs()}
    assert runs_before

    with home.serving() as serving, home.training() as training:
        home.wait_until_served(dict.fromkeys(FORMS, 2))
        for model, (question, answer) in questions(release).items():
            status, found = home.ask(question)
            assert status == 200, (model, found)
            assert found["version"] == second[model]
            assert difference(without_clock(answer), without_clock(found)) is None, model

        for model in FORMS:
            status, found = home.ask(Question("POST", f"/models/{model}/rollback", {}))
            assert status == 202, (model, found)
        home.wait_until_served(dict.fromkeys(FORMS, 3))
        for model, (question, _) in questions(release).items():
            status, found = home.ask(question)
            assert (status, found["version"]) == (200, first[model]), model

        for model in RETRAINED:
            home.ask(Question("POST", f"/models/{model}/release", {}))
        wait_until(
            lambda: not any(signal_of(store, model).hold for model in RETRAINED),
            300,
            "the models to be released",
        )
        runs = home.wait_until_ended({model: home.train(model) for model in RETRAINED})
        for model, run in runs.items():
            assert run.status is RunStatus.SUCCEEDED, (model, run.error)
            assert run.details["metrics"].get("champion"), (model, run.verdict)
        promoted = {model for model, run in runs.items() if run.promoted}
        assert promoted, {model: run.verdict for model, run in runs.items()}
        home.wait_until_served({model: signal_of(store, model).generation for model in promoted})
        for model in promoted:
            status, found = home.ask(questions(release)[model][0])
            assert (status, found["version"]) == (200, runs[model].version)
            directory = store.version_dir(model, runs[model].version)
            assert modules_named_in(directory) <= {STORED_TYPES}, model
        assert runs_before < {run.run_id for run in home.runs()}
        assert serving.stop(60) == 0
        assert training.stop(60) == 0


def signal_of(store: ModelStore, model: str) -> ReloadSignal:
    signal = store.signal(model)
    assert signal is not None
    return signal


def without_clock(answer: Any) -> Any:
    """What of an answer does not depend on when it was given, and by which version."""
    if isinstance(answer, dict):
        return {
            name: without_clock(value)
            for name, value in answer.items()
            if name not in OF_THE_CLOCK | OF_THE_VERSION
        }
    return answer


def difference(expected: Any, found: Any) -> str | None:
    """Fields may be added; what was there must stay, numbers to nine digits."""
    if isinstance(expected, dict) and isinstance(found, dict):
        pairs = [(name, value, found.get(name)) for name, value in expected.items()]
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = [(str(i), *pair) for i, pair in enumerate(zip(expected, found, strict=True))]
    elif isinstance(expected, float) and isinstance(found, (int, float)):
        same = math.isclose(expected, found, rel_tol=1e-9, abs_tol=1e-9)
        return None if same else f"expected {expected}, found {found}"
    else:
        return None if expected == found else f"expected {expected!r}, found {found!r}"
    for name, one, other in pairs:
        told = difference(one, other)
        if told is not None:
            return f"{name}: {told}"
    return None
