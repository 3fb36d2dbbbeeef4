"""The one check command: format, lint, types, tests. Standard library only.

All four run even when one fails; the exit code is the worst one. The tests run last, so that
their closing line stands at the end of the output.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

CHECKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("format", ("ruff", "format", "--check", ".")),
    ("lint", ("ruff", "check", ".")),
    ("types", ("mypy",)),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="test",
        description="Run ruff format --check, ruff check, mypy and pytest; all of them, always.",
        epilog="What is given here goes to pytest: tests/scripts -k demo. Exit code: the worst.",
    )
    _, for_pytest = parser.parse_known_args(arguments)
    codes = {name: run(name, command) for name, command in CHECKS}
    codes["data"] = run("data", ("scripts.setup.test_data",))
    codes["tests"] = run("tests", ("pytest", *in_parallel(), *for_pytest))
    failed = [name for name, code in codes.items() if code != 0]
    print(f"Failed: {', '.join(failed)}." if failed else "All checks are fine.", flush=True)
    return max(codes.values())


def in_parallel() -> tuple[str, ...]:
    """One process more than cores, because tests of daemons wait much; a file stays together."""
    return "--numprocesses", str((os.cpu_count() or 1) + 1), "--dist", "loadfile"


def run(name: str, command: Sequence[str]) -> int:
    """Run one check as a module of this Python; a death by signal counts as 128 + its number."""
    print(f"== {name}: {' '.join(command)}", flush=True)
    started = time.monotonic()
    code = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode
    code = code if code >= 0 else 128 - code
    if name != "tests":
        outcome = "ok" if code == 0 else f"FAILED ({code})"
        print(f"== {name}: {outcome}, {time.monotonic() - started:.1f} s", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
