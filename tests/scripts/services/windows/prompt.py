"""Run inside: the prompt at which somebody types commands; each is a batch file put into a folder.

One prompt for all of them, as with a person: wine hands Ctrl-C only to processes that go back to
the same one, whatever console they have. Standard library only.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

LOOK_EVERY_S = 0.1


def main(folder: Path) -> None:
    """Run N.bat for N = 1, 2, …; N.out gets what it writes, N.code at last its exit code."""
    number = 1
    while True:
        batch = folder / f"{number}.bat"
        if not batch.exists():
            time.sleep(LOOK_EVERY_S)
            continue
        with (folder / f"{number}.out").open("wb") as out:
            done = subprocess.run(
                ["cmd", "/c", str(batch)], stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        code = folder / f"{number}.code"
        code.with_suffix(".new").write_text(str(done.returncode))
        code.with_suffix(".new").replace(code)
        number += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]))
