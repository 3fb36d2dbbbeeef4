"""Servers and tools that only tests want: installed where that is possible, else said.

Never a failure: a test whose server is missing is skipped. Standard library only.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from scripts.setup.debian import apt_install, can_install

AXE = "axe-core@4.14.1"


def offer_test_servers(venv: Path) -> None:
    """PostgreSQL, MariaDB, Prometheus with its alert manager, nginx and Caddy, and Chromium."""
    _offer_postgresql()
    _offer_mariadb()
    _offer_prometheus()
    _offer_proxies()
    _offer_browser(venv)


def _offer_postgresql() -> None:
    """The tests of the SQL source want a PostgreSQL server of their own; never a failure."""
    if shutil.which("initdb") or any(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return
    if can_install():
        print("Installing Debian's postgresql for the tests …", flush=True)
        if apt_install("postgresql"):
            return
    print("No PostgreSQL server here: tests that need one are skipped.", flush=True)


def _offer_mariadb() -> None:
    """The tests of the SQL source want a MariaDB server of their own; never a failure."""
    if shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin"):
        return
    if can_install():
        print("Installing Debian's mariadb-server-core for the tests …", flush=True)
        if apt_install("mariadb-server-core"):
            return
    print("No MariaDB server here: tests that need one are skipped.", flush=True)


def _offer_prometheus() -> None:
    """The tests of metrics and alerts want Prometheus and its alert manager; never a failure."""
    wanted = ("prometheus", "promtool", "prometheus-alertmanager", "amtool")
    if all(shutil.which(name) for name in wanted):
        return
    if can_install():
        print("Installing Debian's prometheus for the tests …", flush=True)
        if apt_install("prometheus") and apt_install("prometheus-alertmanager"):
            return
    print("No Prometheus here: tests that need one are skipped.", flush=True)


def _offer_proxies() -> None:
    """The tests behind a proxy want nginx and Caddy; never a failure."""
    for name, package in (("nginx", "nginx-light"), ("caddy", "caddy")):
        if shutil.which(name) or shutil.which(name, path="/usr/sbin"):
            continue
        if can_install():
            print(f"Installing Debian's {package} for the tests …", flush=True)
            if apt_install(package):
                continue
        print(f"No {name} here: tests behind it are skipped.", flush=True)


def _offer_browser(venv: Path) -> None:
    """The tests of the console want Chromium, and axe-core to judge its pages; never a failure."""
    if shutil.which("chromium") is None and can_install():
        print("Installing Debian's chromium for the tests …", flush=True)
        apt_install("chromium")
    if shutil.which("chromium") is None:
        print("No Chromium here: tests that need a browser are skipped.", flush=True)
        return
    folder = venv / "npm"
    npm = shutil.which("npm")
    if npm is None or (folder / "node_modules" / "axe-core").exists():
        return
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)]
    try:
        subprocess.run(
            [npm, "install", *options, AXE], capture_output=True, stdin=subprocess.DEVNULL
        )
    except OSError as error:
        print(f"axe-core was not installed: {error}.", flush=True)
