"""The training daemon's loop: what one model, request or file raises is no matter of the others."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.daemon.loop import utc_now
from shared.exchange.json_files import SignalUnreadable
from shared.plain_file import read_plain
from shared.run_log.reader import reading
from shared.run_log.run import Run, RunStatus
from shared.run_log.writer import RunLog
from shared.versions.model_store import ModelStore
from tests.support.hand_ticked_loop import HandTickedLoop
from tests.support.versions import ServingHome, version_name


@pytest.fixture
def home(tmp_path: Path) -> ServingHome:
    """A home with two versions of `a` and of `b`, signed by the key of its daemon."""
    made = ServingHome(tmp_path)
    for model in ("a", "b"):
        made.publish(model, 1)
        made.publish(model, 2)
    return made


@pytest.fixture
def loop(home: ServingHome) -> Iterator[HandTickedLoop]:
    made = HandTickedLoop(home.path)
    yield made
    made.loop.shutdown(made.now)


def emfile(path: object) -> OSError:
    return OSError(errno.EMFILE, "Too many open files", str(path))


def test_a_signal_that_cannot_be_read_now_is_a_problem_of_its_model_alone(
    loop: HandTickedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EIO, EMFILE: it killed the daemon, and again at each start."""
    real = ModelStore.signal

    def signal(store: ModelStore, model: str) -> Any:
        if model == "a":
            raise SignalUnreadable("reload_signal.json: not a ReloadSignal") from emfile("signal")
        return real(store, model)

    with monkeypatch.context() as patch:
        patch.setattr(ModelStore, "signal", signal)
        report = loop.tick()
        assert "reload_signal.json" in (report.models["a"].error or "")
        assert "reload_signal.json" not in (report.models["b"].error or "")
        assert report.error is None

    assert "reload_signal.json" not in (loop.tick().models["a"].error or "")


@pytest.mark.parametrize("content", [b"", b"{half", b"[]", b"\xff\xfe", None])
def test_a_damaged_signal_is_written_again_as_it_was(
    loop: HandTickedLoop, home: ServingHome, content: bytes | None
) -> None:
    """What is wanted is known to the run log: rollback and hold included, generation unchanged."""
    loop.ask("rollback", "a")
    loop.tick()
    before = home.store.signal("a")
    assert before is not None
    assert before.hold
    path = home.store.signal_path("a")
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)

    report = loop.tick()

    assert home.store.signal("a") == before
    assert "reload_signal" not in (report.models["a"].error or "")
    with reading(loop.settings.run_log_path) as log:
        told = [event.sentence for event in log.events(model="a", kind="error")]
    assert any("is written again as it was" in sentence for sentence in told)


def test_a_damaged_signal_of_which_nothing_is_remembered_is_left_to_a_person(
    loop: HandTickedLoop, home: ServingHome
) -> None:
    """Rebuilt only when that is certain; until then the sentence says what is wrong, and where."""
    loop.tick()
    shutil.rmtree(home.path / "state" / "signals")
    home.store.signal_path("a").write_bytes(b"{half")

    report = loop.tick()

    error = report.models["a"].error or ""
    assert "reload_signal.json" in error
    assert "put the file back from a backup" in error
    assert home.store.signal_path("a").read_bytes() == b"{half"
    assert "reload_signal.json" not in (report.models["b"].error or "")


@pytest.mark.parametrize("raised", [ZeroDivisionError, SystemExit])
def test_a_model_whose_tick_raises_does_not_keep_the_others_from_theirs(
    loop: HandTickedLoop, monkeypatch: pytest.MonkeyPatch, raised: type[BaseException]
) -> None:
    """A defect of ours in one model is a sentence in health, and the others train on."""
    ticked: list[datetime] = []

    def raise_it(_now: datetime) -> None:
        raise raised("one workload divides by nothing")

    monkeypatch.setattr(loop.loop.controller("a"), "tick", raise_it)
    monkeypatch.setattr(loop.loop.controller("b"), "tick", ticked.append)

    report = loop.tick()

    assert ticked == [loop.now]
    assert report.error == (
        f"a: internal error: {raised.__name__}: one workload divides by nothing"
    )


