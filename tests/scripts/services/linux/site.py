"""What a Hotfit installation on the machine is made of, and how to look at it from next door."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.scripts.services.linux.machine import Machine
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[4]
PORT = 5000
API, RETRAIN, SOCKET = "hotfit-api.service", "hotfit-retrain.service", "hotfit-api.socket"
QUESTION = json.dumps({"forecast_days": 7})
_COPIED = ("api_service", "retrain_service", "shared", "scripts", "docs")
_FILES = ("requirements.txt", "pyproject.toml")
_CONFIG = f"""
[api]
port = {PORT}
[sources.shop]
kind = "sql"
url = "sqlite:////srv/shop/shop.db"
poll_interval_s = 2
lag_s = 0
[models.spare_parts]
workload = "spare_parts"
source = "shop"
"""
# Asked by a process on the machine's network: a line with the status, then the body.
_ASK = """
import sys, urllib.error, urllib.request
method, url, body = sys.argv[1:4]
request = urllib.request.Request(
    url, body.encode() or None, {"Content-Type": "application/json"}, method=method)
try:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        print(answer.status); print(answer.read().decode())
except urllib.error.HTTPError as error:
    print(error.code); print(error.read().decode())
except OSError as error:
    print(0); print(error)
"""


@dataclass(frozen=True, slots=True)
class Site:
    """Hotfit on one machine. `wheels`: folder inside with every pinned package."""

    machine: Machine
    python: str
    wheels: str = "/srv/wheels"

    # -- what a person brings ----------------------------------------------------------------------

    def bring_checkout(self, name: str, version: str) -> str:
        """Copy this project to a folder inside, under a version of its own; where it is."""
        target = self.machine.root / "srv" / name
        target.mkdir(parents=True)
        for part in _COPIED:
            shutil.copytree(
                ROOT / part, target / part, ignore=shutil.ignore_patterns("__pycache__")
            )
        for part in _FILES:
            shutil.copy2(ROOT / part, target / part)
        project = target / "pyproject.toml"
        text = project.read_text()
        found = next(line for line in text.splitlines() if line.startswith("version = "))
        project.write_text(text.replace(found, f'version = "{version}"'))
        # Without a word of code changed a checkout is the same release.
        init = target / "shared" / "__init__.py"
        init.write_text(f"{init.read_text()}\nRELEASE = {version!r}\n")
        return f"/srv/{name}"

    def bring_shop(self) -> str:
        """Fill a database of a made-up workshop and write a configuration for it."""
        self.machine.run("mkdir", "-p", "/srv/shop")
        self.demo_data("fill")
        # SQLite's readers write beside the database: both the file's owner and systemd must agree.
        self.machine.run("chmod", "-R", "a+rwX", "/srv/shop")
        drop_in = self.machine.root / "etc/systemd/system/hotfit-.service.d"
        drop_in.mkdir()
        (drop_in / "shop.conf").write_text("[Service]\nReadWritePaths=-/srv/shop\n")
        (self.machine.root / "srv/hotfit.toml").write_text(_CONFIG)
        return "/srv/hotfit.toml"

    def demo_data(self, *arguments: str) -> str:
        return self.machine.run(
            self.python,
            "/srv/first/scripts/demo/seed.py",
            *arguments,
            "--database",
            "/srv/shop/shop.db",
        )

    def script(self, checkout: str, name: str, *arguments: str) -> str:
        """Run install.sh or uninstall.sh of a checkout; packages come from the folder of wheels."""
        return self.machine.run(*self._script(checkout, name, *arguments))

    def script_fails(self, checkout: str, name: str, *arguments: str, code: int) -> str:
        """What a script that is to end with `code` says, on both its outputs."""
        with_errors = ("/bin/sh", "-c", 'exec "$@" 2>&1', "sh")
        command = self._script(checkout, name, *arguments)
        return self.machine.run(*with_errors, *command, expect=code)

    def _script(self, checkout: str, name: str, *arguments: str) -> Sequence[str]:
        environment = (
            f"HOTFIT_PYTHON={self.python}",
            "PIP_NO_INDEX=1",
            f"PIP_FIND_LINKS={self.wheels}",
            "PIP_CONFIG_FILE=/dev/null",
        )
        path = f"{checkout}/scripts/services/{name}"
        return ("env", *environment, path, *arguments)

    # -- what a person sees ------------------------------------------------------------------------

    def ask(self, path: str, body: str = "", method: str = "") -> tuple[int, Any]:
        """One request: status (0: no connection) and parsed body."""
        url = urllib.parse.urljoin(f"http://127.0.0.1:{PORT}", path)
        verb = method or ("POST" if body else "GET")
        command = self.machine.on_its_network(sys.executable, "-c", _ASK, verb, url, body)
        told = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=True
        ).stdout
        status, _, text = told.partition("\n")
        with contextlib.suppress(ValueError):
            return int(status), json.loads(text)
        return int(status), text

    def served_version(self) -> str | None:
        """The version that answered a prediction just now."""
        status, body = self.ask("/forecast_restock_demand", QUESTION)
        return str(body["version"]) if status == 200 else None

    def wait_until_served(self, other_than: str | None = None, timeout_s: float = 120) -> str:
        def served() -> str | None:
            found = self.served_version()
            return found if found != other_than else None

        what = f"a version other than {other_than} to be served"
        return str(wait_until(served, timeout_s, what, every_s=0.25))

    def wait_until_restarted(self, unit: str, former_pid: int, timeout_s: float) -> int:
        """Return the new main process of a service that is up again."""

        def found() -> int:
            pid = self.machine.main_pid(unit)
            return pid if pid != former_pid and self.machine.is_active(unit) else 0

        return wait_until(found, timeout_s, f"{unit} to be up again", every_s=0.2)

    def workers(self) -> list[int]:
        """Pids inside of the API's worker processes."""
        main = self.machine.main_pid(API)
        told = self.machine.run("ps", "--no-headers", "-o", "pid=,comm=", "--ppid", str(main))
        lines = [line.split(maxsplit=1) for line in told.splitlines()]
        return [int(pid) for pid, name in lines if name == "hotfit-worker"]

    def log_of(self, unit: str) -> str:
        return self.machine.run("journalctl", "--no-pager", "-o", "cat", "-u", unit)

    @contextlib.contextmanager
    def under_load(self) -> Iterator[dict[str, Any]]:
        """Steady requests while the block runs; the dictionary is filled at its end."""
        found: dict[str, Any] = {}
        load = [sys.executable, str(Path(__file__).with_name("load.py"))]
        command = [*load, str(PORT), "/forecast_restock_demand", QUESTION]
        with subprocess.Popen(
            self.machine.on_its_network(*command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield found
            finally:
                told, _ = process.communicate(timeout=120)
        found.update(json.loads(told))


# Of programs that go on working on the system below the overlay while the suite runs.
_ELSEWHERE = ("var/lib/containers", "var/lib/docker")


def files_below(root: Path, folders: Sequence[str]) -> set[str]:
    """Every path below some folders of a file system, links not followed."""
    found: set[str] = set()
    for name in folders:
        # Not rglob: a folder that goes away while it is read must not end the walk.
        for where, below, files in os.walk(root / name):
            inside = os.path.relpath(where, root)
            below[:] = [each for each in below if f"{inside}/{each}" not in _ELSEWHERE]
            found.update(f"{inside}/{each}" for each in (*below, *files))
    return found
