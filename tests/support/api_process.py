"""The API daemon as a real process over a home of tiny versions, and steady load on it."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api_service.status.workers import live_reports
from scripts.daemons.network import free_port
from shared.exchange.worker_report import WorkerReport
from shared.versions.model_version import ModelVersion
from tests.support.asking import ask
from tests.support.daemons import Daemon, daemon
from tests.support.versions import ServingHome
from tests.support.waiting import wait_until


class ApiHome(ServingHome):
    """A home, its configuration, and how to reach the daemon that serves it."""

    def __init__(self, directory: Path, *, workers: int = 2, api: str = "", top: str = "") -> None:
        super().__init__(directory)
        self.port = free_port()
        self.log = directory / "api.log"
        self.config = directory / "hotfit.toml"
        self.config.write_text(
            f"""
home = "{self.path.as_posix()}"
{top}
[api]
port = {self.port}
workers = {workers}
{api}
[sources.none]
kind = "sql"
url = "sqlite:///{(directory / "none.db").as_posix()}"
[models.m]
workload = "tiny"
source = "none"
"""
        )

    @contextlib.contextmanager
    def running(self, **environment: str) -> Iterator[Daemon]:
        """Start the daemon and wait until it answers."""
        with self.starting(**environment) as process:
            self.wait_until_it_answers(process)
            yield process

    @contextlib.contextmanager
    def starting(self, **environment: str) -> Iterator[Daemon]:
        with daemon(
            "api_service", config=self.config, output=self.log, environment=environment
        ) as process:
            yield process

    def wait_until_it_answers(self, process: Daemon) -> None:
        def answers() -> bool:
            assert process.is_running, f"the daemon ended:\n{process.output()}"
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self.get("/livez")[0] == 200
            return False

        wait_until(answers, 60, "the API to answer")

    def get(self, path: str) -> tuple[int, Any]:
        return self.ask("GET", path)

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        return ask(self.port, method, path, body, headers)

    def workers(self) -> list[WorkerReport]:
        return live_reports(self.path / "reports")

    def worker_pids(self) -> set[int]:
        return {report.pid for report in self.workers()}

    def wait_until_served(self, version: str, *, workers: int = 2, timeout_s: float = 30) -> None:
        """Until every worker serves `version` and nothing drains any more."""

        def all_serve() -> bool:
            reports = [report.models["m"] for report in self.workers() if "m" in report.models]
            return len(reports) == workers and all(
                report.version == version
                and report.receipt is not None
                and report.receipt.rss_after_bytes is not None
                for report in reports
            )

        wait_until(all_serve, timeout_s, f"{version} on {workers} workers", every_s=0.01)


@dataclass
class Load:
    """What steady requests on keep-alive connections saw. A list's append is safe in threads.

    moments : (sent, received, generation) of each answer, on the clock of `time.perf_counter`.
    """

    moments: list[tuple[float, float, int]] = field(default_factory=list)
    answered: list[tuple[str, int]] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)

    @property
    def n_answered(self) -> int:
        return len(self.answered)

    def went_back(self) -> list[tuple[float, int, int]]:
        """Requests sent after an answer by a newer generation, and answered by an older one.

        Each as (how long after, in seconds; the newer; the older).
        """
        first: dict[int, float] = {}
        for _, received, generation in self.moments:
            first[generation] = min(received, first.get(generation, received))
        return [
            (sent - at, newer, generation)
            for sent, _, generation in self.moments
            for newer, at in first.items()
            if newer > generation and sent > at
        ]


@contextlib.contextmanager
def steady_load(port: int, *, connections: int = 8) -> Iterator[Load]:
    """Ask for predictions on so many keep-alive connections, all the time, until the block ends."""
    load, stop = Load(), threading.Event()
    threads = [
        threading.Thread(target=_ask_all_the_time, args=(port, load, stop), daemon=True)
        for _ in range(connections)
    ]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


def _ask_all_the_time(port: int, load: Load, stop: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body = json.dumps({"instances": [{"x": 1.0}, {"x": 2.0}]})
    while not stop.is_set():
        started = time.perf_counter()
        try:
            connection.request("POST", "/models/m/predict", body)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            load.failures.append(repr(error))
            connection.close()
            continue
        received = time.perf_counter()
        load.latencies_ms.append((received - started) * 1e3)
        if answer.status != 200:
            load.failures.append(f"{answer.status}: {content[:200]!r}")
            continue
        seen = json.loads(content)
        number = ModelVersion.parse(seen["version"]).number
        # The model knows its own number; the reply's names come from the slot.
        if seen["predictions"] != [number, number] or seen["number"] != number:
            load.mixed.append(content.decode())
        load.answered.append((seen["version"], seen["generation"]))
        load.moments.append((started, received, seen["generation"]))
    connection.close()
