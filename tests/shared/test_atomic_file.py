"""Files that are complete or absent."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from pathlib import Path

import pytest

from shared import atomic_file
from shared.atomic_file import commit_directory, write_atomic
from shared.errors import StorageUnavailable


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    """The other daemon reads signals at any moment, also in the middle of a write."""
    path = tmp_path / "signal.json"
    contents = [bytes([letter]) * 200_000 for letter in b"abcdef"]
    write_atomic(path, contents[0])
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for content in contents * 5:
        write_atomic(path, content)
    done.set()
    reader.join()

    assert seen <= set(contents)


def test_nothing_is_left_beside_the_file(tmp_path: Path) -> None:
    """A directory that is watched and listed must hold what it is said to hold."""
    write_atomic(tmp_path / "a" / "b.json", b"x")

    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.json"]


def test_a_secret_is_never_readable_by_others(tmp_path: Path) -> None:
    """Keys are made with their mode, not opened first and closed later."""
    write_atomic(tmp_path / "k", b"secret", mode=0o600)

    if os.name != "nt":
        assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens before the rename, the old state stands."""
    path = tmp_path / "f"
    write_atomic(path, b"old")

    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageUnavailable, match="Input/output error"):
        write_atomic(path, b"new")

    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="mounting a tmpfs needs root")
def test_a_full_disk_says_so_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    """The disk of a small server does fill up; the old version of the file must survive it."""
    mount = tmp_path / "small"
    mount.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)])
    if mounted.returncode != 0:
        pytest.skip("this machine does not let us mount a tmpfs")
    try:
        write_atomic(mount / "f", b"old")

        with pytest.raises(StorageUnavailable, match="No space left"):
            write_atomic(mount / "f", b"x" * 1_000_000)

        assert (mount / "f").read_bytes() == b"old"
        assert [path.name for path in mount.iterdir()] == ["f"]
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_a_windows_reader_delays_the_rename_but_does_not_lose_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows `os.replace` fails while somebody has the target open; the writer tries again."""
    path = tmp_path / "f"
    path.write_bytes(b"old")
    real_replace, refusals = os.replace, iter([PermissionError(13, "in use")] * 3)

    def replace(source: Path, target: Path) -> None:
        if (refusal := next(refusals, None)) is not None:
            raise refusal
        real_replace(source, target)

    monkeypatch.setattr(atomic_file, "IS_WINDOWS", True)
    monkeypatch.setattr(os, "replace", replace)
    write_atomic(path, b"new")

    assert path.read_bytes() == b"new"


def test_a_directory_gets_its_name_with_all_that_is_in_it(tmp_path: Path) -> None:
    """A version directory is there, whole, or not there."""
    staged = tmp_path / ".staged"
    (staged / "compiled").mkdir(parents=True)
    (staged / "compiled" / "trees").write_bytes(b"t")

    commit_directory(staged, tmp_path / "final")

    assert (tmp_path / "final" / "compiled" / "trees").read_bytes() == b"t"
    assert not staged.exists()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EBUSY, None])
def test_what_the_system_refuses_for_now_is_tried_again(number: int | None) -> None:
    """Descriptors and memory come back as room on the disk does; nobody is to end for want of them.

    An error that carries no number says nothing against trying again.
    """
    error = OSError(number, os.strerror(number)) if number else OSError("it did not work")

    with pytest.raises(StorageUnavailable), atomic_file.storage_errors(Path("report.json")):
        raise error


def test_a_wrong_call_stays_what_it_is() -> None:
    """Trying a name that is too long once more would go on for ever."""
    with pytest.raises(OSError, match="too long"), atomic_file.storage_errors(Path("x")):
        raise OSError(errno.ENAMETOOLONG, "File name too long")
