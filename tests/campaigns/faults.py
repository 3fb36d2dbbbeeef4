"""Run a daemon so that one of its file operations fails, or kills it: see file_faults.c."""

from __future__ import annotations

import errno
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).with_name("file_faults.c")
KILLS = ("kill", "kill_first")
KINDS = (*KILLS, "short", "ENOSPC", "EIO", "EACCES", "EROFS", "EMFILE")


def why_not() -> str | None:
    """Why this machine cannot run it; None when it can."""
    if sys.platform != "linux":
        return "needs LD_PRELOAD"
    return None if shutil.which("cc") else "needs a C compiler (Debian: apt-get install gcc)"


def built(folder: Path) -> Path:
    """Compile the library once into a folder; its path."""
    library = folder / "file_faults.so"
    if not library.exists():
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True
        )
    return library


@dataclass(frozen=True)
class FileFaults:
    """One run of a daemon. at : the number of the operation, from 1; 0: only count."""

    library: Path
    below: Path
    folder: Path
    at: int = 0
    kind: str = ""
    times: int = 1
    _state: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        object.__setattr__(self, "_state", self.folder / "state")

    @property
    def environment(self) -> dict[str, str]:
        number = getattr(errno, self.kind, self.kind)
        return {
            "LD_PRELOAD": str(self.library),
            "FAULT_BELOW": str(self.below),
            "FAULT_STATE": str(self._state),
            "FAULT_LIST": str(self.folder / "operations"),
            "FAULT_AT": str(self.at),
            "FAULT_KIND": str(number),
            "FAULT_TIMES": str(self.times),
        }

    @property
    def n_operations(self) -> int:
        return self._counts()[0]

    @property
    def has_happened(self) -> bool:
        return self._counts()[2] > 0

    def operations(self) -> list[str]:
        """What was done, in order: "rename /models/m/reload_signal.json"."""
        lines = (self.folder / "operations").read_text(errors="replace").splitlines()
        by_number = sorted((int(line.split(" ", 1)[0]), line.split(" ", 1)[1]) for line in lines)
        return [operation for _, operation in by_number]

    def operation(self) -> str:
        """The one that the fault met."""
        found = self.operations()
        return found[self.at - 1] if len(found) >= self.at else "?"

    def _counts(self) -> tuple[int, int, int]:
        try:
            content = self._state.read_bytes()
        except FileNotFoundError:
            return 0, 0, 0
        if len(content) < 24:
            return 0, 0, 0
        n, first_pid, n_faults = struct.unpack("lll", content[:24])
        return n, first_pid, n_faults
