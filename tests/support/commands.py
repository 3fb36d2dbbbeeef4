"""`python -m retrain_service …` as a process, as a person or a scheduler would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from tests.support.daemons import INJECTED, ROOT, MeanHome

TIMEOUT_S = 120


def command_environment(place: MeanHome, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What cron or Task Scheduler gives a job: next to nothing."""
    kept = ("PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "HOME", "USERPROFILE")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "HOTFIT_CONFIG": str(place.config),
        "PYTHONPATH": os.pathsep.join([str(INJECTED), str(ROOT)]),
        **(extra or {}),
    }


def command(
    place: MeanHome, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, without a terminal and without anything to read from."""
    return subprocess.run(
        [sys.executable, "-m", "retrain_service", *arguments],
        cwd=ROOT,
        env=command_environment(place, environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )


def answer(place: MeanHome, *arguments: str, code: int = 0) -> dict[str, Any]:
    """The one JSON document that the command prints with `--json`."""
    done = command(place, *arguments, "--json")
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return msgspec.json.decode(done.stdout, type=dict[str, Any])
