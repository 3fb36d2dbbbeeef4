"""Files that are complete or absent: write beside, fsync, rename, fsync the directory.

Knows nothing of models or signals. Any thread and any process may call any function here;
two writers of one file are kept apart by design (one writer per file), not by this module.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from shared.errors import StorageUnavailable

IS_WINDOWS = os.name == "nt"
_REPLACE_TRIES = 10
_FIRST_PAUSE_S = 0.01
_LASTING_ERRNOS = {
    errno.EBADF,
    errno.EEXIST,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTEMPTY,
    errno.EXDEV,
}
"""What is wrong with the call and not with the disk: the same call fails again. All else passes."""


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the system refuses for now into StorageUnavailable.

    Full, read-only, no rights, no descriptor, no memory, an error of the device: whatever is not
    known to last is tried again.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _LASTING_ERRNOS:
            raise
        reason = error.strerror or str(error)
        raise StorageUnavailable(f"{path}: cannot be written: {reason}.") from error


def is_there(path: Path) -> bool:
    """Whether something has that name. Path.exists() may say no when the disk does not say.

    Raises:
        StorageUnavailable: the disk does not say.
    """
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageUnavailable(f"{path}: cannot be read: {error.strerror}.") from error
    return True


def write_atomic(path: Path, content: bytes, *, mode: int = 0o644, is_synced: bool = True) -> None:
    """Replace `path` by `content` so that a reader sees the old file or the new one, whole.

    is_synced : else a power cut may lose it.

    Raises:
        StorageUnavailable: the disk is full or not writable; the old file stands.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with storage_errors(path):
        make_directories(path.parent)
        try:
            write_new(beside, content, mode=mode, is_synced=is_synced)
            replace(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        if is_synced:
            sync_directory(path.parent)


def make_directories(path: Path, mode: int = 0o755) -> None:
    """Make a directory with all above it, which a power cut does not take away again.

    Nobody else may write there, whatever the umask is.
    """
    if path.is_dir():
        return
    if not path.parent.exists():
        make_directories(path.parent)
    path.mkdir(mode=mode, exist_ok=True)
    with contextlib.suppress(PermissionError):  # what is above may be hidden from this user
        sync_directory(path.parent)


def write_new(path: Path, content: bytes, *, mode: int = 0o644, is_synced: bool = True) -> None:
    """Create a new file; unless not wanted, leave it only when its bytes are on the disk."""
    with open_new(path, mode=mode) as file:
        file.write(content)
        file.flush()
        if is_synced:
            os.fsync(file.fileno())


def open_new(path: Path, *, mode: int = 0o644) -> BinaryIO:
    """Open a file that must not be there yet, not even as a link, for writing."""
    descriptor = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode
    )
    return os.fdopen(descriptor, "wb")


def sync_directory(path: Path) -> None:
    """Force the names in a directory to the disk. Windows keeps them without being asked."""
    if IS_WINDOWS:
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(source: Path, target: Path) -> None:
    """`os.replace`, repeated for about ten seconds while a Windows reader has `target` open."""
    pause_s = _FIRST_PAUSE_S
    for attempt in range(_REPLACE_TRIES):
        try:
            os.replace(source, target)  # noqa: PTH105 - the call that crash tests watch
        except PermissionError:
            if not IS_WINDOWS or attempt == _REPLACE_TRIES - 1:
                raise
            time.sleep(pause_s)
            pause_s *= 2
        else:
            return


def commit_directory(staged: Path, final: Path) -> None:
    """Give a staged directory its final name; in another file system, a copy of it.

    The caller has synced every file; after this returns the directory survives a power cut.
    """
    with storage_errors(final):
        for directory in sorted(
            {path.parent for path in staged.rglob("*")} | {staged}, reverse=True
        ):
            sync_directory(directory)
        try:
            os.rename(staged, final)  # noqa: PTH104 - the call that crash tests watch
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _rename_across(staged, final)
        sync_directory(final.parent)


def _rename_across(staged: Path, final: Path) -> None:
    """Through a private directory beside `final`, which is in another file system."""
    beside = Path(tempfile.mkdtemp(prefix=".staged-", dir=final.parent))
    for path in sorted(staged.rglob("*")):
        target = beside / path.relative_to(staged)
        if path.is_dir():
            target.mkdir(mode=0o755)
        else:
            write_new(target, path.read_bytes())
    for directory in sorted({path.parent for path in beside.rglob("*")}, reverse=True):
        sync_directory(directory)
    beside.chmod(staged.stat().st_mode)
    beside.rename(final)
    shutil.rmtree(staged, ignore_errors=True)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as hexadecimal text, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
