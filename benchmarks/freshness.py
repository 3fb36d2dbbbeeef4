"""From a row committed in the database to the first answer by a model that knows it, by stages.

    python -m benchmarks.freshness [--rounds 10] [--model ridge] [--poll-interval-s 1]

Both daemons run as a user starts them, on SQLite, training on every new record. Each round commits
one row and asks `POST /predict` every 5 ms until another version answers. The stages come from what
the daemons write down themselves: the run log and the signal.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.serving.hotfit import ROOT, configure, environment, start_command, write_table
from benchmarks.serving.pipelines import MODELS, columns_of, make_rows
from scripts.daemons.network import free_port

N_ROWS = 8_000
_LIMIT_S = 180.0
_LOOK_EVERY_S = 0.005
_TRIGGERS = """
[models.bench.triggers]
new_records = 1
"""


@dataclass(frozen=True)
class Round:
    """Seconds of each stage; they add up to `total_s`.

    stage_s : of `trained_s`, the stages of the training process.
    """

    noticed_s: float
    started_s: float
    trained_s: float
    swapped_s: float
    total_s: float
    stage_s: dict[str, float]

    def seconds(self, name: str) -> float:
        """Of a field, or of a stage of the training process."""
        if name == "process":  # its start and its end, and what the daemon does around them
            return self.trained_s - sum(self.stage_s.values())
        return self.stage_s[name] if name in self.stage_s else float(getattr(self, name))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.freshness", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--model", choices=list(MODELS), default="ridge")
    parser.add_argument("--poll-interval-s", type=float, default=1.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hotfit-bench-") as folder:
        rounds = _measure(options.model, Path(folder), options.rounds, options.poll_interval_s)
    print("| stage | median | least | most |\n| --- | ---: | ---: | ---: |")
    for name, sentence in (
        ("noticed_s", "committed → read, counted, run decided"),
        ("started_s", "decided → training process at work"),
        ("trained_s", "at work → fitted, judged, tried, published"),
        ("process", "— of it: start and end of the process, promotion"),
        ("reading", "— reading the frozen rows"),
        ("fitting", "— importing scikit-learn, fitting"),
        ("evaluating", "— judging"),
        ("staging", "— compiling, writing the version"),
        ("trial", "— trial"),
        ("swapped_s", "published → first answer by the new version"),
        ("total_s", "all"),
    ):
        values = [one.seconds(name) for one in rounds]
        print(
            f"| {sentence} | {statistics.median(values):.2f} s | {min(values):.2f} s "
            f"| {max(values):.2f} s |"
        )


def _measure(model: str, folder: Path, n_rounds: int, poll_interval_s: float) -> list[Round]:
    configuration = configure(model, folder, poll_interval_s=poll_interval_s)
    with configuration.open("a") as file:
        file.write(_TRIGGERS)
    rows = make_rows(model, N_ROWS + n_rounds, seed=1)
    write_table(folder / "rows.db", model, rows[:N_ROWS], n_rows=N_ROWS)
    port = free_port()
    variables = environment(HOTFIT_CONFIG=str(configuration), HOTFIT_API__PORT=str(port))
    # What is installed has been imported before: its bytecode lies there.
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    request = {name: rows[0][name] for name in columns_of(model)}
    body = json.dumps({"instances": [request]}).encode()
    url = f"http://127.0.0.1:{port}/predict"
    retrain = [sys.executable, "-m", "retrain_service", "run"]
    with (
        _daemon(retrain, variables, folder / "retrain.log"),
        _daemon(start_command(), variables, folder / "api.log"),
    ):
        serving = _version(url, body, other_than=None)
        found = []
        for i in range(n_rounds):
            _wait_until_idle(folder)
            # Anywhere between two looks at the database, not always just after a run.
            time.sleep((1 + i / n_rounds) * max(1.0, poll_interval_s))
            committed = time.time()
            one = rows[N_ROWS + i : N_ROWS + i + 1]
            write_table(folder / "rows.db", model, one, from_number=N_ROWS + i, n_rows=N_ROWS)
            serving = _version(url, body, other_than=serving)
            found.append(_stages(folder, serving, committed, time.time()))
    return found


@contextlib.contextmanager
def _daemon(command: list[str], variables: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def _version(url: str, body: bytes, other_than: str | None) -> str:
    """The version that answers, as soon as it is another one."""
    deadline = time.monotonic() + _LIMIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(asked, timeout=10) as answer:
                version = str(json.load(answer)["version"])
            if version != other_than:
                return version
        time.sleep(_LOOK_EVERY_S)
    raise RuntimeError(f"no version but {other_than} answered within {_LIMIT_S:g} s")


def _runs(folder: Path, condition: str, *values: str) -> list[dict[str, Any]]:
    with contextlib.closing(sqlite3.connect(folder / "home" / "run_log.sqlite")) as log:
        log.row_factory = sqlite3.Row
        return [dict(row) for row in log.execute(f"SELECT * FROM runs WHERE {condition}", values)]


def _wait_until_idle(folder: Path) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while _runs(folder, "status IN ('queued', 'running')"):
        if time.monotonic() > deadline:
            raise RuntimeError("a run does not end")
        time.sleep(0.05)


def _stages(folder: Path, version: str, committed: float, answered: float) -> Round:
    (run,) = _runs(folder, "version = ?", version)
    signal = json.loads((folder / "home" / "models" / "bench" / "reload_signal.json").read_bytes())
    requested, started = _seconds(run["requested_at"]), _seconds(run["started_at"])
    published = _seconds(signal["promoted_at"])
    return Round(
        requested - committed,
        started - requested,
        published - started,
        answered - published,
        answered - committed,
        json.loads(run["details"])["stage_s"],
    )


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()


if __name__ == "__main__":
    main()
