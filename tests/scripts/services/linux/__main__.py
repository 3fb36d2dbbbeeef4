"""Boot a machine, live through everything the Linux service claims, print what was shown.

`python -m tests.scripts.services.linux [--work DIR] [--without WORD]`. Needs root,
Linux, and Debian's `systemd-container`; about ten minutes. Exit code 0 when every claim held,
1 when one did not, 77 when it cannot run here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.scripts.services.linux.claims import Life
from tests.scripts.services.linux.machine import machine
from tests.scripts.services.linux.site import ROOT, Site
from tests.scripts.services.show import Refused, Stage, main

DEBIAN_PYTHON = Path("/usr/bin/python3")


@contextmanager
def _stage(work: Path) -> Iterator[Stage]:
    began = time.monotonic()
    wheels = _wheels(work)
    print(f"packages ready after {time.monotonic() - began:.0f} s", flush=True)
    with machine(work) as found:
        site = Site(found, _python(found.root))
        life = Life(site)

        def boot() -> str:
            found.boot({wheels: site.wheels})
            return found.run("systemctl", "--version")

        yield Stage([("boot", boot), *life.claims()], partial(_print_logs, site))


def _why_not() -> str | None:
    if sys.platform != "linux":
        return "expected Linux."
    if os.geteuid() != 0:
        return "expected root, which may mount and boot."
    if shutil.which("systemd-nspawn") is None:
        return "expected systemd-nspawn. Debian: apt-get install systemd-container"
    return None


def _wheels(work: Path) -> Path:
    """Every pinned package as a wheel, made once for each requirements.txt and Python."""
    pinned = (ROOT / "requirements.txt").read_bytes()
    name = f"hotfit-wheels-{sys.version_info[0]}{sys.version_info[1]}"
    target = work / f"{name}-{hashlib.sha256(pinned).hexdigest()[:10]}"
    if not target.exists():
        making = target.with_suffix(".new")
        shutil.rmtree(making, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(making)]
        subprocess.run([*command, "-r", str(ROOT / "requirements.txt")], check=True)
        making.rename(target)
    return target


def _python(root: Path) -> str:
    """A Python inside, of this version, outside of root's home: services may not look there."""
    if DEBIAN_PYTHON.exists():
        asked = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"
        told = subprocess.run([DEBIAN_PYTHON, "-c", asked], capture_output=True, text=True)
        if told.stdout.strip() == f"{sys.version_info[0]}.{sys.version_info[1]}":
            return str(DEBIAN_PYTHON)
    shutil.copytree(sys.base_prefix, root / "usr/local/lib/hotfit-test-python", symlinks=True)
    return "/usr/local/lib/hotfit-test-python/bin/python3"


def _print_logs(site: Site) -> None:
    for command in (
        ("systemctl", "--no-pager", "--full", "status", "hotfit*"),
        ("journalctl", "--no-pager", "-n", "60", "-u", "hotfit*", "-o", "short-iso"),
    ):
        try:
            print(site.machine.run(*command, expect=range(256)))
        except Refused as error:
            print(error)


if __name__ == "__main__":
    sys.exit(main("python -m tests.scripts.services.linux", __doc__, _why_not, _stage))
