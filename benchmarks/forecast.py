"""A forecast of seven days for fifteen parts: Hotfit against a loop of forest predictions.

`python -m benchmarks.forecast` fills the demo workshop, trains `spare_parts` through Hotfit, fits a
forest on the same demand for a Flask service that predicts day by day and part by part (gunicorn,
2 processes of 4 threads), and drives each in turn on 8 connections. The two models are not the
same, so their answers are not compared. Needs `wrk`. The numbers are of the machine and the moment.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.serving.environments import environment as make_environment
from benchmarks.serving.hotfit import ROOT, environment, start_command
from benchmarks.serving.measure import running, wait_until_right
from benchmarks.serving.systems import APPS, PEERS, Setup, gunicorn
from benchmarks.wrk import Measured, run
from scripts.daemons.network import free_port
from shared.workloads.spare_parts.history import DemandHistory
from shared.workloads.spare_parts.state import read_serving_state

_CONNECTIONS = 8
_DAYS = 7
_PATH = "/forecast_restock_demand"
_BODY = json.dumps({"forecast_days": _DAYS}).encode()
_CONFIGURATION = """
home = "{directory}/home"

[sources.demo]
kind = "sql"
url = "sqlite:///{directory}/demo.db"
lag_s = 0

[models.spare_parts]
workload = "spare_parts"
source = "demo"
"""


def train(directory: Path) -> Path:
    """Fill the demo workshop and train on it; the configuration.

    Raises:
        subprocess.CalledProcessError: filling or training failed.
    """
    configuration = directory / "hotfit.toml"
    configuration.write_text(_CONFIGURATION.format(directory=directory.as_posix()))
    named = ["--config", str(configuration)]
    fill = ["scripts.demo.seed", "fill", "--database", str(directory / "demo.db")]
    for command in (fill, ["retrain_service", *named, "once"]):
        subprocess.run(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.DEVNULL,
            check=True,
        )
    return configuration


def fit_forest(home: Path, model_file: Path) -> DemandHistory:
    """What the loop is given: a forest over lags of the same demand, and the demand itself."""
    import joblib
    import numpy as np
    import pandas
    from sklearn.ensemble import RandomForestRegressor

    (version,) = (home / "models" / "spare_parts" / "versions").glob("v*")
    state = {path.name: path.read_bytes() for path in version.rglob("state.*")}
    history = read_serving_state(state).history
    rows, wanted = [], []
    for i in range(28, history.n_days):
        weekday = int((history.first_day + np.timedelta64(i, "D")).astype(int) + 3) % 7
        for past in history.pieces[:i].T:
            lags = {"yesterday": past[-1], "a_week_ago": past[-7]}
            means = {"mean_7": past[-7:].mean(), "mean_28": past[-28:].mean()}
            rows.append({"weekday": weekday, **lags, **means})
        wanted.extend(history.pieces[i])
    forest = RandomForestRegressor(random_state=0).fit(pandas.DataFrame(rows), wanted)
    saved = {
        "forest": forest,
        "parts": history.parts,
        "demand": history.pieces,
        "first_day": history.first_day,
    }
    joblib.dump(saved, model_file)
    return history


def drive(
    command: Sequence[str], variables: Mapping[str, str], log: Path, port: int, seconds: float
) -> Measured:
    """Start, wait for the first forecast, warm up, measure."""
    url = f"http://127.0.0.1:{port}{_PATH}"

    def is_right(answer: Any) -> bool:
        return len(answer["daily_breakdown"]) == _DAYS

    with running(command, variables, log, ROOT) as process:
        wait_until_right(process, url, _BODY, is_right)
        run(url, _BODY, 1, 1)
        return run(url, _BODY, _CONNECTIONS, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forecast", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each load")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--environments", type=Path, default=Path.home() / ".cache/hotfit-benchmarks"
    )
    options = parser.parse_args()
    flask = next(peer for peer in PEERS if peer.name.startswith("Flask, gunicorn"))
    found: dict[str, list[Measured]] = {"Hotfit": [], f"{flask.name}, a loop": []}
    with tempfile.TemporaryDirectory(prefix="hotfit-forecast-") as folder:
        directory = Path(folder)
        configuration = train(directory)
        model_file = directory / "forest.joblib"
        history = fit_forest(directory / "home", model_file)
        env_dir = make_environment(flask, options.environments)
        for _ in range(options.repeats):  # in turn: the machine's moods are then shared
            for name, measured in found.items():
                port = free_port()
                if name == "Hotfit":
                    command = start_command()
                    variables = environment(
                        HOTFIT_CONFIG=str(configuration), HOTFIT_API__PORT=str(port)
                    )
                else:
                    setup = Setup("forest", model_file, directory, port, env_dir)
                    command = gunicorn(setup, "forecast_app:app")
                    variables = environment(BENCH_MODEL=str(model_file), PYTHONPATH=str(APPS))
                measured.append(drive(command, variables, directory / "log", port, options.seconds))
    print(f"{_DAYS} days, {len(history.parts)} parts, {_CONNECTIONS} connections\n")
    print("| server | requests/s | p50 | p99 | failed |\n| --- | ---: | ---: | ---: | ---: |")
    for name, runs in found.items():
        per_s, p50, p99 = (
            statistics.median(getattr(one, figure) for one in runs)
            for figure in ("requests_per_s", "p50_ms", "p99_ms")
        )
        n_errors = sum(one.n_errors for one in runs)
        print(f"| {name} | {per_s:,.0f} | {p50:.2f} ms | {p99:.2f} ms | {n_errors} |")


if __name__ == "__main__":
    main()
