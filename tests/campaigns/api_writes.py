"""The API with two workers is cut at its file operations: records are sent, a version is swapped.

A worker that is killed is replaced, a call that fails is answered with an error; what was
acknowledged is there afterwards, records are taken again and the newest version is served.
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
from tests.campaigns.faults import FileFaults, Point
from tests.campaigns.invariants import Facts, facts_of, violations
from tests.campaigns.tally import Tally
from tests.support.asking import ask
from tests.support.daemons import Daemon, daemon
from tests.support.versions import ServingHome

GOES_ON_WITHIN_S = 240.0
N_SENT = 12
N_ASKED = 8


class ApiWrites:
    """Attempts in one folder. library : of `faults.built`."""

    CAMPAIGN = "API"

    def __init__(self, folder: Path, library: Path, tally: Tally) -> None:
        self.folder, self.library, self.tally = folder, library, tally
        folder.mkdir(parents=True, exist_ok=True)
        self.home = ServingHome(folder, is_signed=True)
        ensure_api_keys(self.home.path / "keys")
        self.port = free_port()
        self.config = folder / "hotfit.toml"
        self.config.write_text(
            f"""
home = "{self.home.path.as_posix()}"
[api]
port = {self.port}
workers = 2
[sources.fed]
kind = "feed"
[models.m]
workload = "mean"
source = "fed"
"""
        )
        self.acknowledged: list[str] = []
        self._ids = itertools.count()
        self._n = self._number = 0
        self._publish()

    def count(self) -> list[str]:
        """The operations of an API that finds what an earlier one made."""
        self.count_once()
        return self.count_once()

    def count_once(self) -> list[str]:
        """The operations of an API that starts, takes records, swaps and stops; nothing fails."""
        faults = self._faults()
        with self._running(faults) as running:
            assert self._goes_on(running), running.output()[-2000:]
            assert running.stop(60) == 0
        assert self._violations() == []
        return faults.operations()

    def attempt(self, point: Point, campaign: str = CAMPAIGN) -> None:
        """One fault, and a version that is promoted meanwhile."""
        before = facts_of(self.home.path)
        faults = self._faults(point)
        outcome, why = "survived", ""
        with self._running(faults) as running:
            goes_on = self._goes_on(running)
            if running.is_running:
                running.stop(60)
        faults.end()
        if not goes_on:
            with self._running(self._faults()) as running:
                if not self._goes_on(running):
                    outcome, why = "needs a person", running.output()[-1000:]
                elif not point.is_kill:
                    outcome = "needed a start"
                if running.is_running:
                    running.stop(60)
        found = self._violations(before)
        if found:
            outcome, why = "broken", "; ".join(found)
        elif not faults.has_happened:
            outcome = "not reached"
        self.tally.add(campaign, point.lasting, outcome, f"{point.fits} ({point.at}): {why}")

    def _violations(self, before: Facts | None = None) -> list[str]:
        return violations(self.home.path, before, {"rows": self.acknowledged})

    def _publish(self) -> None:
        self._number += 1
        self.home.publish("t", self._number)

    def _goes_on(self, running: Daemon) -> bool:
        """Whether records are taken, and then the version that is promoted now is served."""
        if not self._takes_records(running):
            return False
        self._publish()
        return self._serves_the_newest(running)

    def _serves_the_newest(self, running: Daemon) -> bool:
        """Whether so many answers in a row are of the newest version, within the time."""
        deadline, n = time.monotonic() + GOES_ON_WITHIN_S, 0
        question = {"instances": [{"x": 1.5}]}
        while n < N_ASKED and time.monotonic() < deadline and running.is_running:
            try:
                status, answer = ask(self.port, "POST", "/models/t/predict", question)
            except (OSError, http.client.HTTPException, ValueError):
                status, answer = 0, None
            is_newest = status == 200 and answer["predictions"] == [self._number]
            n = n + 1 if is_newest else 0
            if not is_newest:
                time.sleep(0.05)
        return n == N_ASKED

    def _faults(self, point: Point | None = None) -> FileFaults:
        self._n += 1
        folder = self.folder / "faults" / str(self._n)
        return FileFaults(self.library, self.home.path, folder, point)

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
