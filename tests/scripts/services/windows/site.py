"""What a Hotfit installation on the Windows machine is made of, and how to look at it from outside.

wine shares the network of the system it runs on: the API is asked by this very process.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from tests.scripts.services.windows.machine import PYTHON, Windows
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[4]
# A space and brackets, as many a path there has: each breaks a batch file that is not careful.
PROJECT = PureWindowsPath("C:/Program Files (x86)/Hotfit")
ENVIRONMENT = PROJECT / ".venv"
VENV_PYTHON = ENVIRONMENT / "Scripts/python.exe"
WHEELS = PureWindowsPath("C:/wheels")
QUESTION = json.dumps({"forecast_days": 7})
LOAD = ROOT / "tests/scripts/services/linux/load.py"
_COPIED = ("api_service", "retrain_service", "shared", "scripts", "docs")
_FILES = ("requirements-dev.txt", "pyproject.toml")
_CONFIG = """
[api]
port = {port}
[sources.demo]
kind = "sql"
url = "sqlite:///var/demo.db"
poll_interval_s = 2
lag_s = 0
[models.spare_parts]
workload = "spare_parts"
source = "demo"
"""
# No proxy of the environment stands between a machine and itself.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Site:
    """Hotfit on one machine, listening on `port`."""

    machine: Windows
    port: int

    # -- what a person brings ----------------------------------------------------------------------

    def bring(self, wheels: Path, pinned: str) -> None:
        """Copy this project, the packages, and requirements that this machine can hold."""
        project = self.machine.outside(PROJECT)
        for part in _COPIED:
            shutil.copytree(
                ROOT / part, project / part, ignore=shutil.ignore_patterns("__pycache__")
            )
        for part in _FILES:
            shutil.copy2(ROOT / part, project / part)
        (project / "requirements.txt").write_text(pinned)
        shutil.copytree(wheels, self.machine.outside(WHEELS))
        self.machine.make_environment(ENVIRONMENT, next(wheels.glob("pip-*.whl")))

    def configure(self) -> None:
        """Write the hotfit.toml that the services want, for the data that is there."""
        path = self.machine.outside(PROJECT / "hotfit.toml")
        path.write_text(_CONFIG.format(port=self.port))

    def script(self, command: str, *, expect: int = 0, timeout_s: float = 300) -> str:
        """Run one of scripts\\*.bat at the prompt; packages come from the folder of wheels."""
        name, _, options = command.partition(" ")
        return self.machine.run(
            f"set PATH={PYTHON.parent};%PATH%",
            "set PIP_NO_INDEX=1",
            f"set PIP_FIND_LINKS={WHEELS}",
            f"set HOTFIT_API__PORT={self.port}",
            # Not `call`, after which wine 8 knows no other code than 1.
            f'cmd /s /c ""{PROJECT}\\scripts\\{name}" {options}"',
            expect=expect,
            timeout_s=timeout_s,
        )

    def python(self, arguments: str, timeout_s: float = 120) -> str:
        """Run the environment's Python in the project's folder."""
        return self.machine.run(
            f'cd /d "{PROJECT}"', f'"{VENV_PYTHON}" {arguments}', timeout_s=timeout_s
        )

    def probe(self, name: str) -> str:
        """Run one of the probes of this package on a folder of its own; what it printed."""
        shutil.copy2(Path(__file__).with_name(f"{name}.py"), self.machine.outside(PROJECT))
        return self.python(f"-m {name} C:\\{name}").strip().replace("\n", "; ")

    def add_appointments(self) -> None:
        database = PROJECT / "var/demo.db"
        self.python(f'scripts\\demo\\seed.py add 12 --database "{database}"')

    # -- what a person sees ------------------------------------------------------------------------

    def ask(self, path: str, body: str = "") -> tuple[int, Any]:
        """One request: status (0: no connection) and parsed body."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            body.encode() or None,
            {"Content-Type": "application/json"},
        )
        try:
            with _opener.open(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, None
        except OSError as error:
            return 0, str(error)

    def served_version(self) -> str | None:
        """The version that answered a prediction just now."""
        status, body = self.ask("/forecast_restock_demand", QUESTION)
        return str(body["version"]) if status == 200 else None

    def wait_until_served(self, other_than: str | None = None, timeout_s: float = 240) -> str:
        def served() -> str | None:
            found = self.served_version()
            return found if found != other_than else None

        what = f"a version other than {other_than} to be served"
        return str(wait_until(served, timeout_s, what, every_s=0.25))

    def worker_pids(self) -> list[int]:
        """Pids inside of the API's workers, as GET /health names them."""
        _, body = self.ask("/health")
        return [each["pid"] for each in body["models"][0]["workers"]] if body else []

    def main_pid(self, daemon: str) -> int:
        """What a daemon's PID file says; 0 when there is none."""
        try:
            return int(self.machine.outside(PROJECT / f"var/pids/{daemon}.pid").read_text())
        except (OSError, ValueError):
            return 0

    def kill(self, pid: int) -> None:
        """End a process at once, as the Task Manager does."""
        self.python(f'-c "import psutil; psutil.Process({pid}).kill()"')

    def log_of(self, daemon: str) -> list[dict[str, Any]]:
        """The events of a daemon's log."""
        path = self.machine.outside(PROJECT / f"var/logs/{daemon}.log")
        found = []
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    @contextlib.contextmanager
    def under_load(self) -> Iterator[dict[str, Any]]:
        """Steady requests while the block runs; the dictionary is filled at its end."""
        found: dict[str, Any] = {}
        command = [sys.executable, str(LOAD), str(self.port), "/forecast_restock_demand", QUESTION]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                yield found
            finally:
                told, _ = process.communicate(timeout=120)
        found.update(json.loads(told))

    @contextlib.contextmanager
    def half_a_request(self) -> Iterator[dict[str, str]]:
        """A request that is being sent when the API is told to stop.

        Its second half follows when nobody else is answered any more; at the end of the block the
        dictionary holds the status line of its answer.
        """
        found: dict[str, str] = {}
        body = QUESTION.encode()
        head = (
            f"POST /forecast_restock_demand HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            "Connection: close\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection.sendall(head.encode() + body[:5])

        def finish() -> None:
            try:
                wait_until(self._is_leaving, 60, "the API to answer nobody else", every_s=0.1)
                connection.sendall(body[5:])
                found["answer"] = connection.makefile("rb").readline().decode("latin-1").strip()
            except (AssertionError, OSError) as error:
                found["answer"] = repr(error)

        thread = threading.Thread(target=finish, name="half a request")
        thread.start()
        try:
            yield found
        finally:
            thread.join()
            connection.close()

    def _is_leaving(self) -> bool:
        try:
            _opener.open(f"http://127.0.0.1:{self.port}/livez", timeout=2).close()
        except OSError:
            return True
        return False
