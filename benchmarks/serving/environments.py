"""One virtual environment for each server, made once and kept: their needs contradict."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.serving.systems import APPS, System

SHARED = ("scikit-learn", "numpy")


def environment(system: System, below: Path) -> Path:
    """The directory of the server's environment, with the scikit-learn that the models are of."""
    pins = [f"{package}=={version(package)}" for package in SHARED]
    # In two steps: some servers pin an older scikit-learn than they work with.
    return _made(below / "-".join(_names(system)), ["pandas", *system.packages], pins)


def draw(results: Path, picture: Path, below: Path) -> None:
    """The picture of a file of results; matplotlib has an environment of its own too."""
    directory = _made(below / "drawing", ["matplotlib"], [])
    command = [_python(directory), str(APPS / "draw.py"), str(results), str(picture)]
    subprocess.run(command, check=True)


def _made(directory: Path, packages: list[str], pins: list[str]) -> Path:
    done = directory / "complete"
    wanted = " ".join([*packages, *pins])
    if done.exists() and done.read_text() == wanted:
        return directory
    print(f"installing {directory.name} …", flush=True)
    shutil.rmtree(directory, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
    pip = [_python(directory), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for step in filter(None, (packages, pins)):
        subprocess.run([*pip, *step], check=True)
    done.write_text(wanted)
    return directory


def _python(directory: Path) -> str:
    return str(directory / ("Scripts" if sys.platform == "win32" else "bin") / "python")


def releases(system: System, directory: Path) -> str:
    """Name and release of what was installed for it."""
    code = "from importlib.metadata import version\n"
    code += f"for name in {_names(system)!r}: print(name, version(name))"
    done = subprocess.run(
        [_python(directory), "-c", code], check=True, capture_output=True, text=True
    )
    return ", ".join(done.stdout.strip().splitlines())


def _names(system: System) -> list[str]:
    """Its packages without extras and ranges."""
    return [re.split(r"[\[<>=]", package)[0] for package in system.packages]
