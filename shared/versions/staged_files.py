"""Write the files of a staged version and hash each while it is written.

What the manifest says of a file is what was given to be written, whatever happens to the disk or
the directory afterwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from shared.atomic_file import open_new, storage_errors
from shared.versions.version_files import FileEntry, VersionFiles


class _HashingFile:
    """What picklers write to: passes bytes on and hashes them."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, content: bytes | bytearray | memoryview) -> int:
        self._digest.update(content)
        self._size += memoryview(content).nbytes
        return self._file.write(content)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        self._file.flush()

    def entry(self) -> FileEntry:
        return FileEntry(self._digest.hexdigest(), self._size)


class StagedFiles:
    """The files of one directory that nobody else writes to. One thread."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.entries: dict[str, FileEntry] = {}

    @property
    def files(self) -> VersionFiles:
        """To open what was written so far as a reader will."""
        return VersionFiles(self.directory, self.directory.name, self.entries)

    def write(self, name: str, content: bytes) -> FileEntry:
        """Write a new file and leave it on the disk.

        Raises:
            StorageUnavailable: the disk refused it.
        """
        with self.writing(name) as file:
            file.write(content)
        return self.entries[name]

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[_HashingFile]:
        """A new file, on the disk and known when the block ends."""
        path = self.directory / name
        with storage_errors(path):
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with storage_errors(path), open_new(path) as file:
            hashing = _HashingFile(file)
            yield hashing
            file.flush()
            os.fsync(file.fileno())
        self.entries[name] = hashing.entry()

    def remove(self, folder: str) -> None:
        """Forget everything in a folder, which may not be there."""
        shutil.rmtree(self.directory / folder, ignore_errors=True)
        for name in [name for name in self.entries if name.startswith(f"{folder}/")]:
            del self.entries[name]
