"""The retrain daemon as a process, left alone with small accidents: it goes on by itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from shared.exchange.json_files import SignalUnreadable
from shared.exchange.reload_signal import ReloadSignal
from shared.run_log.run import RunStatus
from shared.versions.model_store import ModelStore
from tests.support.daemons import MeanHome, daemon, runs_in
from tests.support.waiting import wait_until

SECOND_MODEL = """
[models.n]
workload = "mean"
source = "rows"
[models.n.triggers]
failure_backoff = "0s"
min_interval = "0s"
new_records = 10
"""


def test_a_locked_run_log_and_a_damaged_signal_cost_some_seconds_and_nothing_else(
    tmp_path: Path,
) -> None:
    """Each of the two ended all training of all models for good, while health said that all was
    well."""
    place = MeanHome(tmp_path, f"[models.m.parameters]\nfit_s = 1\n{SECOND_MODEL}")
    place.add_rows(100)
    store = ModelStore(place.home / "models")

    def n_promoted(model: str) -> int:
        return sum(run.promoted for run in runs_in(place.home, model))

    def signal_of(model: str) -> ReloadSignal | None:
        with suppress(SignalUnreadable):
            return store.signal(model)
        return None

    def error_of(model: str) -> str:
        report = place.report()
        return (report.models[model].error or "") if report is not None else ""

    with daemon(
        "retrain_service", "run", config=place.config, output=tmp_path / "retrain.log"
    ) as running:
        wait_until(lambda: n_promoted("m") == n_promoted("n") == 1, 120, "a version of each model")
        before = signal_of("n")
        store.signal_path("n").write_bytes(b"\x00\xff{half")
        wait_until(lambda: signal_of("n") == before, 60, "the signal as it was")

        place.add_rows(10)
        wait_until(
            lambda: any(run.status is RunStatus.RUNNING for run in runs_in(place.home, "m")),
            60,
            "a second training of m",
        )
        with closing(sqlite3.connect(place.home / "run_log.sqlite", timeout=60)) as other:
            other.execute("BEGIN IMMEDIATE")
            wait_until(
                lambda: "waits until that can be written down" in error_of("m"),
                120,
                "health to say that the end of the run waits",
            )
            other.rollback()

        wait_until(lambda: n_promoted("m") == n_promoted("n") == 2, 120, "a second version of each")
        wait_until(lambda: not error_of("m"), 60, "health to say that it is over")
        assert running.stop(30) == 0
    assert {run.status for run in place.runs()} == {RunStatus.SUCCEEDED}
