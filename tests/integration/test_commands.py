"""Every command as a process, with a daemon beside it and without one."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.daemon.loop import utc_now
from shared.daemon.one_instance import only_instance
from shared.run_log.run import RunStatus
from shared.run_log.writer import RunLog
from shared.versions.model_store import ModelStore
from tests.support.commands import answer, command, command_environment
from tests.support.daemons import ROOT, Daemon, MeanHome, daemon
from tests.support.waiting import wait_until


@pytest.fixture
def place(tmp_path: Path) -> MeanHome:
    made = MeanHome(tmp_path, "new_records = 0\nevery = '0s'\n")
    made.add_rows(100)
    return made


@contextlib.contextmanager
def running(place: MeanHome) -> Iterator[Daemon]:
    with daemon(
        "retrain_service",
        "run",
        config=place.config,
        output=place.config.with_name("retrain.log"),
    ) as started:
        yield started


def wait_for_run(place: MeanHome, n: int = 1) -> None:
    wait_until(
        lambda: sum(run.status is RunStatus.SUCCEEDED for run in place.runs()) >= n,
        60,
        f"{n} runs that came to a verdict",
    )


def test_once_trains_publishes_and_says_so_by_its_exit_code(place: MeanHome) -> None:
    """A line in a crontab is a whole installation."""
    rehearsed = answer(place, "once", "--model", "m", "--dry-run")
    assert (rehearsed["would_train"], rehearsed["models"][0]["rows"]) == (True, 100)
    assert not place.runs()
    assert not ModelStore(place.home / "models").model_names()

    first = command(place, "once", "--model", "m")
    assert first.returncode == 0, first.stderr
    assert "promoted: " in first.stdout
    assert "\x1b" not in first.stdout
    assert first.stdout.splitlines()[0] == "reading, 100 records"
    assert first.stderr == ""

    again = answer(place, "once", "--model", "m", code=10)
    assert again["outcome"] == "not_promoted"
    assert "Nothing has changed since run" in again["sentence"]
    assert again["runs"][0]["status"] == "skipped"

    rehearsed = answer(place, "once", "--dry-run", code=10)
    assert "nothing has changed" in rehearsed["models"][0]["reason"]

    forced = answer(place, "once", "--force", "--days", "60", "--parameter", "offset=9", code=10)
    record = forced["runs"][0]
    assert record["rows"] == 60
    assert record["parameters"] == {"offset": 9}
    assert not list((place.home / "work").iterdir())
    assert not list((place.home / "requests").iterdir())


def test_once_says_failed_apart_from_not_promoted(tmp_path: Path) -> None:
    """A scheduler mails on failure; a version that is not better is no failure."""
    place = MeanHome(tmp_path, '[models.m.parameters]\nfit_fault = "raise"\n')
    empty = answer(place, "once", code=10)
    assert empty["sentence"] == "there is no usable record yet."
    place.add_rows(100)

    failed = answer(place, "once", code=1)
    assert failed["outcome"] == "failed"
    assert "ZeroDivisionError" in failed["sentence"]
    assert len(place.runs()) == 1

    place.database.unlink()
    place.config.write_text(place.config.read_text().replace("rows.db", "gone/rows.db"))
    away = command(place, "once", "--patience", "0")
    assert away.returncode in (1, 2)
    assert away.stderr.startswith("retrain_service: rows/rows: ")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("once", "--model", "nope"), 2, "--model: expected one of the configured models (m)"),
        (("once", "--parameter", "offset"), 2, "--parameter: expected NAME=VALUE"),
        (("once", "--model", "m", "--entity", "e"), 1, "the data know no m/e; known: m."),
        (("rollback",), 1, "m has no previous version"),
        (("hold",), 1, "hold refused: model m has no version yet"),
        (("train",), 1, "`once` trains without it"),
        (("cancel",), 1, "There is nothing to cancel"),
        (("show", "nope"), 1, "no run log yet"),
        (("keys", "revoke", "nope"), 1, "no key has the id 'nope'"),
    ],
)
def test_what_cannot_be_done_is_a_sentence_and_an_exit_code(
    place: MeanHome, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    """No traceback at a person, and JSON also when it goes wrong."""
    done = command(place, *arguments, "--json")

    assert done.returncode == code
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert f'"exit_code": {code}' in done.stdout


def test_two_commands_at_once_are_told_apart_from_a_failure(place: MeanHome) -> None:
    """A cron job that overlaps with the one before must not work on the same files."""
    with only_instance(place.home / "pids", "retrain_service"):
        assert answer(place, "once", code=3)["exit_code"] == 3


def test_every_command_without_a_daemon(place: MeanHome) -> None:
    """What can be done on a machine where only `once` runs."""
    assert answer(place, "status")["retrain_daemon"]["state"] == "not_running"
    assert answer(place, "runs") == {"runs": [], "total": 0}
    assert answer(place, "events") == {"events": [], "last": 0}
    assert answer(place, "versions") == {"versions": [], "total": 0}
    checked = answer(place, "check")
    assert checked["faults"] == 0
    assert checked["models"][0]["streams"][0]["usable_estimate"] == 100
    assert "100 rows over 100 days are enough" in checked["models"][0]["outlook"]
    assert command(place, "once").returncode == 0
    assert command(place, "once", "--force").returncode == 0
    second, first = (run.version for run in place.runs())

    listed = answer(place, "versions")["versions"]
    assert [line["version"] for line in listed] == [second, first]
    assert listed[0]["roles"] == ["wanted"]
    assert "previous" in listed[1]["roles"]

    pointed = answer(place, "rollback", "--reason", "odd answers")
    assert (pointed["version"], pointed["hold"]) == (first, True)
    held = answer(place, "once", "--force", code=10)
    assert "held at" in held["sentence"]
    assert answer(place, "release")["hold"] is False
    assert answer(place, "hold")["hold"] is True

    page = answer(place, "runs", "--limit", "2", "--trigger", "manual", "--status", "succeeded")
    assert (page["total"], len(page["runs"]), page["next"]) == (3, 2, {"offset": 2})
    record = answer(place, "show", page["runs"][0]["run_id"][:26])
    assert set(record["metrics"]) == {"mae", "rmse", "r2"}
    told = answer(place, "events", "--kind", "rollback")["events"]
    assert told[0]["sentence"] == f"{first} is wanted now: odd answers."
    plain = command(place, "runs").stdout.splitlines()
    assert plain[0].split() == ["run", "model", "version", "trigger", "status", "finished", "why"]
    assert plain[-1] == "1-3 of 3"
    assert answer(place, "prune", "--dry-run")["bytes"] == 0


def test_every_command_beside_a_daemon(place: MeanHome) -> None:
    """The daemon has signal and buffer to itself: it is asked, and the answer is waited for."""
    with running(place) as started:
        wait_for_run(place)
        status = answer(place, "status")
        assert status["retrain_daemon"]["pid"] == started.process.pid
        assert status["models"][0]["training"]["n_usable_records"] == 100
        checked = answer(place, "check")["models"][0]["needs"]
        assert any("100 usable records read" in each for each in checked)

        asked = answer(place, "once", "--force")
        assert asked["outcome"] == "promoted"
        second, first = (run.version for run in place.runs())
        assert asked["runs"][0]["version"] == second
        assert answer(place, "once", code=10)["runs"][0]["status"] == "skipped"
        assert answer(place, "once", "--dry-run")["models"][0]["usable_records"] == 100

        assert answer(place, "rollback")["version"] == first
        refused = command(place, "rollback", "--to", "v000009-20260101T000000Z")
        assert refused.returncode == 1
        assert "rollback refused" in refused.stderr
        assert answer(place, "release")["hold"] is False
        assert answer(place, "prune")["dry_run"] is False
        assert "no run is under way" in command(place, "cancel").stderr
        queued = answer(place, "train", "--force")
        wait_for_run(place, 3)
        assert place.runs()[0].run_id == queued["run_id"]
        waited = command(place, "train", "--force", "--wait")
        assert waited.returncode == 0, waited.stderr
        assert started.stop() == 0
    assert not list((place.home / "requests").iterdir())


def test_cancel_stops_the_run_that_is_under_way(tmp_path: Path) -> None:
    """A run that was started by mistake must not have to be waited for."""
    place = MeanHome(tmp_path, "[models.m.parameters]\nfit_s = 60\n")
    place.add_rows(100)
    with running(place):
        wait_until(
            lambda: place.runs() and place.runs()[0].status is RunStatus.RUNNING, 40, "a run"
        )

        cancelled = answer(place, "cancel")

    assert cancelled["status"] == "cancelled"
    assert cancelled["error"].startswith("cancelled by ")


def test_once_stops_cleanly_when_its_scheduler_ends_it(tmp_path: Path) -> None:
    """Task managers send TERM at the end of a maintenance window."""
    place = MeanHome(tmp_path, "[models.m.parameters]\nfit_s = 60\n")
    place.add_rows(100)
    with daemon(
        "retrain_service", "once", config=place.config, output=tmp_path / "once.log"
    ) as started:
        wait_until(
            lambda: place.runs() and place.runs()[0].status is RunStatus.RUNNING, 40, "a run"
        )
        assert started.stop() == 1

    assert place.runs()[0].status is RunStatus.ABANDONED
    assert not list((place.home / "work").iterdir())


def test_keys_are_listed_without_their_secrets_and_changed(place: MeanHome) -> None:
    """A list that shows secrets ends up in a ticket."""
    made = answer(place, "keys", "create", "predict")
    assert made["key"].startswith("hotfit_predict_")
    second = command(place, "keys", "create", "predict").stdout.strip()
    listed = command(place, "keys", "list")
    assert made["key"] not in listed.stdout
    assert second not in listed.stdout
    assert answer(place, "keys", "list")["total"] == 2

    assert answer(place, "keys", "revoke", made["id"])["revoked"] is True
    rotated = answer(place, "keys", "rotate", "predict")

    path = place.home / "keys" / "predict.key"
    assert path.read_text().split() == [rotated["key"]]
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_on_a_terminal_progress_is_a_bar(place: MeanHome) -> None:
    """And elsewhere it is lines: asserted above."""
    import pty
    import subprocess

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "retrain_service", "once"],
        cwd=ROOT,
        env=command_environment(place, {"TERM": "xterm-256color", "COLUMNS": "100"}),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)

    assert process.wait(60) == 0
    assert b"\x1b[" in shown
    assert "━".encode() in shown


def test_prune_removes_what_its_dry_run_named_and_nothing_else(tmp_path: Path) -> None:
    """A dry run that differs from the deed is worse than none."""
    place = MeanHome(tmp_path, "[retention]\nversions = 1\nversion_days = 0\nlog_days = 60\n")
    place.add_rows(100)
    for _ in range(4):
        assert command(place, "once", "--force").returncode == 0
    old = place.home / "requests" / "broken.unreadable"
    old.write_text("{")
    os.utime(old, (1.7e9, 1.7e9))
    with contextlib.closing(RunLog.open(place.home / "run_log.sqlite")) as log:
        log.add_event(utc_now().replace(year=2020), "m", "note", "long ago")
    store = ModelStore(place.home / "models")
    before = store.versions("m")

    named = answer(place, "prune", "--dry-run")
    assert store.versions("m") == before
    done = answer(place, "prune")

    assert {**named, "dry_run": False} == done
    going = {version["version"] for version in named["versions"]}
    assert store.versions("m") == [version for version in before if version not in going]
    signal = store.signal("m")
    assert signal is not None
    assert {signal.version, signal.previous} <= set(store.versions("m"))
    assert not old.exists()
    assert answer(place, "prune", "--dry-run")["bytes"] == 0


def test_once_trains_one_entity_or_all_of_them(tmp_path: Path) -> None:
    """A fleet is one line in the crontab, and one device can be trained by itself."""
    place = MeanHome(tmp_path, "new_records = 0\nevery = '0s'\n", workload="mean_per_device")
    for device, value in (("a", 5.0), ("Dach Süd", 50.0)):
        place.add_rows(60, value=value, device=device)

    rehearsed = answer(place, "once", "--dry-run")
    assert [each["model"] for each in rehearsed["models"]] == ["m/a", "m/dach-s-d-08683a"]
    assert {each["rows"] for each in rehearsed["models"]} == {60}
    one = answer(place, "once", "--entity", "Dach Süd")
    assert [run["entity"] for run in one["runs"]] == ["dach-s-d-08683a"]
    every = answer(place, "once", "--force")
    assert [run["entity"] for run in every["runs"]] == ["a", "dach-s-d-08683a"]
    unknown = command(place, "once", "--entity", "b")
    assert unknown.returncode == 1
    assert "the data know no m/b; known: m/a, m/dach-s-d-08683a." in unknown.stderr

    assert answer(place, "rollback", "--entity", "Dach Süd")["hold"] is True
    with running(place):
        wait_until(lambda: place.report() is not None, 30, "the daemon")
        beside = answer(place, "once", "--model", "m", "--force", code=10)
    held = {run["entity"]: run["promoted"] for run in beside["runs"]}
    assert held == {"a": True, "dach-s-d-08683a": False}
