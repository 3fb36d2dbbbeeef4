"""Remove temporary files that a writer left because it was killed before their rename.

Knows how `atomic_file` names them, nothing of what they hold. Any process may call.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from pathlib import Path

LEFT_AFTER_S = 600.0
"""No write takes so long: who began it is dead, or will fail and make another."""

_TEMPORARY = re.compile(r"\..+\.tmp")


def remove_left_temporaries(directory: Path) -> list[Path]:
    """Remove those that are old; what was removed. Never raises."""
    removed = []
    with suppress(OSError):
        for path in directory.iterdir():
            if not _TEMPORARY.fullmatch(path.name):
                continue
            with suppress(OSError):  # another process was faster
                if time.time() - path.lstat().st_mtime > LEFT_AFTER_S:
                    path.unlink()
                    removed.append(path)
    return removed
