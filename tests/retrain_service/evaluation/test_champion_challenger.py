"""Which versions may be compared with a candidate, with real versions of the tabular workload."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest

from retrain_service.evaluation import champion_challenger
from retrain_service.promotion.decide import (
    InsufficientData,
    Promote,
    Reject,
    Verdict,
    decide,
    reason,
)
from retrain_service.promotion.gate_result import GateResult
from retrain_service.publish import serving_pointer, stage
from retrain_service.trainer.job_spec import JobSpec
from retrain_service.trainer.libraries import library_versions
from shared.keys.signing import SigningKey
from shared.settings.per_model import GateSettings
from shared.versions.manifest import Holdout, Manifest, Promotion, ServingForm, Watermark
from shared.versions.model_store import ModelStore
from shared.versions.model_version import ModelVersion
from shared.workloads import open_workload
from tests.shared.workloads.tabular.flats import PARAMETERS, flats, no_progress, table
from tests.support.comparisons import compare

NOW = datetime(2027, 4, 1, tzinfo=UTC)
FEATURES = ["rooms", "district", "furnished"]
RENT = {**PARAMETERS, "features": FEATURES}


class Flats:
    """Versions of one model, trained on the same flats."""

    def __init__(self, home: Path) -> None:
        self.store = ModelStore(home / "models")
        self.key = SigningKey.read_or_create(home / "keys")
        self.home = home
        self.n = 0

    def offer(self, parameters: dict[str, Any], policy: GateSettings) -> Verdict:
        """Train and judge; what passes is published and serves."""
        self.n += 1
        now = NOW + timedelta(days=self.n)
        signal = self.store.signal("flats")
        workload = open_workload("tabular", parameters)
        rows = workload.training_set({"records": table(flats())})
        train, holdout = workload.split(rows)
        estimator = workload.fit(train, 0, no_progress)
        spec = JobSpec(
            run_id=f"run{self.n}",
            model="flats",
            version=str(ModelVersion(self.n, now)),
            requested_at=now,
            workload="tabular",
            parameters=parameters,
            gate=policy.model_dump(mode="json"),
            seed=0,
            nice=0,
            base_generation=signal.generation if signal is not None else 0,
            champion=signal.version if signal is not None else None,
            models_dir=str(self.home / "models"),
            keys_dir=str(self.home / "keys"),
            public_key=str(self.home / "keys" / "signing.pub"),
            staged="",
            snapshot="",
            snapshot_digest="",
            newest_record_at=None,
            n_records=rows.n_rows,
            high_seq=0,
            inputs_digest="",
            memory_limit_mb=0,
            threads=1,
        )
        verdict = decide(
            compare(self.store, spec, workload, estimator, train, holdout).evaluation,
            policy,
            seed=0,
        )
        if isinstance(verdict, Promote):
            manifest = Manifest(
                model="flats",
                version=spec.version,
                run_id=spec.run_id,
                workload="tabular",
                parameters=parameters,
                features=list(workload.features_of(train)),
                metrics={},
                metric_unit="EUR",
                holdout=Holdout("2026-10-01", "2026-10-31", holdout.n_rows, holdout.n_days),
                watermark=Watermark(None, str(train.day.max()), rows.n_rows, 0, "none"),
                libraries=library_versions(workload),
                serving_form=ServingForm("scikit-learn"),
                golden_tolerance=1e-6,
                promotion=Promotion(spec.base_generation, "a test"),
                trained_at=now,
                files={},
            )
            staged = self.store.stage("flats", spec.run_id)
            digest = stage.stage(staged, workload, estimator, rows, manifest, self.key)
            serving_pointer.promote(self.store, staged, manifest, digest, "a test", now)
        return verdict


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"target": "area"},
            "it predicted rent in EUR (regression), now area in EUR (regression)",
        ),
        (
            {"target": "is_dear", "task": "classification", "estimator": "logistic_regression"},
            "now is_dear in EUR (classification)",
        ),
    ],
)
def test_a_version_that_predicts_something_else_needs_permission(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    """The columns are the same, so nothing but the target tells that every answer changes its
    meaning; and an error in square metres is neither better nor worse than one in euros."""
    made, other = Flats(tmp_path), {**RENT, **change}
    usual, permissive = GateSettings(), GateSettings(allow_contract_change=True)

    first = made.offer(RENT, usual)
    refused = made.offer(other, usual)
    permitted = made.offer(other, permissive)
    following = made.offer(other, usual)

    assert isinstance(first, Promote)
    assert isinstance(refused, Reject)
    assert refused.gates[-1].gate == "contract"
    assert said in reason(refused)
    champion = next(gate for gate in refused.gates if gate.gate == "champion")
    assert champion.verdict == "skipped"
    assert "it predicts rent in EUR (regression)" in champion.sentence
    assert isinstance(permitted, Promote)
    assert isinstance(following, Promote)
    assert champion_gate(following).verdict == "passed"


def champion_gate(verdict: Verdict) -> GateResult:
    (found,) = [gate for gate in verdict.gates if gate.gate == "champion"]
    return found


def refuse(_what: object, *_more: object) -> NoReturn:
    raise ModuleNotFoundError("No module named 'sklearn.ensemble._gb_losses'")


def test_a_champion_whose_estimator_does_not_open_any_more_is_asked_in_its_compiled_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an upgrade of a library it goes on serving, so it can be compared with as well."""
    made = Flats(tmp_path)
    as_usual = champion_gate(
        (made.offer(RENT, GateSettings()), made.offer(RENT, GateSettings()))[1]
    )

    monkeypatch.setattr(champion_challenger, "load_estimator", refuse)
    compared = champion_gate(made.offer(RENT, GateSettings()))

    assert compared.verdict == "passed", compared.sentence
    assert compared.value == pytest.approx(as_usual.value)
    assert "champion (asked in its compiled form: " in compared.sentence
    assert "_gb_losses" in compared.sentence


def test_a_champion_that_cannot_be_scored_at_all_stays_until_a_person_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anything would be promoted in its place: it would be the way round every gate."""
    made = Flats(tmp_path)
    made.offer(RENT, GateSettings())

    monkeypatch.setattr(champion_challenger, "load_estimator", refuse)
    monkeypatch.setattr(champion_challenger, "open_form", refuse)
    undecided = made.offer(RENT, GateSettings())
    permitted = made.offer(RENT, GateSettings(allow_unscored_champion=True))

    assert isinstance(undecided, InsufficientData)
    assert "stays until a person sets allow_unscored_champion = true" in reason(undecided)
    assert isinstance(permitted, Promote)
    assert "allow_unscored_champion permits it" in reason(permitted)


def test_where_the_champions_files_are_damaged_the_newest_version_that_verifies_stands_in(
    tmp_path: Path,
) -> None:
    """The daemon mends a damaged version by itself, but not with whatever comes along."""
    made = Flats(tmp_path)
    made.offer(RENT, GateSettings())
    made.offer(RENT, GateSettings())
    first, second = made.store.versions("flats")

    damage(made.store.version_dir("flats", second))
    against_first = champion_gate(made.offer(RENT, GateSettings()))
    for version in made.store.versions("flats"):
        damage(made.store.version_dir("flats", version))
    nothing_left = made.offer(RENT, GateSettings())

    assert against_first.verdict == "passed"
    assert f"champion (in place of {second}: " in against_first.sentence
    assert first
    assert isinstance(nothing_left, Promote)
    assert "no other version verifies" in reason(nothing_left)


def damage(version: Path) -> None:
    (version / "golden.json").write_bytes(b"[]")
