"""Append logged answers to segments of this process; only the API writes.

One thread calls it. Chooses nothing of what is logged.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import time
from collections.abc import Iterable
from pathlib import Path

from shared.prediction_log.frames import MAGIC, LoggedAnswer, to_frame
from shared.prediction_log.segments import LONGEST_S, prune, segment_path

_LARGEST_SEGMENT = 8_000_000
_SEGMENTS_OF_A_LOG = 8


class SegmentWriter:
    """One process' end of the log.

    Args:
        keep_days: segments that were last written to so long ago are removed.
        max_bytes: of all segments of all processes; the oldest go.
    """

    def __init__(self, directory: Path, keep_days: float, max_bytes: int) -> None:
        self._directory = directory
        self._keep_days = keep_days
        self._max_bytes = max_bytes
        self._largest = min(_LARGEST_SEGMENT, max_bytes // _SEGMENTS_OF_A_LOG)
        host = re.sub(r"[^A-Za-z0-9.-]", "_", socket.gethostname())
        self._writer = f"{host}-{os.getpid()}-{time.time_ns() // 1_000_000}"
        self._number = 0
        self._file: int | None = None
        self._size = 0
        self._opened_s = 0.0

    def append(self, answers: Iterable[LoggedAnswer]) -> None:
        """Write them all, in order; they survive the end of this process when this returns.

        Raises:
            OSError: the disk is full or not writable. None of them was written, and what stood
                in the segment stands.
        """
        content = b"".join(map(to_frame, answers))
        if not content:
            return
        file = self._open()
        try:
            _write_all(file, content)
        except OSError:
            self._undo(file)
            raise
        self._size += len(content)

    def roll(self) -> None:
        """End the segment when it is long or old, and remove what the bounds ask for."""
        is_old = time.monotonic() - self._opened_s > LONGEST_S
        if self._file is not None and (is_old or self._size > self._largest):
            self.close()
            prune(self._directory, self._keep_days, self._max_bytes)

    def close(self) -> None:
        """End the segment; the next `append` begins another."""
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)

    def _open(self) -> int:
        if self._file is None:
            # What was asked may be personal: nobody else reads it.
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._number += 1
            path = segment_path(self._directory, self._writer, self._number)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            file = os.open(path, flags | getattr(os, "O_BINARY", 0), 0o600)
            try:
                _write_all(file, MAGIC)
            except OSError:
                os.close(file)
                with contextlib.suppress(OSError):
                    path.unlink()
                raise
            self._file, self._size, self._opened_s = file, len(MAGIC), time.monotonic()
        return self._file

    def _undo(self, file: int) -> None:
        """Take back the half of a write; where that fails, too, go on in another segment."""
        try:
            os.ftruncate(file, self._size)
        except OSError:
            with contextlib.suppress(OSError):
                self.close()


def _write_all(file: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        n = os.write(file, left)
        if n == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left = left[n:]
