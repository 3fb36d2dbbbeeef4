"""What clients notice of a swap: the slowest answers with and without, failures, memory.

`python -m benchmarks.swap` trains a small and a large model through Hotfit, keeps a steady load on
each server and puts another version in every few seconds, in turn: Hotfit; a Flask service that
loads the new file in a thread and exchanges a global; the same service reloaded by gunicorn's HUP.
Needs `wrk`. The numbers are of the machine and of the moment.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.serving.environments import environment as make_environment
from benchmarks.serving.hotfit import ROOT, environment
from benchmarks.serving.measure import pss_mb, running, wait_until_right
from benchmarks.serving.systems import PEERS
from benchmarks.swap_versions import SIZES, Trained, point_at_the_other, train, trained_before
from benchmarks.wrk import Measured, run
from scripts.daemons.network import free_port

_CACHE = Path.home() / ".cache" / "hotfit-benchmarks"
_CONNECTIONS = 8
_APPS = Path(__file__).parent / "serving" / "apps"


@dataclass
class Row:
    system: str
    size: str
    quiet: Measured
    swapping: Measured
    n_swaps: int
    memory_mb: Sequence[float] = field(default_factory=list)

    @property
    def tremor(self) -> float:
        """How many times longer the slowest of a thousand answers takes while swapping."""
        return self.swapping.p999_ms / self.quiet.p999_ms


@contextlib.contextmanager
def swapping(
    swap: Callable[[], None], every_s: float, process: psutil.Process
) -> Iterator[tuple[list[float], list[float]]]:
    """Put another version in every few seconds; when that was, and the memory just before."""
    stop, at, memory = threading.Event(), list[float](), list[float]()

    def go_on() -> None:
        while not stop.wait(every_s):
            memory.append(pss_mb(process))
            swap()
            at.append(time.monotonic())

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield at, memory
    finally:
        stop.set()
        thread.join(60)


def measure(
    system: str,
    size: str,
    trained: Trained,
    command: Sequence[str],
    variables: Mapping[str, str],
    path: str,
    swap: Callable[[psutil.Process], None],
    options: argparse.Namespace,
    port: int,
    directory: Path,
) -> Row:
    """Start a server, load it without and with swaps, stop it."""
    url = f"http://127.0.0.1:{port}{path}"
    with running(command, variables, directory / f"{system}.log", ROOT) as process:
        wait_until_right(process, url, trained.body, lambda answer: "predictions" in answer)
        run(url, trained.body, _CONNECTIONS, 2)
        quiet = run(url, trained.body, _CONNECTIONS, options.seconds)
        with swapping(lambda: swap(process), options.every, process) as (at, memory):
            loaded = run(url, trained.body, _CONNECTIONS, options.seconds)
    return Row(system, size, quiet, loaded, len(at), memory)


def hotfit(trained: Trained, size: str, options: argparse.Namespace, directory: Path) -> Row:
    port = free_port()
    variables = environment(
        HOTFIT_CONFIG=str(trained.configuration),
        HOTFIT_API__PORT=str(port),
        HOTFIT_API__WORKERS=str(options.workers),
    )
    return measure(
        "Hotfit",
        size,
        trained,
        [sys.executable, "-m", "api_service"],
        variables,
        "/models/bench/predict",
        lambda _process: point_at_the_other(trained),
        options,
        port,
        directory,
    )


def gunicorn(
    how: str, trained: Trained, size: str, options: argparse.Namespace, directory: Path
) -> Row:
    """The usual service; `how` is "thread" or "HUP"."""
    peer = next(one for one in PEERS if "gunicorn" in one.name.lower())
    where = make_environment(peer, options.environments)
    port = free_port()
    variables = {
        **os.environ,
        "BENCH_MODEL": str(trained.pipeline_file),
        "BENCH_RELOAD": how,
        "PYTHONPATH": f"{_APPS}:{ROOT}",
        "OMP_NUM_THREADS": "1",
    }
    command = [
        *(str(where / "bin" / "python"), "-m", "gunicorn", "-w", str(options.workers)),
        *("--threads", "4", "-b", f"127.0.0.1:{port}", "exchanging_app:app"),
    ]

    def swap(process: psutil.Process) -> None:
        if how == "thread":
            os.utime(trained.pipeline_file)
        else:
            process.send_signal(signal.SIGHUP)

    return measure(
        f"Flask, gunicorn, {how}",
        size,
        trained,
        command,
        variables,
        "/predict",
        swap,
        options,
        port,
        directory,
    )


def table(rows: Sequence[Row]) -> str:
    lines = [
        "| server | model | req/s | p99 ms | p99.9 ms | swaps | swapping: req/s | p99 ms"
        " | p99.9 ms | longest ms | tremor p99.9 | failed | memory MB, first … last swap |",
        "|" + " --- |" * 13,
    ]
    for row in rows:
        q, s = row.quiet, row.swapping
        memory = f"{row.memory_mb[0]:.0f} … {row.memory_mb[-1]:.0f}" if row.memory_mb else "-"
        lines.append(
            f"| {row.system} | {row.size} | {q.requests_per_s:.0f} | {q.p99_ms:.1f}"
            f" | {q.p999_ms:.1f} | {row.n_swaps} | {s.requests_per_s:.0f} | {s.p99_ms:.1f}"
            f" | {s.p999_ms:.1f} | {s.longest_ms:.0f} | {row.tremor:.1f} x | {s.n_errors}"
            f" | {memory} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.swap", description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--systems", nargs="+", default=["hotfit", "thread", "HUP"])
    parser.add_argument("--seconds", type=float, default=30.0, help="of load in each half")
    parser.add_argument("--every", type=float, default=3.0, help="seconds between swaps")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--environments", type=Path, default=_CACHE, help="where gunicorn lies")
    parser.add_argument("--keep", type=Path, help="train into this directory and use it again")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="hotfit-swap-") as folder:
        for size in options.sizes:
            directory = (options.keep or Path(folder)) / size
            trained = trained_before(directory) or train(size, directory)
            print(f"{size}: {trained.size_mb:.1f} MB as joblib stores it", flush=True)
            for system in options.systems:
                if system == "hotfit":
                    rows.append(hotfit(trained, size, options, directory))
                else:
                    rows.append(gunicorn(system, trained, size, options, directory))
                print(table(rows[-1:]).splitlines()[-1], flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