def test_each_request_is_done_although_one_before_it_raises(
    loop: HandTickedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests of one model must not wait for the trouble of another."""
    loop.tick()
    broken, fine = loop.ask("hold", "a"), loop.ask("hold", "b")

    def refuse(*_arguments: Any) -> bool:
        raise emfile("run log")

    with monkeypatch.context() as patch:
        patch.setattr(loop.loop.controller("a"), "handle", refuse)
        report = loop.tick()
        assert broken.exists()
        assert not fine.exists()
        assert "Too many open files" in (report.error or "")

    report = loop.tick()

    assert not broken.exists()
    assert report.error is None


def test_a_request_file_that_cannot_be_read_now_is_not_set_aside(
    loop: HandTickedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a person asked for must not be thrown away for a passing error of the disk."""
    loop.tick()
    path = loop.ask("hold", "b")

    def refused(file: Path, most_bytes: int) -> bytes:
        if file.name == path.name:
            raise emfile(file)
        return read_plain(file, most_bytes)

    with monkeypatch.context() as patch:
        patch.setattr("shared.exchange.json_files.read_plain", refused)
        loop.tick()
        assert path.exists()

    loop.tick()

    assert not path.exists()
    assert not list(loop.settings.requests_dir.glob("*.unreadable"))


@pytest.mark.parametrize("run_id", ["../models", "/tmp/x", "..", "", "a\\b", "a\n"])
def test_a_request_whose_id_could_be_a_path_is_set_aside(
    loop: HandTickedLoop, home: ServingHome, run_id: str
) -> None:
    """Folders of a run bear its id, and are removed with all that is in them when it ends."""
    loop.tick()
    path = loop.ask("train", "a")
    fields = json.loads(path.read_bytes())
    path.write_text(json.dumps({**fields, "id": run_id}))

    loop.tick()
    loop.tick()

    assert path.with_suffix(".unreadable").exists()
    assert home.store.versions("a")
    with reading(loop.settings.run_log_path) as log:
        assert not log.runs(model="a")[0]


def test_directories_that_cannot_be_listed_now_end_nothing(
    loop: HandTickedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop looks again at the next tick, and health has said why."""

    def glob(self: Path, _pattern: str) -> Iterator[Path]:
        raise emfile(self)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "glob", glob)
        report = loop.tick()
        assert "Too many open files" in (report.error or "")

    assert loop.tick().error is None


def test_a_clock_that_is_set_back_does_not_silence_the_report(loop: HandTickedLoop) -> None:
    """Health would call a daemon dead that works, for as many hours as the clock went back."""
    loop.tick()
    loop.now -= timedelta(hours=5)

    assert loop.tick().updated_at == loop.now


def test_a_run_of_a_model_that_is_no_longer_configured_gets_an_end(home: ServingHome) -> None:
    """Else it is shown as running for ever."""
    with closing(RunLog.open(home.path / "run_log.sqlite")) as log:
        version = version_name(1)
        log.add_run(Run("r", "gone", "every", "", version, 1, RunStatus.QUEUED, utc_now()))
    loop = HandTickedLoop(home.path)
    loop.loop.shutdown(loop.now)

    with reading(home.path / "run_log.sqlite") as log:
        assert log.run("r").status is RunStatus.ABANDONED


def test_a_run_log_that_was_removed_is_made_anew_and_says_so(loop: HandTickedLoop) -> None:
    """Never written to unseen: what follows is where people look for it."""
    loop.tick()
    for file in loop.settings.home.glob("run_log.sqlite*"):
        file.unlink()

    loop.tick()

    with reading(loop.settings.run_log_path) as log:
        assert any("had been removed" in event.sentence for event in log.events(kind="error"))


@pytest.mark.parametrize("model", ["gone", "a/nobody"])
def test_a_training_that_is_refused_says_so_under_its_id(loop: HandTickedLoop, model: str) -> None:
    """The API looks there for whoever asked, who else would wait for a run that never begins."""
    loop.tick()
    path = loop.ask("train", model)

    loop.tick()

    assert not path.exists()
    with reading(loop.settings.run_log_path) as log:
        (event,) = log.events(kind="refusal")
    assert event.details == {"request_id": path.stem, "kind": "train"}
    assert model in event.sentence
