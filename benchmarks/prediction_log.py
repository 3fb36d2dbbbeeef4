"""What the prediction log costs: the same model with and without it, in turn, in one run.

`python -m benchmarks.prediction_log` trains a small model, starts two daemons that differ in
[prediction_log] max_per_second alone, drives them in turn and prints medians of the pairs. On a
machine that does other things as well, the processor's time for a request is the number to trust.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import psutil

from benchmarks.serving.hotfit import hotfit_environment, start_command, train
from benchmarks.serving.measure import running, wait_until_right
from benchmarks.wrk import Measured, run
from scripts.daemons.network import free_port


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.prediction_log", description=__doc__
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=4.0, help="of load in each turn")
    parser.add_argument("--connections", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hotfit-log-") as folder, ExitStack() as daemons:
        home = train("bare", Path(folder) / "bare", n_rows=1_000)
        body = json.dumps({"instances": home.rows[:1]}).encode()
        urls: dict[int, str] = {}
        processes: dict[int, psutil.Process] = {}
        for rate in (0, 50):
            port = free_port()
            # One daemon a home: each gets a copy of it.
            copied = Path(folder) / f"home-{rate}"
            shutil.copytree(home.directory / "home", copied)
            variables = {
                **hotfit_environment(home, port),
                "HOTFIT_HOME": str(copied),
                "HOTFIT_PREDICTION_LOG__MAX_PER_SECOND": str(rate),
                "HOTFIT_API__WORKERS": "1",
            }
            log = Path(folder) / f"log-{rate}"
            process = daemons.enter_context(running(start_command(), variables, log, log.parent))
            processes[rate] = process
            urls[rate] = f"http://127.0.0.1:{port}/predict"
            wait_until_right(process, urls[rate], body, lambda answer: "predictions" in answer)
            run(urls[rate], body, options.connections, 1)
        found: dict[int, list[Measured]] = {0: [], 50: []}
        costs_us: dict[int, list[float]] = {0: [], 50: []}
        for round_ in range(options.rounds):
            for rate in (0, 50) if round_ % 2 else (50, 0):
                before_s = _processor_s(processes[rate])
                turn = run(urls[rate], body, options.connections, options.seconds)
                used_s = _processor_s(processes[rate]) - before_s
                found[rate].append(turn)
                costs_us[rate].append(used_s / turn.n_requests * 1e6)
    pairs = list(zip(found[0], found[50], strict=True))
    speed = median(on.requests_per_s / off.requests_per_s for off, on in pairs) - 1
    p99 = median(on.p99_ms / off.p99_ms for off, on in pairs) - 1
    for name, rate in (("off", 0), ("on", 50)):
        turns = found[rate]
        print(
            f"log {name}: {median(one.requests_per_s for one in turns):,.0f} requests/s,"
            f" {median(costs_us[rate]):.1f} us of the processor each,"
            f" p99 {median(one.p99_ms for one in turns):.2f} ms,"
            f" {sum(one.n_errors for one in turns)} errors"
        )
    cost = median(on / off for off, on in zip(costs_us[0], costs_us[50], strict=True)) - 1
    print(
        f"median of {len(pairs)} pairs: processor time {cost:+.1%}, throughput {speed:+.1%},"
        f" p99 {p99:+.1%}"
    )


def _processor_s(process: psutil.Process) -> float:
    """Of a daemon with its workers, since they started."""
    found = [process, *process.children(recursive=True)]
    return sum(sum(one.cpu_times()[:2]) for one in found)


if __name__ == "__main__":
    main()
