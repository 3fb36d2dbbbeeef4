"""Read logged answers, from where one stopped. Writes and removes nothing.

Any process may read while others write: what is not whole yet is read the next time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from shared.prediction_log.frames import LARGEST_FRAME, MAGIC, LoggedAnswer, whole_frames
from shared.prediction_log.segments import segments

_LEAST_BYTES = LARGEST_FRAME + 64


def read_from(
    path: Path, position: int, most_bytes: int = 4 * LARGEST_FRAME
) -> tuple[list[LoggedAnswer], int]:
    """The whole answers of a segment from a position on, and the position after them; see
    `read_keyed`."""
    found, after = read_keyed(path, position, most_bytes)
    return [logged for _, logged in found], after


def read_keyed(
    path: Path, position: int, most_bytes: int = 4 * LARGEST_FRAME
) -> tuple[list[tuple[int, LoggedAnswer]], int]:
    """The whole answers of a segment from a position on, each with its key, and the position
    after them.

    A key is a number of 64 bits that no other answer of the log has, at every reading the same.

    position : 0 at first, then what the last call gave. most_bytes : to read at once.

    Raises:
        OSError: the segment is gone, or cannot be read.
    """
    with path.open("rb") as file:
        if position == 0:
            if file.read(len(MAGIC)) != MAGIC:
                return [], 0
            position = len(MAGIC)
        file.seek(position)
        content = file.read(max(most_bytes, _LEAST_BYTES))
    found, end = [], 0
    for logged, after in whole_frames(content):
        found.append((_key_of(path.name, position + after), logged))
        end = after
    return found, position + end


def _key_of(segment: str, end: int) -> int:
    digest = hashlib.blake2b(f"{segment}@{end}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def read_all(directory: Path) -> Iterator[LoggedAnswer]:
    """Everything that is in the log now, segment by segment."""
    for segment in segments(directory):
        position = -1
        after = 0
        while after != position:
            position = after
            found, after = read_from(segment.path, position)
            yield from found
