"""The twin is judged, the refit is published: whole runs, with real versions."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest

import shared.workloads
from retrain_service.evaluation import champion_challenger
from shared.errors import DigestMismatch
from shared.loading.open_version import load_estimator
from shared.versions.manifest import MODEL_NAME, TWIN_NAME, SignedVersion
from shared.versions.verified_versions import VerifiedVersions
from tests.support.daemons import INJECTED, ROOT
from tests.support.training_runs import Trainings

FIRST = date(2026, 1, 1)


@pytest.fixture(autouse=True)
def _mean_workload_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {**shared.workloads.REGISTRY, "mean": "tests.support.mean_workload:MeanWorkload"}
    monkeypatch.setattr(shared.workloads, "REGISTRY", known)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(INJECTED), str(ROOT)]))  # of the trial


def rows(n: int) -> list[dict[str, Any]]:
    """One a day, greater by one than the week before: a mean tells which rows were seen."""
    return [{"day": str(FIRST + timedelta(days=i)), "value": 100.0 + i // 7} for i in range(n)]


def mean(n: int) -> float:
    return sum(float(row["value"]) for row in rows(n)) / n


def at(n: int) -> datetime:
    """At noon of the day of the last of `n` rows."""
    day = FIRST + timedelta(days=n - 1)
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def served(trainings: Trainings) -> SignedVersion:
    versions = VerifiedVersions(trainings.store, trainings.key.verify_key)
    return versions.verify("m", trainings.manifest().version)


def mean_trainings(folder: Path, **parameters: Any) -> Trainings:
    return Trainings(folder, "mean", parameters, "rows")


def test_what_serves_was_fitted_on_all_rows_and_its_twin_on_those_before_the_holdout(
    tmp_path: Path,
) -> None:
    """The newest fifth judges a version, and teaches it."""
    trainings = mean_trainings(tmp_path)

    result = trainings.train(rows(100), at(100))

    assert result.outcome == "promote", result.reason
    version, manifest = served(trainings), trainings.manifest()
    assert load_estimator(version.files, TWIN_NAME)["mean"] == pytest.approx(mean(80))
    assert load_estimator(version.files, MODEL_NAME)["mean"] == pytest.approx(mean(100))
    assert (manifest.judged_until, manifest.fitted_until) == (
        datetime(2026, 3, 21, 23, 59, 59, 999999, UTC),
        manifest.watermark.newest_record_at,
    )
    assert manifest.holdout.first_day == "2026-03-22"
    assert {"fit_s", "refit_s"} <= result.details.keys()
    assert "refitting" in result.details["stage_s"]


def test_a_later_candidate_is_compared_with_the_twin_on_rows_that_neither_twin_has_seen(
    tmp_path: Path,
) -> None:
    """The served estimator has seen the holdout: nobody could be compared with it there."""
    trainings = mean_trainings(tmp_path)
    trainings.train(rows(100), at(100))

    result = trainings.train(rows(105), at(105))

    assert result.outcome == "promote", result.reason
    (gate,) = [gate for gate in result.gates if gate.gate == "champion"]
    truth = [float(row["value"]) for row in rows(105)[84:]]
    error = sum(abs(mean(80) - value) for value in truth) / len(truth)
    assert f"champion {error:.4g} on the same 21 rows of 21 days" in gate.sentence


def test_without_a_refit_the_judged_bytes_are_published(tmp_path: Path) -> None:
    """For those who must ship what was judged."""
    trainings = mean_trainings(tmp_path)

    result = trainings.train(rows(100), at(100), refit=False)

    assert result.outcome == "promote", result.reason
    manifest = trainings.manifest()
    assert TWIN_NAME not in manifest.files
    assert load_estimator(served(trainings).files)["mean"] == pytest.approx(mean(80))
    assert manifest.fitted_until == manifest.judged_until
    assert "refit_s" not in result.details


def test_an_incremental_run_continues_the_twin_and_the_refit_continues_that(
    tmp_path: Path,
) -> None:
    """No row is learnt twice, and what judges is never learnt before it has judged."""
    trainings = mean_trainings(tmp_path, can_continue=True)
    for n in (100, 105, 110):
        trainings.train(rows(n), at(n), full_every=10)

    version = served(trainings)
    twin, model = load_estimator(version.files, TWIN_NAME), load_estimator(version.files)
    assert (twin["n"], twin["mean"]) == (88, pytest.approx(mean(88)))
    assert (model["n"], model["mean"]) == (110, pytest.approx(mean(110)))
    assert trainings.manifest().runs_since_full == 2


def test_a_twin_that_was_exchanged_is_no_whole_version(tmp_path: Path) -> None:
    """Whoever could change the twin would decide what is promoted next."""
    trainings = mean_trainings(tmp_path)
    trainings.train(rows(100), at(100))
    path = trainings.store.version_dir("m", trainings.manifest().version) / TWIN_NAME
    path.write_bytes(path.read_bytes()[::-1])

    with pytest.raises(DigestMismatch, match=TWIN_NAME):
        served(trainings)


@pytest.mark.parametrize(
    ("change", "outcome", "said"),
    [
        (lambda v: v * 10, "reject", "target is at its highest"),
        (lambda v: 0.0, "reject", "target is 0 in 100 % of the rows"),
        (lambda v: v / 1000, "reject", "target is usually"),
        (lambda v: v * 1.3, "promote", ""),
    ],
)
def test_a_poisoned_newest_week_stops_a_run_before_anything_is_fitted(
    tmp_path: Path, change: Callable[[float], float], outcome: str, said: str
) -> None:
    """What is fitted on all rows would learn it; a change of moderate size is learnt."""
    trainings = mean_trainings(tmp_path)
    records = rows(100)
    for record in records[-7:]:
        record["value"] = change(record["value"])

    result = trainings.train(records, at(100))

    assert (result.outcome, said in result.reason) == (outcome, True), result.reason
    assert ("fit_s" in result.details) == (outcome == "promote")


def test_where_a_twin_does_not_open_any_more_only_rows_that_the_served_form_has_not_seen_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an upgrade of a library: the form that serves has learnt the holdout by heart."""
    features = {"target": "value", "features": ["x"], "time": "day", "estimator": "ridge"}
    trainings = Trainings(tmp_path, "tabular", features, "records")

    def records(n: int) -> list[dict[str, Any]]:
        return [
            {**row, "x": i % 5, "value": 100.0 + i % 5 + i * 7 % 3} for i, row in enumerate(rows(n))
        ]

    def champion_sentence(n: int) -> str:
        result = trainings.train(records(n), at(n))
        (found,) = [gate for gate in result.gates if gate.gate == "champion"]
        return f"{result.outcome}: {found.sentence}"

    assert trainings.train(records(200), at(200)).outcome == "promote"

    monkeypatch.setattr(champion_challenger, "load_estimator", _refuse)
    nothing_new, ten_days = champion_sentence(200), champion_sentence(210)

    assert "insufficient_data: " in nothing_new
    assert "its compiled form was fitted on every row until 2026-07-19" in nothing_new
    assert "promote: " in ten_days
    assert "champion (asked in its compiled form: " in ten_days
    assert "on the same 10 rows of 10 days" in ten_days


def _refuse(_files: object, *_name: object) -> NoReturn:
    raise ModuleNotFoundError("No module named 'sklearn.linear_model._gone'")
