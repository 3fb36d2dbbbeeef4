"""What is forgotten, what never is, and that a crash in the middle leaves nothing half there."""

from __future__ import annotations

import os
import shutil
import socket
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from retrain_service.maintenance import retention
from shared.daemon.loop import utc_now
from shared.exchange.json_files import write_struct
from shared.exchange.reload_signal import ReloadSignal
from shared.exchange.worker_report import ServingReport, WatcherReport, WorkerReport
from shared.run_log.pruning import NEWEST_KEPT
from shared.run_log.run import Run, RunStatus
from shared.run_log.writer import RunLog
from shared.settings.root import Settings
from shared.settings.sections import RetentionSettings
from shared.versions.manifest import (
    MANIFEST_NAME,
    Holdout,
    Manifest,
    Promotion,
    ServingForm,
    Watermark,
    encode,
)
from shared.versions.model_store import ModelStore
from shared.versions.model_version import ModelVersion

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


def settings(home: Path, **rules: Any) -> Settings:
    return Settings(home=home, retention=RetentionSettings(**rules))


def add_version(
    home: Path, number: int, *, age_days: float, anchor: str | None = None, model: str = "m"
) -> str:
    version = str(ModelVersion(number, NOW - timedelta(days=age_days)))
    directory = ModelStore(home / "models").version_dir(model, version)
    directory.mkdir(parents=True)
    (directory / "model.joblib").write_bytes(b"x" * 1000)
    manifest = Manifest(
        model=model,
        version=version,
        run_id=f"run{number}",
        workload="mean",
        parameters={},
        features=[],
        metrics={},
        metric_unit="units",
        holdout=Holdout("2026-01-01", "2026-01-02", 2, 2),
        watermark=Watermark(None, "2026-01-01", 1, 1, "digest"),
        libraries={},
        serving_form=ServingForm("scikit-learn"),
        golden_tolerance=0.0,
        promotion=Promotion(number - 1, "better", anchor),
        trained_at=NOW,
        files={},
    )
    (directory / MANIFEST_NAME).write_bytes(encode(manifest))
    return version


def want(home: Path, version: str, previous: str | None, model: str = "m") -> None:
    write_struct(
        ModelStore(home / "models").signal_path(model),
        ReloadSignal(
            generation=9,
            version=version,
            manifest_sha256="0",
            previous=previous,
            reason="",
            promoted_at=NOW,
        ),
    )


def report(
    home: Path, version: str, *, pid: int, host: str | None = None, updated_at: datetime = NOW
) -> None:
    write_struct(
        home / "reports" / f"{pid}.json",
        WorkerReport(
            host=host or socket.gethostname(),
            pid=pid,
            started_at=utc_now(),
            updated_at=updated_at,
            watcher=WatcherReport(is_well=True, sentence=""),
            models={
                "m": ServingReport(
                    state="serving",
                    generation=1,
                    wanted=None,
                    version=version,
                    serving_generation=1,
                )
            },
        ),
    )


def going(home: Path, **rules: Any) -> list[str]:
    found = retention.plan(settings(home, **rules), None, NOW)
    return [old.version for old in found.versions]


def test_a_version_goes_when_it_is_neither_among_the_newest_nor_young(tmp_path: Path) -> None:
    """Both rules keep: a burst of versions in a day stays, and so does a year's last ten."""
    found = [add_version(tmp_path, n, age_days=100 - 10 * n) for n in range(1, 10)]
    want(tmp_path, found[-1], found[-2])

    assert going(tmp_path, versions=3, version_days=35) == found[:6]
    assert going(tmp_path, versions=3, version_days=65) == found[:3]
    assert going(tmp_path, versions=20, version_days=0) == []


def test_what_somebody_needs_never_goes(tmp_path: Path) -> None:
    """Wanted, previous, anchors, and whatever a worker serves, however old it is."""
    first = add_version(tmp_path, 1, age_days=500)
    anchor_of_anchor = add_version(tmp_path, 2, age_days=490)
    anchor = add_version(tmp_path, 3, age_days=480, anchor=anchor_of_anchor)
    previous = add_version(tmp_path, 4, age_days=470)
    wanted = add_version(tmp_path, 5, age_days=460, anchor=anchor)
    served = add_version(tmp_path, 6, age_days=450)
    of_a_dead_worker = add_version(tmp_path, 7, age_days=440)
    elsewhere = add_version(tmp_path, 8, age_days=430)
    of_a_removed_container = add_version(tmp_path, 9, age_days=425)
    newest = add_version(tmp_path, 10, age_days=420)
    want(tmp_path, wanted, previous)
    report(tmp_path, served, pid=os.getpid())
    report(tmp_path, of_a_dead_worker, pid=4_194_304 + 7)
    report(tmp_path, elsewhere, pid=7, host="another-machine")
    two_days_ago = NOW - timedelta(days=2)
    report(tmp_path, of_a_removed_container, pid=8, host="container", updated_at=two_days_ago)

    assert going(tmp_path, versions=1, version_days=0) == [
        first,
        of_a_dead_worker,
        of_a_removed_container,
    ]
    assert newest not in going(tmp_path, versions=1, version_days=0)


