"""One virtual environment for each server, made once and kept: their needs contradict."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.serving.systems import System

SHARED = ("scikit-learn", "numpy")


def environment(system: System, below: Path) -> Path:
    """The directory of the server's environment, with the scikit-learn that the models are of."""
    name = "-".join(_names(system))
    directory = below / name
    done = directory / "complete"
    pins = [f"{package}=={version(package)}" for package in SHARED]
    wanted = " ".join(["pandas", *pins, *system.packages])
    if done.exists() and done.read_text() == wanted:
        return directory
    print(f"installing {name} …", flush=True)
    shutil.rmtree(directory, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
    python = directory / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    # In two steps: some servers pin an older scikit-learn than they work with.
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "pandas", *system.packages], check=True)
    subprocess.run([*pip, *pins], check=True)
    done.write_text(wanted)
    return directory


def releases(system: System, directory: Path) -> str:
    """Name and release of what was installed for it."""
    python = directory / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    code = "from importlib.metadata import version\n"
    code += f"for name in {_names(system)!r}: print(name, version(name))"
    done = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True)
    return ", ".join(done.stdout.strip().splitlines())


def _names(system: System) -> list[str]:
    """Its packages without extras and ranges."""
    return [re.split(r"[\[<>=]", package)[0] for package in system.packages]
