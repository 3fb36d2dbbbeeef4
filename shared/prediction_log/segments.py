"""The files of the prediction log: their names, and which of them are removed.

A segment has one writer, which only appends to it. Reads and writes no content.
"""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".predictions"
LONGEST_S = 300.0
"""A writer begins another segment when its own is so old."""

_NAME = re.compile(rf"(?P<writer>.+)-(?P<number>\d{{6}}){re.escape(SUFFIX)}")
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Segment:
    """One file; `written_s` is when it was last written to, in seconds since 1970."""

    path: Path
    writer: str
    number: int
    size: int
    written_s: float


def segment_path(directory: Path, writer: str, number: int) -> Path:
    """writer : unique among all processes that ever wrote here."""
    return directory / f"{writer}-{number:06d}{SUFFIX}"


def segments(directory: Path) -> list[Segment]:
    """All there are, the one longest unwritten first; none where there is no such directory."""
    found = []
    for path in directory.glob(f"*{SUFFIX}"):
        if (name := _NAME.fullmatch(path.name)) is None:
            continue
        with contextlib.suppress(OSError):  # removed meanwhile
            state = path.stat()
            found.append(
                Segment(path, name["writer"], int(name["number"]), state.st_size, state.st_mtime)
            )
    return sorted(found, key=lambda one: (one.written_s, one.writer, one.number))


def prune(directory: Path, keep_days: float, max_bytes: int, now_s: float | None = None) -> int:
    """Remove what is too old, then the oldest until the rest fits; how many files went.

    A segment that may still be written to stays. Never raises: what cannot be removed stays too.
    """
    now_s = time.time() if now_s is None else now_s
    found = segments(directory)
    newest: dict[str, int] = {}
    for one in found:
        newest[one.writer] = max(one.number, newest.get(one.writer, 0))
    size, n_removed = sum(one.size for one in found), 0
    for one in found:
        is_over = one.number < newest[one.writer] or one.written_s < now_s - 2 * LONGEST_S
        is_old = one.written_s < now_s - keep_days * _DAY_S
        if not is_over or not (is_old or size > max_bytes):
            continue
        with contextlib.suppress(OSError):
            one.path.unlink()
            size -= one.size
            n_removed += 1
    return n_removed
