"""What a power cut takes from a folder: everything that was not forced to the disk.

file_faults.c keeps a journal of syncs and of names that changed. From a file is taken what
the daemon wrote after its last sync. "power" also takes back each change of a name whose directory
was not synced afterwards, the newest first; "power_content" leaves names, as a file system may
that writes them early. What was overwritten in place stays, which a disk may do too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil


class PowerLoss:
    """One run of a daemon in `home`. journal : a new folder in the same file system."""

    def __init__(self, home: Path, journal: Path) -> None:
        self._home, self._journal = home, journal
        journal.mkdir(parents=True)
        self._sizes = {found.st_ino: found.st_size for _, found in _files(home)}

    def take(self, *, with_names: bool) -> None:
        """Take from the home what was not synced. No process of the run may be there any more."""
        lines = self._lines()
        synced = {int(line[1]): int(line[2]) for line in lines if line[0] == "file"}
        written = {int(line[1]) for line in lines if line[0] == "write"}
        if with_names:
            self._take_names(lines, synced)
        for path, found in _files(self._home):
            kept = synced.get(found.st_ino, self._sizes.get(found.st_ino, 0))
            if found.st_ino in written and found.st_size > kept:
                os.truncate(path, kept)

    def _take_names(self, lines: list[list[str]], synced: dict[int, int]) -> None:
        last_sync = {line[1]: i for i, line in enumerate(lines) if line[0] == "directory"}
        for i, (what, *names) in reversed(list(enumerate(lines))):
            if what in ("file", "directory", "write"):
                continue
            name = Path(names[1 if what == "rename" else 0])
            if last_sync.get(str(name.parent), -1) > i:
                continue
            if what == "new":
                _remove(name, synced)
            elif what == "rename" and name.exists():
                with contextlib.suppress(FileNotFoundError):  # a folder that is gone by now
                    name.rename(names[0])
            if what != "new":
                self._put_back(names[-1], name)

    def _put_back(self, number: str, name: Path) -> None:
        kept = self._journal / number
        if number != "0" and not name.exists() and name.parent.is_dir():
            os.link(kept, name)

    def _lines(self) -> list[list[str]]:
        log = self._journal / "log"
        text = log.read_text(errors="replace") if log.exists() else ""
        return [line.split("\t") for line in text.splitlines()]


def _remove(name: Path, synced: dict[int, int]) -> None:
    """A new name. With the content of a new file its name is on the disk, as on ext4 and XFS."""
    try:
        found = name.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISDIR(found.st_mode):
        shutil.rmtree(name)
    elif found.st_ino not in synced:
        name.unlink()


def _files(home: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for path in home.rglob("*"):
        found = path.lstat()
        if stat.S_ISREG(found.st_mode):
            yield path, found


def kill_all_with(name: str, value: str) -> None:
    """Kill every process that has this environment variable, and wait until they are gone."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(name) == value:
                process.kill()
                found.append(process)
    psutil.wait_procs(found, timeout=30)
