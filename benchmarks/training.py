"""Rows a second from the database to a fitted, judged and published model, and the memory it took.

    python -m benchmarks.training [--rows 1000 10000 100000 1000000] [--models ridge boosting]

Each size is a table in SQLite, with the index that docs/sources.md asks for, that the daemon's own
command reads, trains on and publishes from, in fresh processes: `python -m retrain_service once`, a
second time with one more row, so that reading and training are seen apart. "Buffer to fitted" is of
the second run: from the decision until the estimator is fitted, with freezing the rows and the
start of the training process. Peak memory is the largest resident sum of the command and its
children, sampled 20 times a second. A million rows take 0.6 GB of disk.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks.serving.hotfit import ROOT, configure, environment, write_table
from benchmarks.serving.pipelines import MODELS, make_rows

SAMPLE_S = 0.05
_COPY_ROWS = 10_000


@dataclass(frozen=True)
class Took:
    """One run of `once`.

    fit_s : the estimator's own fit. fitted_s : from the decision to train until it was fitted.
    """

    seconds: float
    peak_mb: float
    fit_s: float
    fitted_s: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--rows", nargs="+", type=int, default=[10**3, 10**4, 10**5, 10**6])
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=["ridge", "boosting"])
    options = parser.parse_args()
    _warm()
    print(
        "| model | rows | all, first time | of it: database → buffer | again | buffer → fitted"
        " | rows/s | of it: fit | peak memory |"
    )
    print("| --- " + "| ---: " * 8 + "|")
    for model in options.models:
        for n_rows in options.rows:
            with tempfile.TemporaryDirectory(prefix="hotfit-bench-") as folder:
                first, again = _measure(model, n_rows, Path(folder))
            reading_s = max(0.0, first.seconds - again.seconds)
            print(
                f"| {model} | {n_rows:,} | {first.seconds:.1f} s | {reading_s:.1f} s "
                f"| {again.seconds:.1f} s | {again.fitted_s:.1f} s "
                f"| {n_rows / again.fitted_s:,.0f} | {again.fit_s:.2f} s "
                f"| {max(first.peak_mb, again.peak_mb):,.0f} MB |",
                flush=True,
            )


def _warm() -> None:
    """What is installed has been imported before: its bytecode lies there."""
    imported = (
        "import pandas, sklearn.compose, sklearn.ensemble, retrain_service.training_job.process"
    )
    subprocess.run([sys.executable, "-c", imported], cwd=ROOT, env=_environment(), check=True)


def _environment() -> dict[str, str]:
    found = environment()
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    return found


def _measure(model: str, n_rows: int, folder: Path) -> tuple[Took, Took]:
    """A table of `n_rows`: everything for the first time, then once more after one new row."""
    configuration = configure(model, folder)
    made = make_rows(model, min(n_rows, _COPY_ROWS), seed=1)
    # The same values again under new ids: what they are does not change how long it takes.
    rows = [made[i % len(made)] for i in range(n_rows + 1)]
    write_table(folder / "rows.db", model, rows[:n_rows], n_rows=n_rows)
    with contextlib.closing(sqlite3.connect(folder / "rows.db")) as database, database:
        database.execute("CREATE INDEX by_change ON records (updated_at, id)")
    first = _once(configuration)
    write_table(folder / "rows.db", model, rows[n_rows:], from_number=n_rows, n_rows=n_rows)
    return first, _once(configuration)


def _once(configuration: Path) -> Took:
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "retrain_service", "--config", str(configuration), "once", "--json"],
        cwd=ROOT,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with _peak_of(process.pid) as peak_mb:
        output, errors = process.communicate()
    took_s = time.perf_counter() - started
    # 10: judged and not promoted, because the one new row made it no better.
    if process.returncode not in (0, 10):
        raise RuntimeError(f"once ended with {process.returncode}: {output!r} {errors!r}")
    return Took(took_s, max(peak_mb), *_fitted(configuration))


def _fitted(configuration: Path) -> tuple[float, float]:
    """(fit_s, fitted_s) of the last run, as it was written down."""
    with contextlib.closing(
        sqlite3.connect(configuration.parent / "home" / "run_log.sqlite")
    ) as log:
        requested_at, finished_at, written = log.execute(
            "SELECT requested_at, finished_at, details FROM runs ORDER BY requested_at DESC LIMIT 1"
        ).fetchone()
    details: dict[str, Any] = json.loads(written)
    took = datetime.fromisoformat(finished_at) - datetime.fromisoformat(requested_at)
    stage_s: dict[str, float] = details["stage_s"]
    after_s = sum(stage_s.get(stage, 0.0) for stage in ("evaluating", "staging", "trial"))
    return float(details["fit_s"]), took.total_seconds() - after_s


@contextlib.contextmanager
def _peak_of(pid: int) -> Iterator[list[float]]:
    """Resident megabytes of a process and its children, sampled until the block ends."""
    samples, ended = [0.0], threading.Event()

    def look() -> None:
        while not ended.wait(SAMPLE_S):
            total = 0
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                for one in (process, *process.children(recursive=True)):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        total += one.memory_info().rss
            samples.append(total / 1e6)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


if __name__ == "__main__":
    main()
