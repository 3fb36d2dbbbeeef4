"""What was logged is read again whole, whatever happened to the file's end."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from shared.prediction_log.frames import LoggedAnswer
from shared.prediction_log.masking import Masking
from shared.prediction_log.reader import read_all, read_from
from shared.prediction_log.segments import prune, segments
from shared.prediction_log.writer import SegmentWriter


def answer(i: int) -> LoggedAnswer:
    return LoggedAnswer(i, "m", "v000001", 1, "predict", b'{"i": %d}' % i, b"[1.5]", 0.001)


def test_a_torn_end_is_skipped_and_read_once_it_is_whole(tmp_path: Path) -> None:
    """Wherever a crash, or a reader, cuts a segment: the answers before it, each once."""
    writer = SegmentWriter(tmp_path / "log", 30, 1_000_000)
    writer.append([answer(i) for i in range(3)])
    writer.close()
    (segment,) = segments(tmp_path / "log")
    whole = segment.path.read_bytes()

    for cut in range(len(whole) + 1):
        segment.path.write_bytes(whole[:cut])
        found, position = read_from(segment.path, 0)
        segment.path.write_bytes(whole)
        rest, end = read_from(segment.path, position)
        assert [one.at_us for one in (*found, *rest)] == [0, 1, 2]
        assert end == len(whole)

    for damaged in range(8, len(whole)):
        content = bytearray(whole)
        content[damaged] ^= 0xFF
        segment.path.write_bytes(content)
        n_found = len(list(read_all(tmp_path / "log")))
        assert n_found == len(
            [None for i in range(3) if (i + 1) * (len(whole) - 8) // 3 + 8 <= damaged]
        )


def test_a_full_disk_leaves_no_half_answer_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written after the disk has room again must be readable."""
    writer = SegmentWriter(tmp_path, 30, 1_000_000)
    writer.append([answer(1)])
    real, room = os.write, [20]

    def write(file: int, content: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        n = real(file, bytes(content)[: room[0]])
        room[0] -= n
        return n

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space"):
        writer.append([answer(2)])
    monkeypatch.undo()
    writer.append([answer(3)])

    assert [one.at_us for one in read_all(tmp_path)] == [1, 3]


def test_the_oldest_go_by_bytes_and_by_age_but_never_what_is_written_to(tmp_path: Path) -> None:
    """The log is bounded, and no writer loses the file under its hands."""
    for number, (age_s, size) in enumerate([(5_000, 40), (4_000, 40), (3_000, 40), (10, 400)], 1):
        path = tmp_path / f"h-1-{number:06d}.predictions"
        path.write_bytes(bytes(size))
        os.utime(path, (100_000 - age_s, 100_000 - age_s))

    def left(keep_days: float, most: int) -> list[int]:
        prune(tmp_path, keep_days, most, now_s=100_000)
        return [one.number for one in segments(tmp_path)]

    assert left(1, 520) == [1, 2, 3, 4]
    assert left(1, 500) == [2, 3, 4]
    assert left(3_500 / 86_400, 500) == [3, 4]
    assert left(1 / 86_400, 1) == [4]


@pytest.mark.parametrize(
    ("secret", "expected"),
    [(b"s" * 32, {"id": 7, "who": "#", "rows": [{"who": ["#", None]}]}), (None, {"id": 7})],
)
def test_personal_columns_are_hashed_or_left_out_at_any_depth(
    secret: bytes | None, expected: dict[str, object]
) -> None:
    """Without a secret a hash could be guessed, so nothing of the column is kept."""
    masking = Masking(["email"], ["who"], secret)

    found = masking.of_json(
        b'{"id": 7, "email": "a@b", "who": "ann", "rows": [{"who": ["ann", null], "email": 1}]}'
    )

    assert b"ann" not in found
    assert b"a@b" not in found
    if secret:
        ann = masking.hash_of("ann").encode()
        assert found.count(ann) == 2
        assert ann != Masking([], ["who"], b"t" * 32).hash_of("ann").encode()
    else:
        assert found == b'{"id":7,"rows":[{}]}'
