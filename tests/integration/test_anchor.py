"""Slow decay with real versions: each is a little worse than the one before, published by the
training process and the promotion that the daemon uses."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

import shared.workloads
from retrain_service.evaluation.scores import Evaluation
from retrain_service.promotion.decide import Promote, Verdict, anchor_after, decide
from retrain_service.publish import serving_pointer, stage
from retrain_service.trainer.job_spec import JobSpec
from retrain_service.trainer.libraries import library_versions
from shared.keys.signing import SigningKey
from shared.records import Table, to_epoch_us
from shared.settings.per_model import GateSettings
from shared.versions.manifest import (
    MANIFEST_NAME,
    Holdout,
    Manifest,
    Promotion,
    ServingForm,
    Watermark,
    encode,
    sign,
)
from shared.versions.model_store import ModelStore
from shared.versions.model_version import ModelVersion
from shared.workloads import open_workload
from tests.support.comparisons import compare
from tests.support.daemons import MeanHome, daemon
from tests.support.versions import described
from tests.support.waiting import wait_until

FIRST_AT = datetime(2026, 11, 1, 8, tzinfo=UTC)
POLICY = GateSettings(max_total_regression=0.08)
N_ROWS = 300


@pytest.fixture(autouse=True)
def _mean_workload_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {**shared.workloads.REGISTRY, "mean": "tests.support.mean_workload:MeanWorkload"}
    monkeypatch.setattr(shared.workloads, "REGISTRY", known)


class Keeper:
    """Trains, judges and publishes versions of MeanWorkload, one after the other."""

    def __init__(self, home: Path, policy: GateSettings) -> None:
        self.store = ModelStore(home / "models")
        self.key = SigningKey.read_or_create(home / "keys")
        self.home = home
        self.policy = policy
        self.number = 0

    def offer(self, offset: float) -> tuple[str, Verdict, Evaluation]:
        """Train with an offset; what passes the gates is published."""
        self.number += 1
        now = FIRST_AT + timedelta(days=self.number)
        version = str(ModelVersion(self.number, now))
        workload = open_workload("mean", {"offset": offset})
        rows = workload.training_set({"rows": _table(N_ROWS + self.number)})
        train, holdout = workload.split(rows)
        estimator = workload.fit(train, 0, lambda _share, _stage: None)
        spec = self._spec(version, now, {"offset": offset})
        contest = compare(self.store, spec, workload, estimator, train, holdout)
        verdict = decide(contest.evaluation, self.policy)
        if isinstance(verdict, Promote):
            staged = self.store.stage("m", f"run{self.number}")
            anchor = anchor_after(contest.evaluation, self.policy)
            manifest = _manifest(spec, Promotion(spec.base_generation, "a test", anchor), now)
            digest = stage.stage(staged, workload, estimator, rows, manifest, self.key)
            serving_pointer.promote(self.store, staged, manifest, digest, "a test", now)
        return version, verdict, contest.evaluation

    def anchor(self) -> str | None:
        signal = self.store.signal("m")
        assert signal is not None
        return self.store.manifest("m", signal.version).promotion.anchor

    def _spec(self, version: str, now: datetime, parameters: dict[str, Any]) -> JobSpec:
        signal = self.store.signal("m")
        return JobSpec(
            run_id=f"run{self.number}",
            model="m",
            version=version,
            requested_at=now,
            workload="mean",
            parameters=parameters,
            gate={},
            seed=0,
            nice=0,
            base_generation=signal.generation if signal is not None else 0,
            champion=signal.version if signal is not None else None,
            models_dir=str(self.store.models_dir),
            keys_dir=str(self.home / "keys"),
            public_key=str(self.home / "keys" / "signing.pub"),
            staged="",
            snapshot="",
            snapshot_digest="",
            newest_record_at=None,
            n_records=0,
            high_seq=0,
            inputs_digest="",
            memory_limit_mb=0,
            threads=1,
        )


def _table(n: int) -> Table:
    at = to_epoch_us(FIRST_AT)
    days = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=i) for i in range(n)]
    bodies = [
        f'{{"day": "{day:%Y-%m-%d}", "value": {5 + i % 3}}}'.encode() for i, day in enumerate(days)
    ]
    return Table("rows", [str(i) for i in range(n)], [at + i for i in range(n)], bodies)


def _manifest(spec: JobSpec, promotion: Promotion, now: datetime) -> Manifest:
    trained_until = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=int(N_ROWS * 0.8))
    return Manifest(
        model="m",
        version=spec.version,
        run_id=spec.run_id,
        workload="mean",
        parameters=spec.parameters,
        features=list(open_workload("mean", {}).features),
        metrics={},
        metric_unit="units",
        holdout=Holdout("2026-09-01", "2026-10-31", 60, 60),
        watermark=Watermark(None, f"{trained_until:%Y-%m-%d}", 0, 0, ""),
        libraries=library_versions(),
        serving_form=ServingForm("scikit-learn"),
        golden_tolerance=1e-6,
        promotion=promotion,
        trained_at=now,
        files={},
    )


def test_many_small_losses_are_stopped_at_the_best_past_version(tmp_path: Path) -> None:
    """Each is about 3 % worse than what is served, which the champion alone lets pass for ever."""
    controller = Keeper(tmp_path, POLICY)
    best, _, _ = controller.offer(0.0)

    verdicts = [controller.offer(offset)[1] for offset in (0.06, 0.12, 0.11)]

    assert [isinstance(verdict, Promote) for verdict in verdicts] == [True, False, False]
    assert [verdict.gates[-1].gate for verdict in verdicts] == ["contract", "anchor", "anchor"]
    assert f"best past version {best}" in verdicts[-1].gates[-1].sentence
    assert controller.anchor() == best


def test_without_the_anchor_the_same_losses_go_on(tmp_path: Path) -> None:
    """The other half of the proof: it is the anchor that stops them."""
    controller = Keeper(tmp_path, GateSettings(max_total_regression=10))

    verdicts = [controller.offer(0.06 * step)[1] for step in range(5)]

    assert all(isinstance(verdict, Promote) for verdict in verdicts)


def test_a_surely_better_version_becomes_the_anchor(tmp_path: Path) -> None:
    """Later versions are measured against the best, not against the first."""
    controller = Keeper(tmp_path, POLICY)
    controller.offer(0.9)

    better, verdict, _ = controller.offer(0.0)

    assert isinstance(verdict, Promote)
    assert controller.anchor() == better


def test_an_anchor_that_is_gone_is_skipped_and_the_champion_takes_its_place(
    tmp_path: Path,
) -> None:
    """Somebody tidied up by hand; the model goes on, and is anchored again."""
    controller = Keeper(tmp_path, POLICY)
    best, _, _ = controller.offer(0.0)
    second, _, _ = controller.offer(0.06)
    shutil.rmtree(controller.store.version_dir("m", best))

    _, verdict, evaluation = controller.offer(0.08)

    assert isinstance(verdict, Promote)
    assert evaluation.anchor is not None
    assert "does not exist" in (evaluation.anchor.missing or "")
    assert controller.anchor() == second


@pytest.mark.parametrize("content", [b"no pickle", b"cos\nnot_there\n."])
def test_a_champion_that_does_not_unpickle_does_not_block_its_successor(
    tmp_path: Path, content: bytes
) -> None:
    """After an upgrade of a library the old estimator may not open; the new one is the cure."""
    controller = Keeper(tmp_path, POLICY)
    first, _, _ = controller.offer(0.0)
    directory = controller.store.version_dir("m", first)
    (directory / "model.joblib").write_bytes(content)
    # Signed and intact, but not to be opened: what matters here is what unpickling raises.
    manifest = msgspec.structs.replace(
        controller.store.manifest("m", first), files=described(directory), signature=None
    )
    (directory / MANIFEST_NAME).write_bytes(encode(sign(manifest, controller.key)))

    _, verdict, evaluation = controller.offer(0.0)

    assert isinstance(verdict, Promote)
    assert evaluation.champion is not None
    assert "opening the model failed" in (evaluation.champion.note or "")


@pytest.mark.slow
def test_the_daemon_leaves_the_best_version_in_place(tmp_path: Path) -> None:
    """All of it together: configuration, training process, trial, signed manifest, run log."""
    place = MeanHome(tmp_path, "[models.m.gate]\nmax_total_regression = 0.08\n")
    place.add_rows(N_ROWS)
    log, settings = tmp_path / "retrain.log", place.config.read_text()

    def train(offset: float, n_runs: int) -> None:
        place.config.write_text(f"{settings}\n[models.m.parameters]\noffset = {offset}\n")
        with daemon("retrain_service", "run", config=place.config, output=log) as run:
            wait_until(
                lambda: len([r for r in place.runs() if r.finished_at]) == n_runs, 60, "a run"
            )
            assert run.stop() == 0
        place.add_rows(10)

    for n, offset in enumerate((0.0, 0.06, 0.12)):
        train(offset, n + 1)

    third, second, first = place.runs()
    assert (first.promoted, second.promoted, third.promoted) == (True, True, False)
    assert f"best past version {first.version}" in (third.verdict or "")
    gates = {gate["gate"]: gate for gate in second.details["gates"]}
    assert list(gates) == [
        *("data_schema", "data_labels", "data_duplicates", "data_rejected", "data_amount"),
        *("data_freshness", "data_readable", "data_newest", "holdout", "finite", "constant"),
        *("champion", "baseline", "slices", "anchor", "contract", "refit", "trial"),
        *("load_time", "memory", "file_size", "latency"),
    ]
    assert {gate["verdict"] for gate in gates.values()} <= {"passed", "skipped"}
    assert 10 < gates["memory"]["value"] < 1000
    store = ModelStore(place.home / "models")
    assert store.manifest("m", second.version).promotion.anchor == first.version
