"""What a backup holds, and what it never leaves behind."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from retrain_service.maintenance.backup import back_up
from shared.errors import StateConflict, StorageUnavailable
from shared.keys.api_keys import ensure_api_keys
from shared.keys.signing import SigningKey
from shared.plain_file import open_plain
from shared.settings.root import Settings
from shared.versions.model_store import ModelStore
from tests.support.versions import ServingHome


@pytest.fixture
def home(tmp_path: Path) -> ServingHome:
    return ServingHome(tmp_path / "place")


def test_a_database_that_is_written_to_is_copied_as_of_one_moment(tmp_path: Path) -> None:
    """Two tables that always agree must agree in the copy; a file copy is torn now and then."""
    settings = Settings(home=tmp_path / "home")
    settings.home.mkdir()
    stop = threading.Event()
    with contextlib.closing(sqlite3.connect(settings.feed_path)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE a (x)")
        database.execute("CREATE TABLE b (x)")

    def write() -> None:
        with contextlib.closing(sqlite3.connect(settings.feed_path)) as database:
            while not stop.is_set():
                with database:
                    database.execute("INSERT INTO a VALUES (zeroblob(2000))")
                    database.execute("INSERT INTO b VALUES (zeroblob(2000))")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for n in range(5):
            back_up(settings, tmp_path / f"copy{n}", with_buffer=False, config=None)
    finally:
        stop.set()
        writer.join()

    for n in range(5):
        copy = tmp_path / f"copy{n}" / settings.feed_path.name
        with contextlib.closing(sqlite3.connect(copy)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            (a,), (b,) = (database.execute(f"SELECT count(*) FROM {t}").fetchone() for t in "ab")
            assert a == b


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
def test_secrets_stay_secret_in_a_copy(tmp_path: Path) -> None:
    """A backup is read by other tools and people than the home is."""
    settings = Settings(home=tmp_path / "home")
    SigningKey.read_or_create(settings.keys_dir)
    ensure_api_keys(settings.keys_dir)

    back_up(settings, tmp_path / "copy", with_buffer=False, config=None)

    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "copy/keys").iterdir()
    }
    assert modes.pop("signing.pub") == 0o644
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o700


def test_a_copy_never_replaces_another(tmp_path: Path) -> None:
    """Yesterday's backup must not be lost to today's."""
    settings = Settings(home=tmp_path / "home")
    SigningKey.read_or_create(settings.keys_dir)
    back_up(settings, tmp_path / "copy", with_buffer=False, config=None)

    with pytest.raises(StateConflict, match="exists"):
        back_up(settings, tmp_path / "copy", with_buffer=False, config=None)


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path, home: ServingHome) -> None:
    """What looks like a backup must be one."""
    settings = Settings(home=home.path)
    settings.run_log_path.write_bytes(b"not a database, although it is long enough for one" * 20)

    with pytest.raises(StorageUnavailable, match="cannot be copied"):
        back_up(settings, tmp_path / "copy", with_buffer=False, config=None)

    assert not list(tmp_path.glob("copy*"))


def test_a_version_that_is_forgotten_meanwhile_is_left_out_whole(
    tmp_path: Path, home: ServingHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a version would be found out only when somebody rolls back to it."""
    first, second = home.publish("m", 1), home.publish("m", 2)
    store = ModelStore(home.path / "models")
    going = store.version_dir("m", first)

    def forgetful(path: Path) -> Any:
        if path.parent == going and path.name == "manifest.json":
            raise FileNotFoundError(path)
        return open_plain(path)

    monkeypatch.setattr("retrain_service.maintenance.backup.open_plain", forgetful)
    copied = back_up(Settings(home=home.path), tmp_path / "copy", with_buffer=False, config=None)

    copy = ModelStore(tmp_path / "copy" / "models")
    assert (copied.n_versions, copy.versions("m")) == (1, [second])
    assert not copy.version_dir("m", first).exists()
