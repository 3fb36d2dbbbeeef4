"""Real daemons as real processes: start, look at, kill, stop."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from retrain_service.buffer.store import Buffer, buffer_path, read_snapshot
from shared.daemon.loop import utc_now
from shared.errors import NotFound
from shared.exchange.json_files import read_struct
from shared.exchange.retrain_report import RETRAIN_REPORT_NAME, RetrainReport
from shared.run_log.reader import reading
from shared.run_log.run import Run

ROOT = Path(__file__).parent.parent.parent
INJECTED = Path(__file__).parent / "injected"


class Daemon:
    """One process; its standard error goes to a file so that a failure can show it."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self._output = output

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL: no clean-up of any kind."""
        self.process.kill()
        self.process.wait(10)

    def stop(self, timeout_s: float = 15) -> int:
        """TERM, as a service manager does, and the exit code."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)


@contextlib.contextmanager
def daemon(
    *arguments: str, config: Path, output: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Daemon]:
    """Run `python -m <arguments>` with a configuration; killed at the end if it still runs."""
    with output.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                "HOTFIT_CONFIG": str(config),
                "PYTHONPATH": os.pathsep.join([str(INJECTED), str(ROOT)]),
                **(environment or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    running = Daemon(process, output)
    try:
        yield running
    finally:
        if running.is_running:
            running.kill()


def runs_in(home: Path, model: str | None = None) -> list[Run]:
    """What the run log of a home holds, newest first; nothing as long as there is none."""
    try:
        with reading(home / "run_log.sqlite") as log:
            return log.runs(model=model, limit=1000)[0]
    except NotFound:
        return []


class MeanHome:
    """A home directory with one model `m` of MeanWorkload and its SQLite database."""

    def __init__(self, directory: Path, settings: str = "", workload: str = "mean") -> None:
        self.home = directory / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.database = directory / "rows.db"
        self.config = directory / "hotfit.toml"
        self.config.write_text(
            f"""
home = "{self.home.as_posix()}"
[retrain]
tick_interval_s = 0.05
[sources.rows]
kind = "sql"
url = "sqlite:///{self.database.as_posix()}"
poll_interval_s = 0.1
lag_s = 0
[models.m]
workload = "{workload}"
source = "rows"
[models.m.triggers]
failure_backoff = "0s"
min_interval = "0s"
{settings}
"""
        )
        with contextlib.closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS rows"
                " (id INTEGER PRIMARY KEY, day TEXT, value REAL, device TEXT, updated_at TEXT)"
            )

    def add_rows(self, n: int, *, value: float = 5.0, device: str = "a", ahead_s: int = 0) -> None:
        """Append `n` rows of a device, one a day, with values around `value`.

        ahead_s : of the clock by which the application writes them.
        """
        with contextlib.closing(sqlite3.connect(self.database)) as connection, connection:
            so_far = connection.execute(
                "SELECT count(*) FROM rows WHERE device = ?", (device,)
            ).fetchone()[0]
            at = (datetime.now(UTC) + timedelta(seconds=ahead_s)).isoformat()
            connection.executemany(
                "INSERT INTO rows (day, value, device, updated_at) VALUES (?, ?, ?, ?)",
                [
                    (str(date(2024, 1, 1) + timedelta(days=i)), value + i % 3, device, at)
                    for i in range(so_far, so_far + n)
                ],
            )

    def report(self) -> RetrainReport | None:
        return read_struct(self.home / "reports" / RETRAIN_REPORT_NAME, RetrainReport)

    def runs(self) -> list[Run]:
        """Runs, newest first."""
        return runs_in(self.home)

    def buffered_ids(self) -> set[str]:
        """The ids in the buffer; only while the daemon does not run, for it alone may open it."""
        path = buffer_path(self.home / "buffer", "m")
        snapshot = self.home / "ids.parquet"
        with contextlib.closing(Buffer(path, utc_now())) as buffer:
            buffer.snapshot(snapshot, ["rows"], utc_now())
        return set(read_snapshot(snapshot)["rows"].ids)

    def billed_reads(self, source: str) -> int:
        """Today's entry in the ledger; only while the daemon does not run."""
        path = buffer_path(self.home / "buffer", "m")
        with contextlib.closing(Buffer(path, utc_now())) as buffer:
            return buffer.billed_reads(source, utc_now().date())
