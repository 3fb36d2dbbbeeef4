"""The one check command: format, lint, types, tests. Standard library only.

All four run even when one fails; the exit code is the worst one. The tests run last, so that
their closing line stands at the end of the output. Few tests that failed are run once more, one
after the other; those that pass then are named as flaky, which is a fault to mend.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAST_FAILED = ROOT / ".pytest_cache" / "v" / "cache" / "lastfailed"
MOST_REPEATED = 10
"""More failures than this are not one test's bad luck."""

_TESTS_FAILED = 1  # pytest's exit code; all others mean that the run itself did not work

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
    LAST_FAILED.unlink(missing_ok=True)
    codes["tests"] = run("tests", ("pytest", *in_parallel(), *for_pytest))
    flaky = failed_tests() if codes["tests"] == _TESTS_FAILED else []
    if 0 < len(flaky) <= MOST_REPEATED:
        codes["tests"] = run("tests, repeated", ("pytest", "--numprocesses", "0", *flaky))
        if codes["tests"] == 0:
            print(f"Flaky, passed when repeated: {', '.join(flaky)}.", flush=True)
    failed = [name for name, code in codes.items() if code != 0]
    print(f"Failed: {', '.join(failed)}." if failed else "All checks are fine.", flush=True)
    return max(codes.values())


def in_parallel() -> tuple[str, ...]:
    """One process more than cores, because tests of daemons wait much; a file stays together.

    Files come by name: by their number of tests the campaigns and the whole systems, few tests
    that take minutes, would come last and leave one process to run alone.
    """
    n_processes = str((os.cpu_count() or 1) + 1)
    return "--numprocesses", n_processes, "--dist", "loadfile", "--no-loadscope-reorder"


def failed_tests() -> list[str]:
    """Names of the tests that failed in the last run, as pytest keeps them; a file, where that
    could not be read."""
    if not LAST_FAILED.exists():
        return []
    return sorted(json.loads(LAST_FAILED.read_text(encoding="utf-8")))


def run(name: str, command: Sequence[str]) -> int:
    """Run one check as a module of this Python; a death by signal counts as 128 + its number."""
    print(f"== {name}: {' '.join(command)}", flush=True)
    started = time.monotonic()
    code = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode
    code = code if code >= 0 else 128 - code
    if not name.startswith("tests"):
        outcome = "ok" if code == 0 else f"FAILED ({code})"
        print(f"== {name}: {outcome}, {time.monotonic() - started:.1f} s", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
