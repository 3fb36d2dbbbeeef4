"""The API is cut at its file operations while records are sent to it and versions are asked.

A worker that is killed is replaced, a call that fails is answered with an error; what was
acknowledged is there afterwards, and records are taken again without a person.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

from scripts.daemons.network import free_port
from shared.keys.api_keys import ensure_api_keys
from tests.campaigns.faults import KILLS, FileFaults
from tests.campaigns.invariants import Facts, violations
from tests.campaigns.tally import Tally
from tests.support.asking import ask
from tests.support.daemons import Daemon, daemon
from tests.support.versions import ServingHome

CAMPAIGN = "API, file operations"
GOES_ON_WITHIN_S = 120.0
N_SENT = 12


class ApiWrites:
    """Attempts in one folder. library : of `faults.built`."""

    def __init__(self, folder: Path, library: Path, tally: Tally) -> None:
        self.folder, self.library, self.tally = folder, library, tally
        folder.mkdir(parents=True, exist_ok=True)
        self.home = ServingHome(folder)
        ensure_api_keys(self.home.path / "keys")
        self.port = free_port()
        self.config = folder / "hotfit.toml"
        self.config.write_text(
            f"""
home = "{self.home.path.as_posix()}"
[api]
port = {self.port}
workers = 1
[sources.fed]
kind = "feed"
[models.m]
workload = "mean"
source = "fed"
"""
        )
        self.acknowledged: list[str] = []
        self._ids = itertools.count()
        self._n = 0

    def count(self) -> list[str]:
        """The operations of an API that starts, takes records and stops; nothing fails."""
        faults = self._faults()
        with self._running(faults) as running:
            assert self._takes_records(running), running.output()[-2000:]
            assert running.stop(60) == 0
        assert self._violations() == []
        return faults.operations()

    def attempt(self, at: int, kind: str, times: int = 1) -> None:
        """One fault at the operation number `at`."""
        faults = self._faults(at, kind, times)
        outcome, why = "survived", ""
        with self._running(faults) as running:
            goes_on = self._takes_records(running)
            if running.is_running:
                running.stop(60)
        if not goes_on:
            with self._running(self._faults()) as running:
                if not self._takes_records(running):
                    outcome, why = "broken", running.output()[-1000:]
                elif kind not in KILLS:
                    outcome = "needs a person"
                if running.is_running:
                    running.stop(60)
        found = self._violations()
        if found:
            outcome, why = "broken", "; ".join(found)
        elif not faults.has_happened:
            outcome = "not reached"
        self.tally.add(CAMPAIGN, kind, outcome, f"at {at}, {faults.operation()}: {why}")

    def _violations(self) -> list[str]:
        return violations(self.home.path, Facts(), {"rows": self.acknowledged})

    def _faults(self, at: int = 0, kind: str = "", times: int = 1) -> FileFaults:
        self._n += 1
        folder = self.folder / "faults" / str(self._n)
        return FileFaults(self.library, self.home.path, folder, at, kind, times)

    @contextlib.contextmanager
    def _running(self, faults: FileFaults) -> Iterator[Daemon]:
        with daemon(
            "api_service",
            config=self.config,
            output=self.folder / "api.log",
            environment=faults.environment,
        ) as running:
            yield running

    def _takes_records(self, running: Daemon) -> bool:
        """Whether so many records are taken, one a request, within the time."""
        key = (self.home.path / "keys" / "feed.key").read_text().strip()
        deadline, n = time.monotonic() + GOES_ON_WITHIN_S, 0
        while n < N_SENT and time.monotonic() < deadline and running.is_running:
            id_ = f"r{next(self._ids)}"
            record = {"id": id_, "day": "2026-01-01", "value": 1.0}
            try:
                status, _ = ask(self.port, "POST", "/models/m/records", record, {"X-API-Key": key})
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.05)  # nobody answers, which is no sign of anything yet
                continue
            if status == 200:
                self.acknowledged.append(id_)
                n += 1
            else:
                time.sleep(0.05)
        return n == N_SENT
