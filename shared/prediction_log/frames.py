"""Frame logged predictions so that a torn end of a file is seen, and is skipped.

A frame is the length of its content and the content's CRC-32, both four bytes little-endian, then
the content as MessagePack. Knows no file.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import msgspec

MAGIC = b"HOTFITP1"
"""The first bytes of every segment; the last of them is the version of this format."""

LARGEST_FRAME = 1 << 21
_HEAD = struct.Struct("<II")


class LoggedAnswer(msgspec.Struct, array_like=True, frozen=True):
    """One answered request. New fields go last, with a default.

    at_us : when it was answered, which is also the time that the model was told, in microseconds
        since 1970, UTC. latency_s : from taking the request to its answer, in seconds.
    request, answer : JSON, the request as the version saw it, the answer as it was given.
    """

    at_us: int
    model: str
    version: str
    generation: int
    question: str
    request: bytes
    answer: bytes
    latency_s: float


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(LoggedAnswer).decode


def to_frame(logged: LoggedAnswer) -> bytes:
    """The bytes of one frame."""
    content = _encode(logged)
    return _HEAD.pack(len(content), zlib.crc32(content)) + content


def whole_frames(content: bytes) -> Iterator[tuple[LoggedAnswer, int]]:
    """What is whole, from the beginning on: each with the number of bytes up to its end.

    Ends at the first frame that is not whole or not what was written.
    """
    at = 0
    while at + _HEAD.size <= len(content):
        length, checksum = _HEAD.unpack_from(content, at)
        end = at + _HEAD.size + length
        found = content[at + _HEAD.size : end]
        if length > LARGEST_FRAME or end > len(content) or zlib.crc32(found) != checksum:
            return
        try:
            logged = _decode(found)
        except msgspec.DecodeError:
            return
        yield logged, end
        at = end
