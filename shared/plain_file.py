"""Safely read a regular file of bounded size that another process may replace at any moment.

Whoever can write a directory can put a link, a pipe or an endless file where a file is expected,
or exchange it between two looks. Knows no version and no signal.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shared.atomic_file import IS_WINDOWS, open_new
from shared.errors import StorageUnavailable

_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe that nobody writes to would stop the caller for ever
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_BLOCK_BYTES = 1 << 20

Stamp = tuple[int, int, int, int]
"""Differs when a file was written or replaced: times in ns, inode, size."""


class FileRefused(OSError):
    """Something is there that is not the file that was expected; `reason` says what."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path.name} {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file of which is known what its bytes must be. Any thread, as often as it likes."""

    path: Path
    sha256: str
    size_bytes: int

    def read(self) -> bytes:
        """Its bytes, of one read, which are those that were hashed.

        Raises:
            FileNotFoundError: it is not there.
            FileRefused: it is something else.
        """
        with open_plain(self.path) as file:
            self._check_size(_size_of(file))
            content = file.read(self.size_bytes + 1)
        self._check_size(len(content))
        self._check_digest(hashlib.sha256(content).hexdigest())
        return content

    def check(self) -> None:
        """As `read`, without keeping its bytes."""
        self._hash(None)

    @contextlib.contextmanager
    def private_copy(self) -> Iterator[Path]:
        """For libraries that read files: a copy in a folder that nobody else can enter.

        Its pages are the system's to give back, where bytes would be this process's own.

        Raises: as `read`; StorageUnavailable when there is no room for it.
        """
        try:
            made = tempfile.TemporaryDirectory(prefix="hotfit-")
        except OSError as error:
            raise StorageUnavailable(f"no copy of {self.path.name} can be made: {error}.") from None
        with made as folder:
            path = Path(folder) / self.path.name
            with open_new(path, mode=0o600) as copy:
                self._hash(copy)
            yield path

    def _hash(self, copy: BinaryIO | None) -> None:
        digest, size = hashlib.sha256(), 0
        block = memoryview(bytearray(_BLOCK_BYTES))
        with open_plain(self.path) as file:
            self._check_size(_size_of(file))
            while n := file.readinto(block):
                digest.update(block[:n])
                if copy is not None:
                    copy.write(block[:n])
                size += n
                if size > self.size_bytes:
                    break
        self._check_size(size)
        self._check_digest(digest.hexdigest())

    def _check_size(self, found: int) -> None:
        if found != self.size_bytes:
            raise FileRefused(self.path, f"has {found} bytes, expected {self.size_bytes}")

    def _check_digest(self, found: str) -> None:
        if found != self.sha256:
            raise FileRefused(self.path, f"has SHA-256 {found[:12]}…, expected {self.sha256[:12]}…")


def open_plain(path: Path) -> io.BufferedReader:
    """Open a regular file for reading; never follows a link, never waits.

    Raises:
        FileNotFoundError: it is not there.
        FileRefused: it is a link, a pipe or a device.
        OSError: as the system says, of a directory too.
    """
    refused = FileRefused(path, "is not a regular file")
    if IS_WINDOWS and _is_link(path):
        raise refused
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
            raise refused from None
        raise
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise refused


def read_plain(path: Path, most_bytes: int) -> bytes:
    """The bytes of a regular file of bounded size, of one read.

    Raises:
        FileNotFoundError: it is not there.
        FileRefused: it is no regular file, or larger.
    """
    with open_plain(path) as file:
        content = file.read(min(_size_of(file), most_bytes) + 1)
        if len(content) <= most_bytes:
            content += file.read(most_bytes + 1 - len(content))
    if len(content) > most_bytes:
        raise FileRefused(path, f"is larger than {most_bytes:,} bytes")
    return content


def stamp_of(path: Path) -> Stamp | None:
    """Without following a link; None where there is nothing."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size


def _size_of(file: io.BufferedReader) -> int:
    return os.fstat(file.fileno()).st_size


def _is_link(path: Path) -> bool:
    """Where the system cannot refuse to follow; junctions and mount points are links, too."""
    found = path.lstat()
    reparse = getattr(stat, "FILE_ATTRIBUTE_REPARSE_POINT", 0)
    return bool(stat.S_ISLNK(found.st_mode) or getattr(found, "st_file_attributes", 0) & reparse)
