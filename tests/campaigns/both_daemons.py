"""One home with both daemons, load on it, and what a service manager does: start them again.

Predictions on keep-alive connections, records sent to the feed, rows inserted into the database.
Each answer and each failure is kept with the connection that it came on, so that a campaign can say
which failures a kill explains.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from api_service.status.workers import live_reports
from scripts.daemons.network import free_port
from shared.exchange.json_files import SignalUnreadable
from shared.exchange.reload_signal import ReloadSignal
from shared.keys.api_keys import ensure_api_keys
from shared.versions.model_store import ModelStore
from tests.campaigns.invariants import Facts, facts_of, violations
from tests.support.asking import ask
from tests.support.daemons import Daemon, MeanHome, daemon
from tests.support.waiting import wait_until

QUESTION = {"instances": [{"weekday": 1}]}
GOES_ON_WITHIN_S = 120.0
N_NEW = 10
N_WORKERS = 2
CONNECTIONS = 6
FORK_SERVER = "hotfit-template"
TRAINING_CHILD = "retrain_service.training_job.process"
_SETTINGS = """
every = "0s"
new_records = 10
new_records_share = 0
[models.m.gate]
mode = "point"
max_regression = 10.0
max_total_regression = 10.0
[models.m.parameters]
fit_s = {fit_s}
[sources.fed]
kind = "feed"
poll_interval_s = 0.2
[models.fed]
workload = "mean"
source = "fed"
[models.fed.triggers]
new_records = 0
every = "0s"
[feed]
max_records_a_minute = 1000000
[api]
port = {port}
workers = {workers}
reconcile_interval_s = 0.5
{api}
"""


class BothDaemons:
    """fit_s : how long a training lasts, so that there is one to be met. api : further settings."""

    def __init__(
        self,
        folder: Path,
        *,
        fit_s: float = 0.3,
        api: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port = folder, free_port()
        self._environment = environment
        settings = _SETTINGS.format(fit_s=fit_s, port=self.port, workers=N_WORKERS, api=api)
        self.place = MeanHome(folder, settings)
        self.home, self.store = self.place.home, ModelStore(self.place.home / "models")
        ensure_api_keys(self.home / "keys")
        self.n_rows = 0
        self.add_rows(100)
        self.acknowledged: list[str] = []
        self.before = Facts()
        self._ids = itertools.count()
        self._stack = ExitStack()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Both daemons, until every worker serves the first version."""
        with self._stack:
            self.api = self._start("api_service")
            self.training = self._start("retrain_service", "run")
            self.wait_until_well()
            yield

    def _start(self, *arguments: str) -> Daemon:
        log = self.folder / f"{arguments[0]}.log"
        return self._stack.enter_context(
            daemon(*arguments, config=self.place.config, output=log, environment=self._environment)
        )

    def start_what_has_ended(self) -> list[str]:
        """As a service manager does; the names of what was started."""
        started = []
        if not self.api.is_running:
            started.append("api_service")
            self.api = self._start("api_service")
        if not self.training.is_running:
            started.append("retrain_service")
            self.training = self._start("retrain_service", "run")
        return started

    def stop(self) -> list[str]:
        """Both, as a service manager does, and what does not hold afterwards."""
        codes = {"retrain_service": self.training.stop(60), "api_service": self.api.stop(60)}
        wrong = [f"{name} ended with {code}" for name, code in codes.items() if code]
        return wrong + self.violations()

    def violations(self) -> list[str]:
        return violations(self.home, self.before, {"rows": self.acknowledged})

    def remember(self) -> None:
        """What is there now has to be there at the end."""
        self.before = facts_of(self.home)

    def add_rows(self, n: int = N_NEW, *, ahead_s: int = 0) -> None:
        self.place.add_rows(n, ahead_s=ahead_s)
        self.n_rows += n

    def signal(self) -> ReloadSignal | None:
        try:
            return self.store.signal("m")
        except SignalUnreadable:
            return None

    def newest_is_in(self) -> bool:
        """Whether the wanted version has learnt from every row."""
        found = self.signal()
        if found is None:
            return False
        with contextlib.suppress(Exception):  # the campaign is at its files
            manifest = self.store.manifest("m", found.version)
            return manifest.watermark.n_records == self.n_rows
        return False

    def health(self) -> dict[str, Any]:
        try:
            return dict(ask(self.port, "GET", "/health")[1])
        except (OSError, http.client.HTTPException, ValueError):
            return {}

    def is_well(self) -> bool:
        """A version of all rows is served by every worker, records are taken."""
        found = self.signal()
        if found is None or not self.newest_is_in():
            return False
        reports = live_reports(self.home / "reports")
        serving = [r for r in reports if "m" in r.models and r.models["m"].version == found.version]
        return len(serving) == N_WORKERS and self.is_predicting() and self.takes_a_record()

    def is_predicting(self) -> bool:
        try:
            return ask(self.port, "POST", "/models/m/predict", QUESTION)[0] == 200
        except (OSError, http.client.HTTPException, ValueError):
            return False

    def takes_a_record(self) -> bool:
        id_ = f"r{next(self._ids)}"
        record = {"id": id_, "day": "2026-01-01", "value": 1.0}
        try:
            key = (self.home / "keys" / "feed.key").read_text().strip()
            headers = {"X-API-Key": key}
            status, _ = ask(self.port, "POST", "/models/fed/records", record, headers)
        except (OSError, http.client.HTTPException, ValueError):
            return False
        if status == 200:
            self.acknowledged.append(id_)
        return status == 200

    def wait_until_well(self, timeout_s: float = GOES_ON_WITHIN_S) -> None:
        wait_until(self.is_well, timeout_s, "both daemons to be well", every_s=0.2)

    def processes(self) -> dict[str, list[psutil.Process]]:
        """What kind of process -> those that there are now."""
        main, training = (
            psutil.Process(running.process.pid) for running in (self.api, self.training)
        )
        workers = {report.pid for report in live_reports(self.home / "reports")}
        family = main.children(recursive=True)
        return {
            "worker": [child for child in family if child.pid in workers],
            "fork server": [child for child in family if _name(child) == FORK_SERVER],
            "main process": [main],
            "training daemon": [training],
            "training child": [
                child for child in training.children() if TRAINING_CHILD in _command(child)
            ],
        }

    def process(self, kind: str, nth: int = 0, timeout_s: float = 30.0) -> psutil.Process:
        """One of that kind, once there is one; rows are added so that a training begins."""
        if kind == "training child":
            self.add_rows()
        found = wait_until(lambda: self.processes()[kind], timeout_s, f"a {kind}", every_s=0.02)
        return found[nth % len(found)]


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


