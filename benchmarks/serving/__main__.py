"""Serve the same pipelines with Hotfit and with other servers, in turn, in one run.

`python -m benchmarks.serving` installs each server into an environment of its own the first time,
trains the models through Hotfit, checks that all give the same answers, drives them with wrk and
prints the tables of docs/performance.md; its picture with `--out FILE --picture FILE`.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.serving import report
from benchmarks.serving.environments import draw, environment, releases
from benchmarks.serving.hotfit import Home, hotfit_environment, start_command, train
from benchmarks.serving.measure import (
    Cell,
    Found,
    ask,
    drive,
    largest_difference,
    pss_mb,
    running,
    wait_until_right,
)
from benchmarks.serving.pipelines import MODELS
from benchmarks.serving.systems import (
    PEERS,
    Encode,
    Read,
    Setup,
    System,
    environment_of,
    instances,
    predictions,
)
from scripts.daemons.network import free_port

TOLERANCE = 1e-6
CELLS = tuple(Cell(rows, connections) for rows in (1, 100) for connections in (1, 8, 64))
_CACHE = Path.home() / ".cache" / "hotfit-benchmarks"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--systems", nargs="+", help="parts of names; default: all")
    parser.add_argument("--repeats", type=int, default=3, help="rounds over everything")
    parser.add_argument("--seconds", type=float, default=4.0, help="of load in each cell")
    parser.add_argument("--environments", type=Path, default=_CACHE, help="where servers lie")
    parser.add_argument("--out", type=Path, help="write results as JSON here")
    parser.add_argument("--picture", type=Path, help="draw them here, as SVG; needs --out")
    options = parser.parse_args()
    peers = [one for one in PEERS if _is_wanted(one.name, options.systems)]
    installed = {one.name: environment(one, options.environments) for one in peers}
    found: dict[tuple[str, str], Found] = {}
    with tempfile.TemporaryDirectory(prefix="hotfit-bench-") as folder:
        for model in options.models:
            home = train(model, Path(folder) / model)
            for round_ in range(options.repeats):
                turns: list[System | None] = [one for one in peers if model in one.models]
                if _is_wanted(report.HOTFIT, options.systems):
                    turns.append(None)
                # A different order each round, so that nobody always follows the same neighbour.
                random.Random(round_).shuffle(turns)
                for system in turns:
                    name = system.name if system else report.HOTFIT
                    result = found.setdefault((model, name), Found(name, model))
                    if result.failed is None:
                        _measure(result, system, home, installed, options.seconds)
                        print(report.line(result), flush=True)
    versions = {one.name: releases(one, installed[one.name]) for one in peers}
    results = list(found.values())
    print(report.table(results))
    print(f"\n{report.goals(results)}")
    if options.out:
        options.out.write_text(report.to_json(results, versions))
        if options.picture:
            draw(options.out, options.picture, options.environments)


def _is_wanted(name: str, parts: Sequence[str] | None) -> bool:
    return parts is None or any(part.lower() in name.lower() for part in parts)


def _measure(
    result: Found,
    system: System | None,
    home: Home,
    installed: dict[str, Path],
    seconds: float,
) -> None:
    """One turn of one server: start, check, drive, weigh, stop. A failure is a result too."""
    port = free_port()
    work_dir = Path(tempfile.mkdtemp(dir=home.directory))
    path = "/predict"
    encode: Encode = instances
    read: Read = predictions
    if system is None:
        command, variables = start_command(), hotfit_environment(home, port)
    else:
        setup = Setup(home.model, home.pipeline_file, work_dir, port, installed[system.name])
        system.prepare(setup)
        command, variables = system.command(setup), environment_of(system, setup)
        path, encode, read = system.path, system.body, system.predictions
    url = f"http://127.0.0.1:{port}{path}"
    bodies = {n: json.dumps(encode(home.model, home.rows[:n])).encode() for n in (1, 100)}
    try:
        with running(command, variables, work_dir / "log", work_dir) as process:
            started = process.create_time()
            wait_until_right(process, url, bodies[1], lambda answer: len(read(answer)) == 1)
            # The system's clock, as the process's own start time is.
            result.ready_s.append(time.time() - started)
            answers = read(ask(url, bodies[100]))
            result.largest_difference = largest_difference(home.expected[:100], answers)
            if result.largest_difference > TOLERANCE:
                raise RuntimeError(f"answers differ by up to {result.largest_difference:g}")
            for cell, measured in drive(url, bodies, CELLS, seconds).items():
                result.cells.setdefault(cell, []).append(measured)
            result.pss_mb.append(pss_mb(process))
    except (RuntimeError, OSError) as error:
        result.failed = f"{error} (log: {work_dir / 'log'})"
        print((work_dir / "log").read_text(errors="replace")[-2000:])


if __name__ == "__main__":
    main()
