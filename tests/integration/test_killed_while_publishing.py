"""kill -9 of the retrain daemon at each step of a run and of its publish."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared.errors import HotfitError
from shared.keys.signing import VerifyKey
from shared.run_log.run import RunStatus
from shared.versions.manifest import verify
from shared.versions.model_store import ModelStore
from tests.support.daemons import MeanHome, daemon
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="finds the path of a descriptor in /proc"),
]

# What a publish does to the disk, in this order; each is killed before and after.
PUBLISH = [
    "fsync STAGED/twin.joblib",
    "fsync STAGED/holdout.json",
    "fsync STAGED/model.joblib",
    "fsync STAGED/state.json",
    "fsync STAGED/golden.json",
    "fsync STAGED/manifest.json",
    "fsync STAGED",
    "rename models/m/versions/VERSION",
    "fsync models/m/versions",
    "fsync models/m/TEMPORARY_reload_signal",
    "replace models/m/reload_signal.json",
    "fsync models/m",
    "fsync state/signals/TEMPORARY_m",
    "replace state/signals/m.json",
]


def _wanted_version_verifies(home: Path) -> bool:
    """What an API would find at this moment: nothing yet, or a version that holds."""
    store = ModelStore(home / "models")
    signal = store.signal("m")
    if signal is None:
        return True
    key = VerifyKey.read(home / "keys" / "signing.pub")
    verify(
        store.version_dir("m", signal.version),
        key,
        model="m",
        version=signal.version,
        manifest_sha256=signal.manifest_sha256,
    )
    return True


def test_a_daemon_killed_at_any_step_of_a_publish_leaves_what_verifies_and_goes_on(
    tmp_path: Path,
) -> None:
    """Power cuts choose their moment; none of them may leave half a version or lose the run."""
    place = MeanHome(tmp_path)
    place.add_rows(100)
    for step in [f"{moment} {step}" for step in PUBLISH for moment in ("before", "after")]:
        place.add_rows(10)
        reached = tmp_path / step.replace("/", "-")
        with daemon(
            "retrain_service",
            "run",
            config=place.config,
            output=tmp_path / "daemon.log",
            environment={
                "KILL_AT": step,
                "KILL_HOME": str(place.home),
                "KILL_REACHED": str(reached),
            },
        ) as running:
            running.process.wait(60)

        assert reached.exists(), f"died before it came to {step}: {running.output()[-2000:]}"
        assert _wanted_version_verifies(place.home)

    with daemon(
        "retrain_service", "run", config=place.config, output=tmp_path / "daemon.log"
    ) as running:
        n_before = len(place.runs())
        place.add_rows(10)
        wait_until(
            lambda: (
                len(place.runs()) > n_before
                and (place.runs()[0].status, place.runs()[0].promoted)
                == (RunStatus.SUCCEEDED, True)
            ),
            30,
            "a run after all the kills",
        )
        assert running.stop() == 0
    versions = place.home / "models" / "m" / "versions"
    assert [path.name for path in versions.iterdir() if path.name.startswith(".")] == []
    assert not list((place.home / "work").iterdir())
    assert not list((place.home / "staging").glob("*/*"))
    assert {run.status for run in place.runs()} <= {RunStatus.SUCCEEDED, RunStatus.ABANDONED}
    numbers = [run.version_number for run in place.runs()]
    assert len(numbers) == len(set(numbers))
    for version in ModelStore(place.home / "models").versions("m"):
        try:
            key = VerifyKey.read(place.home / "keys" / "signing.pub")
            verify(versions / version, key, model="m", version=version)
        except HotfitError as error:
            pytest.fail(f"{version} is there and does not hold: {error}")


# A run's life in the log and as a process; each is killed before and after.
LIFE = ["log.add_run", "log.start_run", "job.start", "log.finish_run"]


def test_a_daemon_killed_at_any_step_of_a_run_neither_loses_nor_doubles_it(tmp_path: Path) -> None:
    """Between decision, start, end and publish: ten records lead to one finished run, always."""
    place = MeanHome(tmp_path)
    place.add_rows(100)
    output = tmp_path / "daemon.log"

    for n, step in enumerate(
        [f"{moment} {step}" for step in LIFE for moment in ("before", "after")]
    ):
        finished_before = sum(run.status is RunStatus.SUCCEEDED for run in place.runs())
        reached = tmp_path / f"reached-{n}"
        with daemon(
            "retrain_service",
            "run",
            config=place.config,
            output=output,
            environment={
                "KILL_AT": step,
                "KILL_HOME": str(place.home),
                "KILL_REACHED": str(reached),
            },
        ) as killed:
            killed.process.wait(60)
        assert reached.exists(), f"died before it came to {step}: {killed.output()[-2000:]}"

        with daemon("retrain_service", "run", config=place.config, output=output) as running:

            def has_learnt_everything(pid: int = running.process.pid) -> bool:
                report = place.report()
                if report is None or report.pid != pid:
                    return False
                model = report.models["m"]
                return (
                    model.last_run_id is not None
                    and model.running_run_id is None
                    and model.n_usable_records > 0
                    and model.new_records == 0
                )

            wait_until(has_learnt_everything, 60, f"everything to be learnt after the kill {step}")
            assert running.stop() == 0

        finished = sum(run.status is RunStatus.SUCCEEDED for run in place.runs())
        assert finished == finished_before + 1, (step, [run.status for run in place.runs()])
        assert not list((place.home / "work").glob("*/job.json"))
        place.add_rows(10)

    numbers = [run.version_number for run in place.runs()]
    assert len(numbers) == len(set(numbers))
