"""A training run as a process: its limits, its retries, what it skips and what it continues."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from shared.daemon.loop import utc_now
from shared.exchange.control_request import Request
from shared.exchange.json_files import write_struct
from shared.run_log.run import RunStatus
from shared.versions.model_store import ModelStore
from tests.support.daemons import Daemon, MeanHome, daemon
from tests.support.waiting import wait_until


def home(tmp_path: Path, training: str, parameters: str = "") -> MeanHome:
    place = MeanHome(
        tmp_path, f"[models.m.training]\n{training}\n[models.m.parameters]\n{parameters}\n"
    )
    place.add_rows(100)
    return place


@contextlib.contextmanager
def running(place: MeanHome, environment: Mapping[str, str] | None = None) -> Iterator[Daemon]:
    with daemon(
        "retrain_service",
        "run",
        config=place.config,
        output=place.config.with_name("retrain.log"),
        environment=environment,
    ) as started:
        yield started


def wait_for_end(place: MeanHome, n: int, status: RunStatus) -> None:
    wait_until(
        lambda: sum(run.status is status for run in place.runs()) >= n,
        40,
        f"{n} runs that {status}; runs: {[(run.status, run.error) for run in place.runs()]}",
    )


@pytest.mark.parametrize(
    ("training", "parameters", "sentence"),
    [
        ("max_run_time_s = 2", "fit_s = 60", "it ran longer than max_run_time_s = 2"),
        ("memory_limit_mb = 400", "fit_mb = 4000", "memory"),
        ("", 'fit_fault = "raise"', "ZeroDivisionError"),
        ("", 'fit_fault = "exit"', "exit code 7"),
        ("", 'fit_fault = "kill"', "ended by SIGKILL, not by us"),
        ("heartbeat_timeout_s = 2", 'fit_fault = "freeze"', "no sign of life"),
    ],
)
def test_a_run_that_goes_wrong_is_a_failed_run_with_its_reason(
    tmp_path: Path, training: str, parameters: str, sentence: str
) -> None:
    """Whatever happens to the training process, the daemon stands and can say what it was."""
    place = home(tmp_path, training, parameters)

    with running(place) as started:
        wait_for_end(place, 1, RunStatus.FAILED)
        assert started.is_running
        family = psutil.Process(started.process.pid).children(recursive=True)
        assert started.stop() == 0

    failed = [run for run in place.runs() if run.status is RunStatus.FAILED]
    assert sentence in (failed[-1].error or "")
    assert not [child for child in family if child.is_running()]


def test_the_steps_of_a_run_follow_each_other_without_waiting_for_the_tick(tmp_path: Path) -> None:
    """Read, counted, frozen, trained, published: a loop that slept between would add its period to
    each. With a tick a minute nothing but what ends a step can lead to the next."""
    place = home(tmp_path, "")

    with running(place, {"HOTFIT_RETRAIN__TICK_INTERVAL_S": "60"}) as started:
        wait_for_end(place, 1, RunStatus.SUCCEEDED)
        assert place.runs()[0].promoted
        assert started.stop() == 0


def test_a_cancelled_run_stops_within_two_seconds_and_leaves_nothing(tmp_path: Path) -> None:
    """A person who cancels wants the machine back now."""
    place = home(tmp_path, "", "fit_s = 300")

    with running(place) as started:

        def fitting() -> bool:
            report = place.report()
            return report is not None and report.models["m"].stage in ("comparing", "fitting")

        wait_until(fitting, 40, "the fit")
        family = psutil.Process(started.process.pid).children(recursive=True)
        asked_at = utc_now()
        cancel = Request(
            id="c1", kind="cancel", model="m", requested_at=asked_at, requested_by="test"
        )
        write_struct(place.home / "requests" / "c1.json", cancel)
        wait_for_end(place, 1, RunStatus.CANCELLED)
        _, alive = psutil.wait_procs(family, timeout=1)
        started.stop()  # what it still has to tidy up after the line in the log is done by then

    run = next(run for run in place.runs() if run.status is RunStatus.CANCELLED)
    assert run.finished_at is not None
    assert (run.finished_at - asked_at).total_seconds() < 2
    assert not alive
    assert not [path for path in place.home.rglob("*") if run.run_id in path.name]


def test_a_run_that_was_killed_in_its_second_fit_is_repeated_on_the_same_rows(
    tmp_path: Path,
) -> None:
    """Between what was judged and what is to serve lies a whole fit; nothing of it may be kept."""
    mark = (tmp_path / "killed").as_posix()
    place = home(tmp_path, "", f'kill_once = "{mark}"\nkill_rows = 100')

    with running(place) as started:
        wait_for_end(place, 1, RunStatus.SUCCEEDED)
        assert started.stop() == 0

    assert Path(mark).exists()
    second, first = place.runs()
    assert "ended by SIGKILL, not by us" in (first.error or "")
    assert (second.promoted, second.details["is_retry"]) == (True, True)
    assert second.details["snapshot_digest"] == first.details["snapshot_digest"]
    assert ModelStore(place.home / "models").versions("m") == [second.version]
    assert not list((place.home / "staging").glob("*/*"))


def test_a_retry_trains_on_the_same_rows_and_a_later_one_on_fresh_ones(tmp_path: Path) -> None:
    """A failure can be looked into, and data that make a fit fail do not block for ever."""
    place = home(tmp_path, "", 'fit_fault = "raise"')

    with running(place) as started:
        wait_for_end(place, 1, RunStatus.FAILED)
        place.add_rows(10)
        wait_for_end(place, 6, RunStatus.FAILED)
        started.stop()

    runs = [run for run in reversed(place.runs()) if run.status is RunStatus.FAILED]
    digests = [run.details["snapshot_digest"] for run in runs]
    assert digests[0] == digests[1] == digests[2] == digests[3]
    assert digests[4] != digests[0]
    assert [run.details["is_retry"] for run in runs[:5]] == [False, True, True, True, False]


def test_identical_inputs_are_not_trained_again(tmp_path: Path) -> None:
    """The clock alone is no reason to compute the same model once more."""
    place = MeanHome(tmp_path, "every = '1s'\n")
    place.add_rows(100)

    with running(place) as started:
        wait_for_end(place, 2, RunStatus.SKIPPED)
        place.add_rows(1)
        wait_for_end(place, 2, RunStatus.SUCCEEDED)
        started.stop()

    skipped = next(run for run in place.runs() if run.status is RunStatus.SKIPPED)
    assert (skipped.verdict or "").startswith("Nothing has changed since run ")
    assert len(ModelStore(place.home / "models").versions("m")) == 2


def test_an_estimator_that_can_is_continued_and_trained_from_scratch_at_times(
    tmp_path: Path,
) -> None:
    """Continuing is cheap; small errors that it gathers are washed out by a full fit."""
    place = home(tmp_path, "incremental = true\nfull_every = 3", "can_continue = true")

    with running(place) as started:
        for n in range(1, 6):
            wait_for_end(place, n, RunStatus.SUCCEEDED)
            place.add_rows(12)
        wait_for_end(place, 6, RunStatus.SUCCEEDED)
        started.stop()

    store = ModelStore(place.home / "models")
    since_full = [store.manifest("m", name).runs_since_full for name in store.versions("m")]
    assert since_full[:6] == [0, 1, 2, 0, 1, 2]
