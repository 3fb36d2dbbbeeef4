"""Run inside: replace a file that a reader has open, as the daemons do. Prints what happened."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from shared.atomic_file import write_atomic

HELD_S = 0.7


def main(folder: Path) -> None:
    """Old content while the reader has it open, new content once it has let go."""
    folder.mkdir(parents=True, exist_ok=True)
    path, other = folder / "signal.json", folder / "other.json"
    write_atomic(path, b"old")
    other.write_bytes(b"plain")
    reader = path.open("rb")
    try:
        other.replace(path)
    except PermissionError:
        refused = True
    else:
        refused = False
    assert reader.read() == b"old"
    threading.Timer(HELD_S, reader.close).start()
    began = time.monotonic()
    write_atomic(path, b"new")
    took_s = time.monotonic() - began
    assert path.read_bytes() == b"new"
    left = sorted(each.name for each in folder.iterdir() if each != other)
    assert left == ["signal.json"], left
    print(f"plain os.replace refused: {refused}; ours waited {took_s:.2f} s for the reader")
    assert refused
    assert took_s >= HELD_S / 2


if __name__ == "__main__":
    main(Path(sys.argv[1]))