class PredictionLoad:
    """Questions on keep-alive connections until the block ends.

    failures : (when, local port of the connection, what). Generations are compared by what any
    connection had seen before a question was sent.
    """

    def __init__(self, port: int, connections: int = CONNECTIONS) -> None:
        self._port, self._stop = port, threading.Event()
        self._newest = 0
        self.n_answered = 0
        self.failures: list[tuple[float, int, str]] = []
        self.went_back: list[str] = []
        self._threads = [
            threading.Thread(target=self._ask, daemon=True) for _ in range(connections)
        ]

    def __enter__(self) -> PredictionLoad:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _ask(self) -> None:
        body, connection, local = json.dumps(QUESTION), None, 0
        while not self._stop.is_set():
            try:
                if connection is None:
                    local = 0
                    connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
                    connection.connect()
                    local = connection.sock.getsockname()[1]
                newest = self._newest
                connection.request("POST", "/models/m/predict", body)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append((time.monotonic(), local, repr(error)))
                if connection is not None:
                    connection.close()
                connection = None
                time.sleep(0.05)
                continue
            if answer.status != 200:
                self.failures.append(
                    (time.monotonic(), local, f"{answer.status} {content[:200]!r}")
                )
                time.sleep(0.05)
                continue
            if answer.will_close:
                connection.close()
                connection = None
            generation = json.loads(content)["generation"]
            if generation < newest:
                self.went_back.append(f"generation {generation} after {newest}")
            self._newest = max(self._newest, generation)
            self.n_answered += 1
            time.sleep(0.005)


@contextlib.contextmanager
def feed_load(both: BothDaemons) -> Iterator[None]:
    """Records, one a request, all the time; what is acknowledged is written down."""
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set():
            both.takes_a_record()
            stop.wait(0.02)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
