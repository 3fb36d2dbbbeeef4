"""Debian's packages, where this is a Debian and we are root. Standard library only."""

from __future__ import annotations

import os
import shutil
import subprocess


def can_install() -> bool:
    """Whether `apt_install` may be tried."""
    return os.name != "nt" and os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt_install(package: str) -> bool:
    """Install a Debian package without starting a service; True when it worked."""
    # RUNLEVEL=1 keeps the package from starting a server of its own on the standard port.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", package]
    for command in (install, ["apt-get", "update", "-q"], install):
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, stdin=subprocess.DEVNULL
            )
        except OSError:
            return False
        if command is install and done.returncode == 0:
            return True
    return False
