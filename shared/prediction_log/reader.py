"""Read logged answers, from where one stopped. Writes and removes nothing.

Any process may read while others write: what is not whole yet is read the next time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from shared.prediction_log.frames import LARGEST_FRAME, MAGIC, LoggedAnswer, whole_frames
from shared.prediction_log.segments import segments

_LEAST_BYTES = LARGEST_FRAME + 64


def read_from(
    path: Path, position: int, most_bytes: int = 4 * LARGEST_FRAME
) -> tuple[list[LoggedAnswer], int]:
    """The whole answers of a segment from a position on, and the position after them.

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
        found.append(logged)
        end = after
    return found, position + end


def read_all(directory: Path) -> Iterator[LoggedAnswer]:
    """Everything that is in the log now, segment by segment."""
    for segment in segments(directory):
        position = -1
        after = 0
        while after != position:
            position = after
            found, after = read_from(segment.path, position)
            yield from found