def test_where_the_signal_cannot_be_read_everything_stays(tmp_path: Path) -> None:
    """Not knowing what is wanted is no reason to remove it."""
    for number in range(1, 5):
        add_version(tmp_path, number, age_days=100)
    ModelStore(tmp_path / "models").signal_path("m").write_text("{")

    found = retention.plan(settings(tmp_path, versions=1, version_days=0), None, NOW)

    assert not found.versions
    assert "every version is kept" in found.notes[0]


def test_entities_are_models_of_their_own(tmp_path: Path) -> None:
    """Ten versions of each device, not ten of all."""
    for device in ("a", "b"):
        for number in (1, 2, 3):
            add_version(tmp_path, number, age_days=100 - number, model=f"solar/{device}")

    found = retention.plan(settings(tmp_path, versions=2, version_days=0), None, NOW)

    assert [old.model for old in found.versions] == ["solar/a", "solar/b"]


def test_a_crash_in_the_middle_leaves_no_half_version_and_the_next_time_tidies_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader lists only whole versions, whenever the power goes."""
    old, new = add_version(tmp_path, 1, age_days=100), add_version(tmp_path, 2, age_days=1)
    want(tmp_path, new, None)
    store, rules = ModelStore(tmp_path / "models"), settings(tmp_path, versions=1, version_days=0)
    real = shutil.rmtree

    def power_cut(path: Path, **options: Any) -> None:
        if path.exists():
            (path / MANIFEST_NAME).unlink()
            raise KeyboardInterrupt
        real(path, **options)

    with closing(RunLog.open(tmp_path / "run_log.sqlite")) as log:
        monkeypatch.setattr("shutil.rmtree", power_cut)
        with pytest.raises(KeyboardInterrupt):
            retention.prune(rules, log, NOW)
        monkeypatch.undo()
        assert store.versions("m") == [new]
        assert store.left_over("m")

        retention.prune(rules, log, NOW)

    assert not store.left_over("m")
    assert not store.version_dir("m", old).exists()


# -- runs and events -----------------------------------------------------------------------------


def add_run(log: RunLog, number: int, status: RunStatus, age_days: float, seq: int = 0) -> None:
    at = NOW - timedelta(days=age_days)
    log.add_run(
        Run(
            run_id=f"run{number}",
            model="m",
            trigger="every",
            trigger_reason="",
            version=str(ModelVersion(number, at)),
            version_number=number,
            status=RunStatus.QUEUED,
            requested_at=at,
        )
    )
    log.start_run(f"run{number}", at, seq or number)
    details = {"libraries": {"numpy": "2"}} if status is RunStatus.SUCCEEDED else {}
    log.finish_run(f"run{number}", at, status, details=details)


def test_old_runs_go_but_never_what_the_next_decision_rests_on(tmp_path: Path) -> None:
    """Forgetting must not make a finished run due again, or number a version twice."""
    with closing(RunLog.open(tmp_path / "run_log.sqlite")) as log:
        add_run(log, 1, RunStatus.FAILED, 300)
        add_run(log, 2, RunStatus.FAILED, 299, seq=77)
        add_run(log, 3, RunStatus.SUCCEEDED, 298, seq=77)
        add_run(log, 4, RunStatus.SKIPPED, 297)
        for number in range(5, 5 + NEWEST_KEPT + 3):
            add_run(log, number, RunStatus.FAILED, 200 - number / 100)
        before = log.history("m")

        done = retention.prune(settings(tmp_path), log, NOW)

        assert set(done.entries.run_ids) == {"run1", "run5", "run6", "run7"}
        after = log.history("m")
        assert after.last_finished == before.last_finished
        assert (after.libraries, after.last_number) == (before.libraries, before.last_number)
        assert after.covered_at == before.covered_at
        assert log.has_run("run2")


def test_the_run_of_a_version_that_is_kept_is_kept(tmp_path: Path) -> None:
    """Who looks at what serves must find how it came to be."""
    with closing(RunLog.open(tmp_path / "run_log.sqlite")) as log:
        for number in range(1, NEWEST_KEPT + 4):
            add_run(log, number, RunStatus.SUCCEEDED, 300)
        wanted = log.run("run2").version
        directory = ModelStore(tmp_path / "models").version_dir("m", wanted)
        directory.mkdir(parents=True)
        (directory / MANIFEST_NAME).write_text("{}")
        want(tmp_path, wanted, None)

        done = retention.prune(settings(tmp_path), log, NOW)

        assert set(done.entries.run_ids) == {"run1", "run3"}


def test_old_events_go_and_the_numbers_of_the_rest_stay(tmp_path: Path) -> None:
    """Whoever follows the log by its numbers must not be led back to the beginning."""
    with closing(RunLog.open(tmp_path / "run_log.sqlite")) as log:
        for age_days in (90, 61, 59, 0):
            log.add_event(NOW - timedelta(days=age_days), "m", "note", f"{age_days} days ago")

        done = retention.prune(settings(tmp_path), log, NOW)
        left = log.events()
        again = retention.plan(settings(tmp_path), log, NOW)

    assert done.entries.n_events == 2
    assert [(event.seq, event.kind) for event in left] == [(3, "note"), (4, "note"), (5, "prune")]
    assert again.is_empty


def test_nothing_of_the_log_goes_when_that_is_wanted(tmp_path: Path) -> None:
    """0 is for ever."""
    with closing(RunLog.open(tmp_path / "run_log.sqlite")) as log:
        log.add_event(NOW - timedelta(days=9000), "m", "note", "long ago")

        assert retention.plan(settings(tmp_path, log_days=0), log, NOW).is_empty


def test_files_set_aside_go_and_buffers_never(tmp_path: Path) -> None:
    """The buffer is what models learn from: its own retention_days says what it forgets."""
    old = (NOW - timedelta(days=61)).timestamp()
    files = {
        "buffer/m.duckdb": False,
        "buffer/solar/a.duckdb": False,
        "buffer/m.duckdb.unusable-20260101T000000Z": True,
        "requests/x.unreadable": True,
        "requests/x.json": False,
        "work/pinned/m/snapshot.parquet": True,
        "logs/retrain_service.log": False,
        "keys/admin.key": False,
    }
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")
        os.utime(path, (old, old))

    with closing(RunLog.open(tmp_path / "run_log.sqlite")) as log:
        done = retention.prune(settings(tmp_path), log, NOW)

    assert {name for name in files if not (tmp_path / name).exists()} == {
        name for name, goes in files.items() if goes
    }
    assert done.n_bytes == 12
    assert msgspec.json.encode(retention.as_record(done))


def test_young_versions_go_when_there_are_too_many_of_them(tmp_path: Path) -> None:
    """A table that grows all day makes hundreds of versions, and each of them is young."""
    found = [add_version(tmp_path, n, age_days=2 - n / 100) for n in range(1, 31)]
    want(tmp_path, found[3], found[2])

    assert going(tmp_path, max_versions=12) == [*found[:2], *found[4:18]]


def test_the_oldest_go_when_a_model_has_more_bytes_than_it_may(tmp_path: Path) -> None:
    """The number of versions says nothing about a disk; ten of a gigabyte each fill it."""
    found = [add_version(tmp_path, n, age_days=3 - n / 10) for n in range(1, 7)]
    for version in found:
        directory = ModelStore(tmp_path / "models").version_dir("m", version)
        (directory / "model.joblib").write_bytes(b"x" * 400_000)
    want(tmp_path, found[2], found[0])

    planned = retention.plan(settings(tmp_path, max_model_mb=1), None, NOW)
    tight = retention.plan(settings(tmp_path, max_disk_share=1e-12), None, NOW)

    assert [old.version for old in planned.versions] == [found[1], *found[3:5]]
    assert planned.n_bytes > 1_200_000
    # What is wanted, what was before it and the newest stay, and a person hears of it.
    assert [old.version for old in tight.versions] == [found[1], *found[3:5]]
    assert any("more than the" in note for note in planned.notes)
    assert any("max_disk_share" in note for note in tight.notes)


def test_bytes_take_no_anchor_from_what_is_kept(tmp_path: Path) -> None:
    """The next version is compared with the anchor; without it many small losses add up."""
    anchor = add_version(tmp_path, 1, age_days=9)
    between = add_version(tmp_path, 2, age_days=8)
    newest = add_version(tmp_path, 3, age_days=7, anchor=anchor)
    want(tmp_path, newest, None)

    assert going(tmp_path, max_disk_share=1e-12) == [between]


def test_two_models_share_the_disk_and_the_older_versions_go(tmp_path: Path) -> None:
    """A thousand small models can fill a disk that each of them alone would not."""
    mine = [add_version(tmp_path, n, age_days=9 - n) for n in (1, 3, 5)]
    others = [add_version(tmp_path, n, age_days=9 - n, model="other") for n in (2, 4, 6)]
    n_bytes = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    share = n_bytes * 0.6 / shutil.disk_usage(tmp_path).total

    assert sorted(going(tmp_path, max_disk_share=share)) == sorted([mine[0], others[0], mine[1]])
