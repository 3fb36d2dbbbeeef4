"""Train a model of the comparison as a user would, and start the API that serves it.

Rows in a SQLite table, a configuration, `python -m retrain_service once`; the fitted pipeline of
the published version is what the other servers get.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.serving.pipelines import TARGET, columns_of, make_rows

ROOT = Path(__file__).resolve().parent.parent.parent
N_ROWS = 8_000
_FIRST = datetime(2025, 1, 1, tzinfo=UTC)
_FILLED = timedelta(days=300)

_CONFIGURATION = """
home = "{home}"

[sources.table]
kind = "sql"
url = "sqlite:///{database}"
poll_interval_s = {poll_interval_s}
lag_s = 0
page_size = 10000
reconcile_days = 0

[models.bench]
workload = "tabular"
source = "table"

[models.bench.parameters]
target = "{target}"
time = "at"
features = {features}
estimator = "benchmarks.serving.pipelines:{model}"
"""


@dataclass(frozen=True)
class Home:
    """A trained model.

    rows : requests, without the target. expected : the pipeline's own answers to them.
    """

    model: str
    directory: Path
    configuration: Path
    pipeline_file: Path
    rows: Sequence[dict[str, Any]]
    expected: Sequence[float]


def configure(model: str, directory: Path, *, poll_interval_s: float = 3600) -> Path:
    """Write the configuration of a model whose rows lie in `rows.db` beside it."""
    directory.mkdir(parents=True, exist_ok=True)
    configuration = directory / "hotfit.toml"
    configuration.write_text(
        _CONFIGURATION.format(
            home=(directory / "home").as_posix(),
            database=(directory / "rows.db").as_posix(),
            poll_interval_s=poll_interval_s,
            target=TARGET,
            features=json.dumps(list(columns_of(model))),
            model=model,
        )
    )
    return configuration


def train(model: str, directory: Path, n_rows: int = N_ROWS) -> Home:
    """Rows, configuration, one training run; then the pipeline by itself, for the others.

    Raises:
        RuntimeError: no version was promoted.
    """
    import joblib
    import pandas

    names = columns_of(model)
    configuration = configure(model, directory)
    write_table(directory / "rows.db", model, make_rows(model, n_rows, seed=1))
    command = [sys.executable, "-m", "retrain_service", "--config", str(configuration), "once"]
    done = subprocess.run(
        [*command, "--json"], cwd=ROOT, env=environment(), capture_output=True, text=True
    )
    if done.returncode != 0:
        raise RuntimeError(f"{model}: no version: {done.stdout}{done.stderr}")
    (stored,) = (directory / "home" / "models" / "bench" / "versions").glob("v*/model.joblib")
    pipeline = joblib.load(stored).pipeline
    asked = [{name: row[name] for name in names} for row in make_rows(model, 1_000, seed=2)]
    if model == "bare":  # as a server of bare arrays would have been given it
        del pipeline.feature_names_in_
        expected = pipeline.predict([list(row.values()) for row in asked])
    else:
        expected = pipeline.predict(pandas.DataFrame(asked))
    pipeline_file = directory / "pipeline.joblib"
    joblib.dump(pipeline, pipeline_file)
    return Home(model, directory, configuration, pipeline_file, asked, expected.tolist())


def write_table(
    database: Path,
    model: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    from_number: int = 0,
    n_rows: int = N_ROWS,
) -> None:
    """Add rows to the table that the configuration names; `n_rows` of them fill 300 days."""
    columns = [*columns_of(model), TARGET]
    kinds = ", ".join(f"{name} {'REAL' if name[0] in 'xy' else 'TEXT'}" for name in columns)
    fixed = "id TEXT PRIMARY KEY, at TEXT, updated_at TEXT"
    made = f"CREATE TABLE IF NOT EXISTS records ({fixed}, {kinds})"
    marks = ", ".join("?" * (len(columns) + 3))
    values = []
    for i, row in enumerate(rows, from_number):
        at = (_FIRST + i * _FILLED / n_rows).isoformat()
        values.append((f"r{i:07d}", at, at, *(row[name] for name in columns)))
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(made)
        connection.executemany(f"INSERT INTO records VALUES ({marks})", values)


def start_command() -> list[str]:
    """How the prediction daemon is started."""
    return [sys.executable, "-m", "api_service"]


def hotfit_environment(home: Home, port: int) -> dict[str, str]:
    """The daemon's own way of being told where and what."""
    return environment(HOTFIT_CONFIG=str(home.configuration), HOTFIT_API__PORT=str(port))


def environment(**more: str) -> dict[str, str]:
    """Of a daemon or command that must find the comparison's pipelines."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}
