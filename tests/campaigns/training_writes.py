"""The training daemon is cut at its file operations: by a kill, and by a call that fails.

One home goes through all of it. Each attempt gives the daemon ten new records and one fault, and
wants a promoted run of them: of the same process where a call failed, of the next where it was
killed.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from pathlib import Path

from shared.exchange.retrain_report import RETRAIN_REPORT_NAME
from shared.versions.model_store import ModelStore
from tests.campaigns.faults import FileFaults, Point
from tests.campaigns.invariants import (
    facts_of,
    make_temporaries_old,
    open_runs,
    violations,
)
from tests.campaigns.tally import Tally
from tests.support.daemons import Daemon, MeanHome, daemon
from tests.support.waiting import wait_until

GOES_ON_WITHIN_S = 240.0
N_NEW = 10
_SETTINGS = """
new_records_share = 0
[models.m.gate]
mode = "point"
max_regression = 10.0
max_total_regression = 10.0
"""


class TrainingWrites:
    """Attempts in one folder. library : of `faults.built`."""

    CAMPAIGN = "training daemon"

    def __init__(self, folder: Path, library: Path, tally: Tally) -> None:
        self.folder, self.library, self.tally = folder, library, tally
        self.place = MeanHome(folder, _SETTINGS)
        self._n = self._n_rows = 0
        self._add(100)

    def count(self) -> list[str]:
        """The operations of a daemon that finds what an earlier one made."""
        self.count_once()
        return self.count_once()

    def count_once(self) -> list[str]:
        """The operations of a daemon that starts, trains once and stops; nothing fails."""
        faults = self._faults()
        self._add(N_NEW)
        with self._running(faults) as running:
            self._wait_for_the_newest(running)
            assert running.stop() == 0, running.output()[-2000:]
        assert violations(self.place.home) == []
        return faults.operations()

    def attempt(self, point: Point, campaign: str = CAMPAIGN) -> None:
        """One fault; then a start without any, which finds all as it was left."""
        before = facts_of(self.place.home)
        make_temporaries_old(self.place.home)  # of the attempt before
        self._add(N_NEW)
        faults = self._faults(point)
        outcome, why = "survived", ""
        with self._running(faults) as running:
            goes_on = self._goes_on(running)
            if running.is_running:
                running.stop(60)
        faults.end()
        is_first = not before.keys
        if is_first:
            before = facts_of(self.place.home)
        if is_first or not goes_on:
            with self._running(self._faults()) as running:
                if not self._goes_on(running):
                    outcome, why = "needs a person", running.output()[-1000:]
                elif not goes_on and not point.is_kill:
                    outcome = "needed a start"
                if running.is_running:
                    running.stop(60)
        found = violations(self.place.home, before)
        if found:
            outcome, why = "broken", "; ".join(found)
        elif not faults.has_happened:
            outcome = "not reached"
        self.tally.add(campaign, point.lasting, outcome, f"{point.fits} ({point.at}): {why}")

    def _add(self, n: int) -> None:
        self.place.add_rows(n)
        self._n_rows += n

    def _faults(self, point: Point | None = None) -> FileFaults:
        self._n += 1
        folder = self.folder / "faults" / str(self._n)
        return FileFaults(self.library, self.place.home, folder, point)

    def _running(self, faults: FileFaults) -> AbstractContextManager[Daemon]:
        return daemon(
            "retrain_service",
            "run",
            config=self.place.config,
            output=self.folder / "retrain.log",
            environment=faults.environment,
        )

    def _newest_is_in(self) -> bool:
        """Whether the served version has learnt from every record, and the run log says so.

        The signal alone is there before the end of its run is written, and before the next start
        has done anything.
        """
        store = ModelStore(self.place.home / "models")
        signal = store.signal("m")
        if signal is None:
            return False
        if store.manifest("m", signal.version).watermark.n_records != self._n_rows:
            return False
        return not open_runs(self.place.home)

    def _goes_on(self, running: Daemon) -> bool:
        try:
            self._wait_for_the_newest(running)
        except AssertionError:
            return False
        return running.is_running

    def _has_reported(self, began: float) -> bool:
        """Whether this start is through with what it does first."""
        report = self.place.home / "reports" / RETRAIN_REPORT_NAME
        return report.exists() and report.stat().st_mtime > began

    def _wait_for_the_newest(self, running: Daemon) -> None:
        began = time.time()

        def newest_or_over() -> bool:
            return not running.is_running or (self._has_reported(began) and self._newest_is_in())

        wait_until(newest_or_over, GOES_ON_WITHIN_S, "a promoted run of all records", every_s=0.1)
        assert self._newest_is_in(), "the daemon has ended"
