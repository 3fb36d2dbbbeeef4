"""Boot a machine, live through everything the Linux service claims, print what was shown.

`python -m tests.services.linux [--work DIR] [--without WORD]`. Needs root, Linux, and Debian's
`systemd-container`; about ten minutes. Exit code 0 when every claim held, 1 when one did not,
77 when it cannot run here.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

from tests.services.linux.claims import Life
from tests.services.linux.machine import Refused, machine
from tests.services.linux.site import ROOT, Site

CANNOT_RUN = 77
DEBIAN_PYTHON = Path("/usr/bin/python3")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.services.linux", description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path("/var/tmp"), help="where the machine's files go"
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="WORD",
        help="leave out claims whose sentence holds this word, to look at the others sooner",
    )
    wanted = parser.parse_args()
    why_not = _why_not()
    if why_not:
        print(f"cannot run here: {why_not}", file=sys.stderr)
        return CANNOT_RUN
    # So that a run that is told to end takes its machine away too.
    signal.signal(signal.SIGTERM, _end)
    began = time.monotonic()
    wheels = _wheels(wanted.work)
    print(f"packages ready after {time.monotonic() - began:.0f} s", flush=True)
    with machine(wanted.work) as found:
        site = Site(found, _python(found.root))
        life = Life(site)
        booting = time.monotonic()
        found.boot({wheels: site.wheels})
        rows = [("boot", True, time.monotonic() - booting, found.run("systemctl", "--version"))]
        _print(rows[-1])
        claims = [
            (sentence, show)
            for sentence, show in life.claims()
            if not any(word in sentence for word in wanted.without)
        ]
        for sentence, show in claims:
            at = time.monotonic()
            try:
                seen, held = show(), True
            except (AssertionError, Refused, OSError, subprocess.SubprocessError) as error:
                seen, held = str(error) or traceback.format_exc(limit=-1), False
            rows.append((sentence, held, time.monotonic() - at, seen))
            _print(rows[-1])
            if not held:
                _print_logs(site)
                break
    is_whole = len(rows) == len(claims) + 1
    held = is_whole and all(row[1] for row in rows)
    print(
        f"{sum(row[1] for row in rows)} of {len(claims) + 1} shown"
        f" in {time.monotonic() - began:.0f} s, {datetime.now(UTC):%Y-%m-%d}."
    )
    return 0 if held else 1


def _end(number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # taking the machine away is not to be cut short
    sys.exit(128 + number)


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


def _print(row: tuple[str, bool, float, str]) -> None:
    sentence, held, took_s, seen = row
    verdict = "shown" if held else "FAILED"
    lines = seen.strip().splitlines() or [""]
    shown = lines[0] if held else "\n    ".join(lines)
    print(f"{verdict:6}  {took_s:6.1f} s  {sentence}: {shown}", flush=True)


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
    sys.exit(main())
