"""All tables of accuracy, one after the other: baseline, library where installed, Hotfit, goal.

    .venv/bin/python -m benchmarks.accuracy [solar yaz …]

Without names all of them, which takes about an hour on two cores. Data and libraries that are not
installed are named and left out.
"""

from __future__ import annotations

import subprocess
import sys

NAMES = (
    "yaz",
    "slow_parts",
    "solar",
    "solar_horizons",
    "server_metrics",
    "alerts",
    "movielens",
)


def main(names: list[str]) -> int:
    """Returns 1 where a benchmark misses its bar."""
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        print(f"expected names of {', '.join(NAMES)}, found {', '.join(unknown)}", file=sys.stderr)
        return 2
    missed = []
    for name in names or NAMES:
        print(f"\n## {name}\n", flush=True)
        if subprocess.run(
            [sys.executable, "-m", f"benchmarks.accuracy_{name}"], check=False
        ).returncode:
            missed.append(name)
    print(f"\nnot measured, or a bar missed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
