"""The retrain daemon as a process: what it does when the world around it misbehaves."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from shared.daemon.loop import utc_now
from shared.exchange.control_request import Request
from shared.exchange.json_files import write_struct
from shared.run_log.reader import reading
from shared.run_log.run import RunStatus
from shared.versions.model_store import ModelStore
from tests.support.commands import command
from tests.support.daemons import Daemon, MeanHome, daemon
from tests.support.waiting import wait_until


@pytest.fixture
def place(tmp_path: Path) -> MeanHome:
    made = MeanHome(tmp_path)
    made.add_rows(100)
    return made


@contextlib.contextmanager
def retrain_daemon(
    place: MeanHome, *, environment: dict[str, str] | None = None
) -> Iterator[Daemon]:
    output = place.config.with_name("retrain.log")
    with daemon(
        "retrain_service", "run", config=place.config, output=output, environment=environment
    ) as running:
        yield running


def promoted_versions(place: MeanHome) -> list[str]:
    return [run.version for run in place.runs() if run.promoted]


def wait_for_promotions(place: MeanHome, n: int) -> None:
    wait_until(lambda: len(promoted_versions(place)) >= n, 40, f"{n} promoted versions")


def source_state(place: MeanHome) -> str | None:
    report = place.report()
    if report is None or not report.models["m"].sources:
        return None
    return report.models["m"].sources[0].state


def n_in_buffer(place: MeanHome) -> int:
    report = place.report()
    found = report.models["m"].buffer if report is not None else None
    return found.n_records if found is not None else 0


def test_new_records_lead_to_a_new_version_without_help(place: MeanHome) -> None:
    """The whole point: nobody touches anything."""
    with retrain_daemon(place) as running:
        wait_for_promotions(place, 1)
        place.add_rows(9)
        place.add_rows(3)
        wait_for_promotions(place, 2)
        assert running.stop() == 0

    newest, first = place.runs()[:2]
    assert (first.trigger, newest.trigger) == ("first", "new_records")
    assert newest.trigger_reason == "12 new records since the last run (trains at 10)"
    found = ModelStore(place.home / "models").signal("m")
    assert found is not None
    assert (found.version, found.previous, found.generation) == (newest.version, first.version, 2)


@pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be removed")
def test_a_buffer_that_was_removed_is_made_again_and_training_goes_on(place: MeanHome) -> None:
    """It was written unseen until a restart, which then read everything again at a bad moment."""
    path = place.home / "buffer" / "m.duckdb"
    with retrain_daemon(place) as running:
        wait_for_promotions(place, 1)
        for file in path.parent.iterdir():
            file.unlink()
        wait_until(path.exists, 60, "the buffer")
        place.add_rows(12)
        wait_until(lambda: n_in_buffer(place) == 112, 60, "all records in the buffer")
        wait_for_promotions(place, 2)
        assert running.stop() == 0

    with reading(place.home / "run_log.sqlite") as log:
        told = [event.sentence for event in log.events(model="m", kind="buffer")]
    assert told == [
        "m.duckdb was removed or exchanged; what is missing is read from the source again."
    ]


def test_a_worse_candidate_is_not_promoted_and_the_log_says_why(place: MeanHome) -> None:
    """It must never get worse."""
    with retrain_daemon(place) as running:
        wait_for_promotions(place, 1)
        running.stop()
    place.config.write_text(place.config.read_text() + "\n[models.m.parameters]\noffset = 3.0\n")
    place.add_rows(10)

    with retrain_daemon(place):
        wait_until(
            lambda: len(place.runs()) == 2 and place.runs()[0].status is RunStatus.SUCCEEDED,
            40,
            "the second run",
        )

    run = place.runs()[0]
    assert not run.promoted
    assert run.verdict is not None
    assert "worse; not promoted" in run.verdict
    assert ModelStore(place.home / "models").versions("m") == promoted_versions(place)


def test_a_second_daemon_on_the_same_home_is_refused(place: MeanHome) -> None:
    """Two writers of one signal would undo each other's work."""
    with retrain_daemon(place):
        wait_until(lambda: place.report() is not None, 20, "the first daemon")

        with retrain_daemon(place) as second:
            assert second.process.wait(20) == 3

        output = second.output().splitlines()
        assert any(line.startswith("retrain_service: already running (pid ") for line in output)


