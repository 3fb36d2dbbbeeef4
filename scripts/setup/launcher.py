"""Write the command `hotfit` into a virtual environment. Standard library only."""

from __future__ import annotations

import shlex
from pathlib import Path

_SHELL = """#!/bin/sh
# Written by scripts/setup/environment.py.
exec {python} {script} "$@"
"""
_BATCH = """@echo off
rem Written by scripts/setup/environment.py.
"{python}" "{script}" %*
"""


def write_launcher(python: Path, root: Path) -> Path:
    """Beside the environment's Python, for this folder of the project; its path.

    A launcher that says the same already is left alone.

    Raises:
        OSError: the folder cannot be written.
    """
    script = root / "scripts" / "hotfit.py"
    if python.suffix == ".exe":
        launcher, text = python.parent / "hotfit.bat", _BATCH.format(python=python, script=script)
    else:
        quoted = {"python": shlex.quote(str(python)), "script": shlex.quote(str(script))}
        launcher, text = python.parent / "hotfit", _SHELL.format(**quoted)
    if not launcher.exists() or launcher.read_text(encoding="utf-8") != text:
        beside = launcher.with_name(f"{launcher.name}.tmp")
        beside.write_text(text, encoding="utf-8")
        beside.chmod(0o755)
        beside.replace(launcher)
    return launcher
