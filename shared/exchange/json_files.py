"""Read and write the small JSON files that the daemons exchange.

Values and their reading and writing; no decisions. Each file has one writer. A file that does
not parse is treated as absent by the readers here and named to the caller.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TypeVar

import msgspec

from shared.atomic_file import replace, write_atomic
from shared.plain_file import FileRefused, read_plain

_MOST_BYTES = 64_000_000

S = TypeVar("S", bound=msgspec.Struct)


class SignalUnreadable(Exception):
    """A file exists but is not what it should be; the sentence says what and where."""


def write_struct(path: Path, value: msgspec.Struct) -> None:
    """Write one of the structs above so that a reader sees all of it or the one before."""
    write_atomic(path, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def write_without_fsync(path: Path, value: msgspec.Struct) -> None:
    """As `write_struct`, but a power cut may lose it: for what is written many times a second."""
    write_atomic(path, msgspec.json.encode(value), is_synced=False)


def read_struct(path: Path, kind: type[S]) -> S | None:
    """Read one of the structs above; None when the file does not exist.

    Raises:
        SignalUnreadable: it exists but cannot be read as `kind`.
    """
    try:
        return msgspec.json.decode(read_plain(path, _MOST_BYTES), type=kind)
    except FileNotFoundError:
        return None
    except FileRefused as refused:
        raise SignalUnreadable(f"{path.parent}: {refused}") from None
    except (OSError, msgspec.DecodeError, RecursionError) as error:
        raise SignalUnreadable(f"{path}: not a {kind.__name__}: {error}") from error


def write_unsynced(path: Path, content: bytes) -> None:
    """Replace a metrics file, whole for every reader; a power cut may lose it.

    Once a second and worker, a synced write would keep a disk busy for nothing.

    Raises:
        OSError: the disk is full or not writable.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        beside.write_bytes(content)
        replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