def test_a_lost_signing_key_is_replaced_when_asked_and_a_version_follows(
    place: MeanHome,
) -> None:
    """No version of the old key can be served: waiting for ten new records would be an outage."""
    with retrain_daemon(place) as running:
        wait_for_promotions(place, 1)
        running.stop()
    (place.home / "keys" / "signing.key").unlink()
    with retrain_daemon(place) as refused:
        assert refused.process.wait(60) == 2
    assert "keys new-signing-key" in refused.output()
    assert not (place.home / "keys" / "signing.key").exists()  # nobody asked for another one
    made = command(place, "keys", "new-signing-key", "--yes")
    assert made.returncode == 0, made.stderr

    with retrain_daemon(place) as running:
        wait_for_promotions(place, 2)
        running.stop()

    assert "cannot be served" in running.output()
    found = ModelStore(place.home / "models").signal("m")
    assert found is not None
    assert found.generation == 2


SQLITE = "[sources.rows]\nkind = 'sql'\nurl = 'sqlite://'\n"
NO_SUCH_WORKLOAD = f"[models.m]\nworkload = 'nope'\nsource = 'rows'\n{SQLITE}"
NO_SUCH_PARAMETER = (
    f"[models.m]\nworkload = 'mean'\nsource = 'rows'\nparameters = {{ofset = 1}}\n{SQLITE}"
)


@pytest.mark.parametrize(
    ("text", "code", "sentence"),
    [
        ("[api]\nport = 'x'\n", 2, "hotfit.toml: api.port:"),
        (NO_SUCH_WORKLOAD, 2, "workload: expected one of"),
        (NO_SUCH_PARAMETER, 2, "ofset"),
        ('home = "/proc/nowhere"\n', 4, "cannot be written"),
    ],
)
def test_a_wrong_configuration_is_one_clear_line_and_an_exit_code(
    tmp_path: Path, text: str, code: int, sentence: str
) -> None:
    """No traceback at a person who mistyped a name."""
    config = tmp_path / "hotfit.toml"
    config.write_text(text if "home" in text else f'home = "{tmp_path.as_posix()}/home"\n{text}')

    with daemon("retrain_service", "run", config=config, output=tmp_path / "log") as running:
        assert running.process.wait(30) == code

    assert sentence in running.output()
    assert "Traceback" not in running.output()
    assert len(running.output().splitlines()) == 1


def test_a_database_that_goes_away_and_comes_back_loses_no_record(place: MeanHome) -> None:
    """Databases are restarted, moved and upgraded; the daemon waits and then catches up."""
    away = place.database.with_suffix(".away")
    with retrain_daemon(place) as running:
        wait_for_promotions(place, 1)
        # A closed connection folds the write-ahead log into the file, so that it moves whole.
        place.database.rename(away)
        wait_until(lambda: source_state(place) == "unavailable", 20, "the outage to be seen")
        report = place.report()
        assert report is not None
        assert "rows.db" in report.models["m"].sources[0].sentence

        away.rename(place.database)
        place.add_rows(25)

        wait_until(lambda: source_state(place) == "ok", 40, "the source to be back")
        wait_for_promotions(place, 2)
        running.stop()
    outages = [line for line in running.output().splitlines() if "source_outage" in line]
    assert len(outages) == 1, outages
    assert place.buffered_ids() == {str(i) for i in range(1, 126)}


