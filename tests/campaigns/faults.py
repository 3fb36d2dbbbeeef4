"""Run a daemon so that one of its file operations fails, or kills it: see file_faults.c."""

from __future__ import annotations

import errno
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.campaigns.power_loss import PowerLoss, kill_all_with

SOURCE = Path(__file__).with_name("file_faults.c")
POWER = ("power", "power_content")
KILLS = ("kill", "kill_first", *POWER)
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


@dataclass(frozen=True, order=True)
class Point:
    """What meets a fault. at : number, from 1, of the operation among those that `fits` fits.

    times : so many operations in a row meet it, whatever they are, as while a disk is full.
    """

    fits: str
    at: int
    kind: str
    times: int = 1

    @property
    def is_kill(self) -> bool:
        return self.kind in KILLS

    @property
    def lasting(self) -> str:
        """The kind, and how long, for a table."""
        return f"{self.kind}, {self.times} in a row" if self.times > 1 else self.kind


@dataclass(frozen=True)
class FileFaults:
    """One run of a daemon. point : None: only count."""

    library: Path
    below: Path
    folder: Path
    point: Point | None = None
    _state: Path = field(init=False)
    _power: PowerLoss | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        object.__setattr__(self, "_state", self.folder / "state")
        if self.point is not None and self.point.kind in POWER:
            object.__setattr__(self, "_power", PowerLoss(self.below, self._journal))

    @property
    def _journal(self) -> Path:
        return self.folder / "journal"

    def end(self) -> None:
        """After the daemon has ended: a power cut also takes what was not synced."""
        if self._power is not None and self.has_happened:
            kill_all_with("FAULT_STATE", str(self._state))
            assert self.point is not None
            self._power.take(with_names=self.point.kind == "power")

    @property
    def environment(self) -> dict[str, str]:
        preload = {
            "LD_PRELOAD": str(self.library),
            "FAULT_BELOW": str(self.below),
            "FAULT_STATE": str(self._state),
            "FAULT_LIST": str(self.folder / "operations"),
        }
        if self.point is None:
            return preload
        if self._power is not None:
            preload["FAULT_JOURNAL"] = str(self._journal)
        return preload | {
            "FAULT_MATCH": self.point.fits,
            "FAULT_AT": str(self.point.at),
            "FAULT_KIND": str(getattr(errno, self.point.kind, self.point.kind)),
            "FAULT_TIMES": str(self.point.times),
        }

    @property
    def has_happened(self) -> bool:
        """Whether an operation met the fault."""
        try:
            content = self._state.read_bytes()
        except FileNotFoundError:
            return False
        n_faults: int = struct.unpack("6l", content)[2] if len(content) >= 48 else 0
        return n_faults > 0

    def operations(self) -> list[str]:
        """What was done, in order: "rename /models/m/reload_signal.json"."""
        lines = (self.folder / "operations").read_text(errors="replace").splitlines()
        by_number = sorted((int(line.split(" ", 1)[0]), line.split(" ", 1)[1]) for line in lines)
        return [operation for _, operation in by_number]
