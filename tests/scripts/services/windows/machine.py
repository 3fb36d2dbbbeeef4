"""A Windows to try things on: a wine prefix of its own with a Windows Python. Knows no Hotfit.

Needs Debian's `wine` and the PyPI packages that bring a Windows Python. Everything lies in one
folder and is gone with it; nothing outside of it is touched.
"""

from __future__ import annotations

import contextlib
import io
import os
import pty
import shutil
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PureWindowsPath

from tests.scripts.services.show import Refused
from tests.scripts.services.windows.forwarding_dll import forwarding_dll
from tests.support.waiting import wait_until

PYTHON = PureWindowsPath("C:/python/python.exe")
# What a virtual environment's Python needs beside it; the rest it finds at home.
_OF_AN_ENVIRONMENT = (
    *("python.exe", "python3.dll", "python311.dll"),
    *("vcruntime140.dll", "vcruntime140_1.dll"),
)
_BOOT_TIMEOUT_S = 120.0


class Windows:
    """One machine. `drive` is its C:, seen from outside."""

    def __init__(self, folder: Path) -> None:
        self._prefix = folder / "prefix"
        self._log_path = folder / "wine.log"
        self.drive = self._prefix / "drive_c"
        self._prompt = self.drive / "prompt"
        self._n_commands = 0
        self._environment = {
            **os.environ,
            "WINEPREFIX": str(self._prefix),
            "WINEARCH": "win64",
            "WINEDEBUG": "-all",
            # No window, no download of what wine offers instead of Microsoft's own.
            "DISPLAY": "",
            "WINEDLLOVERRIDES": "mscoree=d;mshtml=d;winemenubuilder.exe=d",
            "PIP_CONFIG_FILE": "NUL",
        }

    # -- life --------------------------------------------------------------------------------------

    def make(self, python_sdist: Path) -> None:
        """Make the prefix and put a Python into it."""
        self._prefix.parent.mkdir(parents=True, exist_ok=True)
        # Not `wineboot --init`: wine runs that by itself before its first program, and asked for
        # once more it starts a second service manager, which knows nothing of the first one's.
        version = ("reg", "add", r"HKCU\Software\Wine", "/v", "Version", "/d", "win10", "/f")
        self._wine("wine", *version, timeout_s=_BOOT_TIMEOUT_S)
        name = "bcryptprimitives.dll"
        library = forwarding_dll(name, {"ProcessPrng": "advapi32.SystemFunction036"})
        (self.drive / "windows/system32" / name).write_bytes(library)
        self._lay_python(python_sdist)
        self._prompt.mkdir()

    def boot(self) -> None:
        """Start it, with the services that start at boot, and open a prompt."""
        for path in self._prompt.iterdir():
            path.unlink()
        self._n_commands = 0
        shutil.copy2(Path(__file__).with_name("prompt.py"), self._prompt)
        self._on_a_terminal(["wine", str(PYTHON), r"C:\prompt\prompt.py", r"C:\prompt"])

    def shut_down(self) -> None:
        """End every process of it."""
        subprocess.run(
            ["wineserver", "--kill"],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        subprocess.run(
            ["wineserver", "--wait"],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )

    # -- what happens inside -----------------------------------------------------------------------

    def run(self, *lines: str, expect: int | Sequence[int] = 0, timeout_s: float = 300) -> str:
        """Run lines of a batch file at the prompt; what they wrote.

        Raises:
            Refused: the last one's exit code is another than `expect`.
        """
        self._n_commands += 1
        stem = self._prompt / str(self._n_commands)
        batch = "\r\n".join(["@echo off", *lines, "exit /b %errorlevel%", ""])
        stem.with_suffix(".new").write_text(batch, encoding="ascii", newline="")
        stem.with_suffix(".new").rename(stem.with_suffix(".bat"))
        code_path = stem.with_suffix(".code")
        wait_until(code_path.exists, timeout_s, f"the end of {lines[-1]}", every_s=0.1)
        told = stem.with_suffix(".out").read_bytes().decode("cp1252", "replace")
        code = int(code_path.read_text())
        if code not in ((expect,) if isinstance(expect, int) else expect):
            raise Refused(
                f"{lines[-1]}: expected exit code {expect}, found {code}:\n{told[-4000:]}"
            )
        return told.replace("\r\n", "\n")

    def make_environment(self, folder: PureWindowsPath, pip: Path) -> None:
        """What `python -m venv` makes; this Python comes without that module.

        Args:
            pip: its wheel.
        """
        target = self.outside(folder)
        scripts, packages = target / "Scripts", target / "Lib/site-packages"
        scripts.mkdir(parents=True)
        packages.mkdir(parents=True)
        for name in _OF_AN_ENVIRONMENT:
            shutil.copy2(self.drive / "python" / name, scripts)
        (target / "pyvenv.cfg").write_text(f"home = {PYTHON.parent}\r\n", newline="")
        with zipfile.ZipFile(pip) as wheel:
            wheel.extractall(packages)

    def outside(self, path: PureWindowsPath) -> Path:
        """Where a path of drive C: is, seen from outside."""
        return self.drive.joinpath(*path.parts[1:])

    def _lay_python(self, sdist: Path) -> None:
        home = self.drive / "python"
        home.mkdir()
        with tarfile.open(sdist) as archive:
            member = next(each for each in archive if each.name.endswith("/data.zip"))
            content = archive.extractfile(member)
            assert content is not None
            files = zipfile.ZipFile(io.BytesIO(content.read()))
        for name in files.namelist():
            # Its path file would shut out the working directory, where our packages are.
            if not name.endswith(("/", "._pth")):
                (home / name.rsplit("/", 1)[-1]).write_bytes(files.read(name))
        with zipfile.ZipFile(home / "python311.zip") as library:
            library.extractall(home / "Lib")

    def _wine(self, *command: str, timeout_s: float) -> None:
        process = self._on_a_terminal(list(command))
        if process.wait(timeout_s) != 0:
            raise Refused(f"{' '.join(command)}: exit code {process.returncode}; {self._log_path}")

    def _on_a_terminal(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start something under wine. A pipe would be held open by its server for ever."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            command, env=self._environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)

        def keep() -> None:
            with self._log_path.open("ab") as log, contextlib.suppress(OSError):
                while content := os.read(ours, 65536):
                    log.write(content)
            os.close(ours)

        threading.Thread(target=keep, name="terminal", daemon=True).start()
        return process


@contextlib.contextmanager
def windows(folder: Path, python_sdist: Path) -> Iterator[Windows]:
    """A machine that has not been booted; gone at the end, whatever happened."""
    found = Windows(folder)
    try:
        found.make(python_sdist)
        yield found
    finally:
        found.shut_down()
        shutil.rmtree(folder, ignore_errors=True)