def test_a_full_disk_stops_training_but_not_the_daemon(tmp_path: Path) -> None:
    """Somebody's log fills the disk at night; in the morning there is room again."""
    mount = tmp_path / "small"
    mount.mkdir()
    if os.name == "nt" or os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(mount)]).returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    try:
        place = MeanHome(tmp_path / "elsewhere")
        place.config.write_text(
            place.config.read_text().replace(place.home.as_posix(), (mount / "home").as_posix())
        )
        place.home = mount / "home"
        place.add_rows(100)
        with retrain_daemon(place) as running:
            wait_for_promotions(place, 1)
            before = (place.home / "models" / "m" / "reload_signal.json").read_bytes()
            ballast = mount / "ballast"
            with contextlib.suppress(OSError), ballast.open("wb") as file:
                while True:
                    file.write(b"x" * 65536)
                    file.flush()
            place.add_rows(40)
            wait_until(lambda: "space left" in running.output(), 30, "the full disk to be told")
            assert running.is_running
            assert (place.home / "models" / "m" / "reload_signal.json").read_bytes() == before

            ballast.unlink()

            wait_for_promotions(place, 2)
            assert running.stop() == 0
        assert place.buffered_ids() == {str(i) for i in range(1, 141)}
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_daemon_that_is_told_to_stop_leaves_no_process_and_no_file_of_a_run(
    place: MeanHome,
) -> None:
    """TERM in the middle of a training: the next start must find a clean house."""
    with retrain_daemon(place) as running:
        wait_until(
            lambda: (place.home / "work").exists() and list((place.home / "work").iterdir()),
            30,
            "a run to begin",
        )
        family = psutil.Process(running.process.pid).children(recursive=True)

        assert running.stop() == 0

    assert not [child for child in family if child.is_running()]
    assert not list((place.home / "work").iterdir())
    assert place.runs()[0].status in (RunStatus.ABANDONED, RunStatus.SUCCEEDED)


def test_a_training_process_ends_when_its_daemon_is_killed(place: MeanHome) -> None:
    """An orphan would go on using memory and could write into what the next daemon owns."""
    with retrain_daemon(place) as running:

        def training() -> list[psutil.Process]:
            return psutil.Process(running.process.pid).children(recursive=True)

        family = wait_until(training, 30, "a training process")

        running.process.send_signal(signal.SIGKILL)

        _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


def request(place: MeanHome, kind: str, **fields: object) -> str:
    """Write what the API would write."""
    made = Request(
        id=f"{kind}-{len(list((place.home / 'requests').iterdir()))}-{utc_now():%H%M%S%f}",
        kind=kind,  # type: ignore[arg-type]
        model="m",
        requested_at=utc_now(),
        requested_by="test",
        **fields,  # type: ignore[arg-type]
    )
    write_struct(place.home / "requests" / f"{made.id}.json", made)
    return made.id


def test_requests_are_carried_out_once_each(place: MeanHome) -> None:
    """Rollback holds, a held model is not promoted over, and release publishes what had passed
    meanwhile; train trains."""
    store = ModelStore(place.home / "models")

    def signal_is(version: str, hold: bool) -> bool:
        found = store.signal("m")
        return found is not None and (found.version, found.hold) == (version, hold)

    with retrain_daemon(place) as running:
        wait_for_promotions(place, 1)
        place.add_rows(10)
        wait_for_promotions(place, 2)
        second, first = promoted_versions(place)

        request(place, "rollback", version=first)
        wait_until(lambda: signal_is(first, True), 20, "the rollback")
        run_id = request(place, "train", options={"force": True})
        wait_until(
            lambda: (
                place.runs()[0].run_id == run_id and place.runs()[0].status is RunStatus.SUCCEEDED
            ),
            30,
            "the run that was asked for",
        )
        assert not place.runs()[0].promoted
        assert "held at" in (place.runs()[0].verdict or "")
        held_back = place.runs()[0].version
        assert signal_is(first, True)
        request(place, "release")
        wait_until(lambda: signal_is(held_back, False), 20, "the release")
        wait_until(lambda: held_back in promoted_versions(place), 20, "the run to be promoted")
        request(place, "rollback", version="v000999-20260101T000000Z")
        wait_until(lambda: not list((place.home / "requests").iterdir()), 20, "the last request")
        assert signal_is(held_back, False)
        running.stop()

    assert "rollback refused" in running.output()
    assert second in store.versions("m")
